"""Options that only commands have: which files to read, which model to load."""

import dataclasses
from pathlib import Path
from typing import Literal

from tpc_jax.errors import UserError
from tpc_jax.options import MotionKind


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A reference picture and a motion; what else is given wins over what is found in them."""

    reference: Path | None = None
    """Picture of the person."""
    driving: Path | None = None
    """Motion: any video, or a DensePose or skeleton rendering (mp4, gif, folder of pictures, npz);
    keypoints, or a folder of DensePose coordinates (npy)."""
    prepared: Path | None = None
    """Folder that `tpc-jax prepare` made, in place of the files it holds."""
    reference_keypoints: Path | None = None
    """Keypoints of the picture, as any common detector writes them; found if left out."""
    reference_mask: Path | None = None
    """Mask of the people in the picture; found, or drawn from the keypoints, if left out."""
    reference_parts: Path | None = None
    """DensePose rendering of the picture, which shows more of the body than keypoints do."""
    driving_keypoints: Path | None = None
    """Keypoints of the motion; found, or decoded from a rendering, if left out."""
    driving_parts: Path | None = None
    """DensePose rendering of a motion that is an ordinary video."""
    target_masks: Path | None = None
    """Person masks of the motion (npz, video or folder); found, decoded or drawn if left out."""
    driving_uv: Path | None = None
    """DensePose coordinates of the motion (npy), for models that read them beside a rendering."""
    driving_kind: MotionKind | Literal["auto"] = "auto"
    """What the motion shows."""
    detector: Literal["blazepose", "wholebody"] = "blazepose"
    """What finds people in pictures without keypoints: the pose model of `tpc-jax fetch-pose`, or
    DWPose's networks, which find hands and faces too."""
    pose_model: Path | None = None
    """MediaPipe's pose model (.task, wheel or folder) in place of the fetched one; for wholebody
    DWPose's pose network (onnx)."""
    person_model: Path | None = None
    """DWPose's person detector (onnx), for wholebody."""
    fps: float | None = None
    """Frames per second of a motion without a rate of its own: pictures, keypoints, coordinates or
    an npz without one; 25 if left out."""
    person: tuple[int, ...] | None = None
    """People of the motion who move the reference's: one number for each person of the reference,
    in its order. They are counted from 0, from left to right by where each is first seen; the
    surest and largest, over all frames, if left out. Nobody else is animated."""

    def __post_init__(self):
        """Check what does not go together."""
        if (self.reference is None) != (self.driving is None) and self.prepared is None:
            raise UserError("give both --reference and --driving, or a folder with --prepared")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise UserError(f"--fps must be more than 0, got {self.fps}; give frames per second")
        if (self.detector == "wholebody") != (self.person_model is not None):
            raise UserError(
                "--detector wholebody and --person-model FILE go together; give both or neither"
            )
        if self.detector == "wholebody" and self.pose_model is None:
            raise UserError("--detector wholebody needs DWPose's network as --pose-model FILE")

    @property
    def is_empty(self) -> bool:
        """Whether neither files nor a folder are given."""
        return self.reference is None and self.prepared is None

    @property
    def title(self) -> str:
        """What to call the motion in messages."""
        return str(self.driving or self.prepared)


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
