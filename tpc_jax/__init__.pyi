# What `import tpc_jax` offers; read by type checkers and by the lazy loader of __init__.py.
from ._types import Keypoints, ProcrustesResult, SolveStatus, SubsetFit, Transform2D
from ._version import __version__
from .animation import animate
from .animators.load import Model, load
from .calibrated_clip import CalibratedClip, calibrate_clip
from .calibration import Calibration, calibrate
from .errors import UserError
from .io.video import write_video
from .options import Calibrating, Options
from .pose.cast import choose_people
from .pose.reading import Motion, Reference, read_motion, read_reference
from .procrustes.robust import Trimming
from .procrustes.solve import (
    SOLVERS,
    solve_affine,
    solve_rigid,
    solve_similarity,
    solve_similarity_svd,
    solve_translation_scale,
)
from .procrustes.subsets import fit_trimmed, search_subset
from .procrustes.transform import apply, compose, from_matrix, invert, to_matrix
from .propagation import representatives
from .warp.warp import composite, warp_image, warp_mask

__all__ = [
    "SOLVERS",
    "CalibratedClip",
    "Calibrating",
    "Calibration",
    "Keypoints",
    "Model",
    "Motion",
    "Options",
    "ProcrustesResult",
    "Reference",
    "SolveStatus",
    "SubsetFit",
    "Transform2D",
    "Trimming",
    "UserError",
    "__version__",
    "animate",
    "apply",
    "calibrate",
    "calibrate_clip",
    "choose_people",
    "compose",
    "composite",
    "fit_trimmed",
    "from_matrix",
    "invert",
    "load",
    "read_motion",
    "read_reference",
    "representatives",
    "search_subset",
    "solve_affine",
    "solve_rigid",
    "solve_similarity",
    "solve_similarity_svd",
    "solve_translation_scale",
    "to_matrix",
    "warp_image",
    "warp_mask",
    "write_video",
]
