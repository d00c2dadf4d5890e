"""Options that several commands share."""

import dataclasses
from pathlib import Path
from typing import Literal

from tpc_jax.errors import UserError

Method = Literal["lts", "all", "face", "clip"]
Transform = Literal["similarity", "affine", "translation_scale", "rigid"]
RoutingName = Literal["auto", "open", "masked", "union", "replace", "composite"]
Kind = Literal["auto", "densepose", "openpose", "rgb", "uv"]
Case = Literal["aligned", "scale", "rotation", "bending", "walking"]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A reference picture and a motion."""

    reference: Path
    """Picture of the person."""
    driving: Path
    """Motion: a DensePose or skeleton rendering, or any video with --driving-keypoints (mp4, gif,
    folder of pictures, npz); or a folder of DensePose coordinates (npy)."""
    reference_keypoints: Path | None = None
    """Keypoints of the picture: own, COCO, mmpose or OpenPose JSON."""
    reference_mask: Path | None = None
    """Mask of the people in the picture; drawn from the keypoints if left out."""
    driving_keypoints: Path | None = None
    """Keypoints of the motion; decoded from a rendering if left out."""
    target_masks: Path | None = None
    """Person masks of the motion (npz, video or folder); decoded or drawn if left out."""
    driving_uv: Path | None = None
    """DensePose coordinates of the motion (npy), for models that read them beside a rendering."""
    driving_kind: Kind = "auto"
    """What the motion shows."""


@dataclasses.dataclass(frozen=True)
class GivenInputs(Inputs):
    """A reference picture and a motion, or neither for a built-in misaligned person."""

    reference: Path | None = None
    driving: Path | None = None


@dataclasses.dataclass(frozen=True)
class Fit:
    """How the reference is fitted to the motion."""

    method: Method = "lts"
    """Keypoints that steer the fit: the best half (lts), all, the face, or one fit per clip."""
    transform: Transform = "similarity"
    """Kind of transform."""
    smooth: float = 0.0
    """Temporal smoothing of the transforms, standard deviation in frames."""


@dataclasses.dataclass(frozen=True)
class Denoising:
    """How a clip is denoised."""

    tpc: bool = True
    """Whether calibrated references are used."""
    routing: RoutingName = "auto"
    """What the denoiser reads of the calibrated picture beside the original; auto is composite, or
    open for models that read pictures as tokens."""
    group_size: int = 4
    """Frames that share one calibrated picture at a step (iterative propagation)."""
    propagation: Literal["random", "first"] = "random"
    """How the group's picture is chosen at each step."""
    steps: int | None = None
    """Denoising steps; the model's own number if left out."""
    guidance_scale: tuple[float, ...] | None = None
    """Classifier-free guidance, 1 means off; the model's own value if left out. DreamPose takes two
    numbers: of the reference and of the pose."""
    sampler: Literal["ddim", "plms"] | None = None
    """How a step is taken; the model's own way if left out."""
    seed: int = 0
    """Seed of the noise and of the propagation."""
    window_stride: int = 1
    """Levels of closed windows: of neighbouring frames, of every second one, of every fourth."""
    closed_windows: bool = False
    """Let the last window wrap around to the first frames, as the published samplers do."""
    tiled_noise: bool = False
    """Repeat the start noise of one window over the clip, as the published samplers do."""
    pad_to_window: bool = False
    """Repeat the last frame up to a multiple of the window's length, as the published samplers
    do."""
    blend_background: bool = False
    """Show the reference outside the people; for still backgrounds."""
    stretch_levels: bool = False
    """Stretch every finished frame from black to white, as DreamPose's release does."""
    interpolate: int = 1
    """Decode this many times as many frames, the ones between as blends of latents."""
    blend: Literal["linear", "spherical"] = "linear"
    """How latents are blended."""
    cache_gib: float = 4.0
    """Most memory for reference features that serve all steps; beyond it they are encoded anew."""

    def options(self):
        """Return the pipeline's options."""
        from tpc_jax.animators.options import AnimateOptions

        for name in ("group_size", "steps", "window_stride", "interpolate"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1")
        if self.window_stride > 1 and not self.closed_windows:
            raise UserError("--window-stride needs --closed-windows")
        if self.interpolate > 1 and self.blend_background:
            raise UserError("--interpolate and --blend-background exclude each other")
        values = dataclasses.asdict(self)
        values["cache_bytes"] = int(values.pop("cache_gib") * 2**30)
        routing = values.pop("routing") if values.pop("tpc") else None
        values.pop("routing", None)
        return AnimateOptions(routing=routing, policy=values.pop("propagation"), **values)
