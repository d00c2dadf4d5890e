"""What a user can choose, on the command line and in Python alike.

Nothing heavy is imported here, so that `--help` is quick.
"""

import dataclasses
from typing import Literal

from tpc_jax.errors import UserError

# Which keypoints steer the fit.
Method = Literal["lts", "all", "face", "clip"]
# The kind of transform that is fitted.
TransformKind = Literal["similarity", "affine", "translation_scale", "rigid"]
# Whether fits are refined by what both bodies look like.
Refinement = Literal["auto", "none"]
# What is read of the calibrated pictures (`conditioning.masks.ROUTINGS`).
Routing = Literal["open", "masked", "union", "replace", "composite"]
# How the calibrated picture of a group of frames is chosen.
Policy = Literal["random", "first"]
# How a denoising step is taken (`sampler.table`).
Sampler = Literal["ddim", "plms"]
# How reference and motion of a test pair differ.
Case = Literal["aligned", "scale", "rotation", "bending", "walking", "turning"]
# What the frames of a motion show.
MotionKind = Literal["densepose", "openpose", "rgb", "uv"]


@dataclasses.dataclass(frozen=True)
class Calibrating:
    """How the reference is fitted to the motion.

    Attributes:
        method: Keypoints that steer the fit: the best half (lts), all, the face, or all points of
            all frames at once (clip).
        transform: Kind of transform.
        smooth: Temporal smoothing of the transforms, standard deviation in frames; 0 for none.
        refine: auto refines similarities that are fitted to the best half (lts) by the bodies on
            both sides, and leaves the reference untouched where that is better; none takes fits as
            they are, as for every other method.

    Raises:
        UserError: The smoothing is negative.
    """

    method: Method = "lts"
    transform: TransformKind = "similarity"
    smooth: float = 0.0
    refine: Refinement = "auto"

    @property
    def is_refined(self) -> bool:
        """Whether fits are refined."""
        return (self.refine, self.method, self.transform) == ("auto", "lts", "similarity")

    def __post_init__(self):
        """Check the range of the smoothing."""
        if not 0 <= self.smooth < float("inf"):
            raise UserError(f"--smooth must be a number of frames, 0 or more, got {self.smooth}")


@dataclasses.dataclass(frozen=True)
class Options:
    """How a clip is denoised.

    Attributes:
        tpc: Whether calibrated references are used.
        routing: What the denoiser reads of the calibrated pictures beside the original; auto is the
            model's default: composite, or open for models that read pictures as tokens.
        group_size: Frames that share one calibrated picture at a step (iterative propagation).
        propagation: How the group's picture is chosen at each step.
        steps: Denoising steps; the model's own number if left out.
        guidance_scale: Classifier-free guidance, 1 means off; the model's own value if left out.
            One number per condition: DreamPose takes two, of the reference and of the pose.
        sampler: How a step is taken; the model's own way if left out.
        seed: Seed of the start noise and of the propagation's draws.
        as_published: Sample as the model's released code does, which each model's page describes:
            how windows cover the clip, what start noise they get, how finished frames are
            stretched.
        blend_background: Show the reference outside the people; for still backgrounds.
        interpolate: Decode this many times as many frames, the ones between as blends of latents.
        cache_gib: Most memory in GiB for reference features that serve all steps; if those of all
            calibrated pictures do not fit, they are encoded anew at every step.

    Raises:
        UserError: A number is out of range, or two options exclude each other.
    """

    tpc: bool = True
    routing: Routing | Literal["auto"] = "auto"
    group_size: int = 4
    propagation: Policy = "random"
    steps: int | None = None
    guidance_scale: tuple[float, ...] | None = None
    sampler: Sampler | None = None
    seed: int = 0
    as_published: bool = False
    blend_background: bool = False
    interpolate: int = 1
    cache_gib: float = 4.0

    def __post_init__(self):
        """Check what can be checked without an animator."""
        for name in ("group_size", "steps", "interpolate"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{_flag(name)} must be at least 1, got {value}")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed must be in 0...{2**32 - 1}, got {self.seed}")
        if self.interpolate > 1 and self.blend_background:
            raise UserError(
                "--interpolate and --blend-background exclude each other: frames between have no "
                "masks; leave out one"
            )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
