"""Data sets to evaluate on, behind one interface, and the splits made from them."""

from tpc_jax.studies.datasets.interface import DataClip, DataSet, Still
from tpc_jax.studies.datasets.opening import open_dataset
from tpc_jax.studies.datasets.splits import Pair, Split, read_split, write_split

__all__ = [
    "DataClip",
    "DataSet",
    "Pair",
    "Split",
    "Still",
    "open_dataset",
    "read_split",
    "write_split",
]
