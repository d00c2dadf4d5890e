"""Options that only commands have: which files to read, which model to load."""

import dataclasses
from pathlib import Path
from typing import Literal

from tpc_jax.errors import UserError
from tpc_jax.options import MotionKind


@dataclasses.dataclass(frozen=True)
class GivenInputs:
    """A reference picture and a motion, or neither for a built-in misaligned person."""

    reference: Path | None = None
    """Picture of the person."""
    driving: Path | None = None
    """Motion: a DensePose or skeleton rendering, or any video with --driving-keypoints (mp4, gif,
    folder of pictures, npz); or a folder of DensePose coordinates (npy)."""
    reference_keypoints: Path | None = None
    """Keypoints of the picture, as any common detector writes them."""
    reference_mask: Path | None = None
    """Mask of the people in the picture; drawn from the keypoints if left out."""
    reference_parts: Path | None = None
    """DensePose rendering of the picture, which shows more of the body than keypoints do."""
    driving_keypoints: Path | None = None
    """Keypoints of the motion; decoded from a rendering if left out."""
    target_masks: Path | None = None
    """Person masks of the motion (npz, video or folder); decoded or drawn if left out."""
    driving_uv: Path | None = None
    """DensePose coordinates of the motion (npy), for models that read them beside a rendering."""
    driving_kind: MotionKind | Literal["auto"] = "auto"
    """What the motion shows."""
    fps: float | None = None
    """Frames per second of a motion without a rate of its own: pictures, keypoints, coordinates or
    an npz without one; 25 if left out."""
    person: tuple[int, ...] | None = None
    """People of the motion who move the reference's: one number for each person of the reference,
    in its order. They are counted from 0, from left to right by where each is first seen; the
    surest and largest, over all frames, if left out. Nobody else is animated."""

    def __post_init__(self):
        """Check that both are given, or neither."""
        if (self.reference is None) != (self.driving is None):
            raise UserError("give both --reference and --driving, or neither for a built-in person")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise UserError(f"--fps must be more than 0, got {self.fps}; give frames per second")


@dataclasses.dataclass(frozen=True)
class Inputs(GivenInputs):
    """A reference picture and a motion."""

    # Fields of their own, or they would inherit the default.
    reference: Path = dataclasses.field()
    driving: Path = dataclasses.field()


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """Which model animates."""

    model: str = "tiny"
    """"tiny", the embedded model, or the folder of a trained or converted one."""
    prompt: str | None = None
    """Text for models that read one; empty if left out."""
    size: str | None = None
    """Size of the pictures as WIDTHxHEIGHT, for models that allow several."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type to compute in; auto takes bfloat16 on accelerators."""
