"""Data sets to evaluate on, behind one interface, and the splits made from them."""

from tpc_jax.studies.datasets.interface import DataSet
from tpc_jax.studies.datasets.opening import open_dataset
from tpc_jax.studies.datasets.splits import Pair, Split, read_split, write_split

__all__ = [
    "DataSet",
    "Pair",
    "Split",
    "open_dataset",
    "read_split",
    "write_split",
]
