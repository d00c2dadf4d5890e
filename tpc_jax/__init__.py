"""Test-time Procrustes calibration for human image animation: the calibration core.

Importing this package needs JAX and NumPy alone; networks live in `tpc_jax.model` and beyond.
"""

from tpc_jax._types import Keypoints, ProcrustesResult, SolveStatus, SubsetFit, Transform2D
from tpc_jax._version import __version__
from tpc_jax.calibrate import Calibration, calibrate
from tpc_jax.procrustes.robust import Trimming
from tpc_jax.procrustes.solve import (
    SOLVERS,
    TransformKind,
    solve_affine,
    solve_rigid,
    solve_similarity,
    solve_similarity_svd,
    solve_translation_scale,
)
from tpc_jax.procrustes.subsets import fit_trimmed, search_subset
from tpc_jax.propagation import representatives

__all__ = [
    "SOLVERS",
    "Calibration",
    "Keypoints",
    "ProcrustesResult",
    "SolveStatus",
    "SubsetFit",
    "Transform2D",
    "TransformKind",
    "Trimming",
    "__version__",
    "calibrate",
    "fit_trimmed",
    "representatives",
    "search_subset",
    "solve_affine",
    "solve_rigid",
    "solve_similarity",
    "solve_similarity_svd",
    "solve_translation_scale",
]
