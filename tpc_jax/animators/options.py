"""How a clip is denoised: what a user can choose, whatever the animator."""

import dataclasses
from typing import Literal

from tpc_jax.animators.interface import Animator
from tpc_jax.conditioning.masks import Routing
from tpc_jax.errors import UserError
from tpc_jax.propagation import Policy
from tpc_jax.sampler.interpolate import Blend
from tpc_jax.sampler.schedule import Sampler


@dataclasses.dataclass(frozen=True)
class AnimateOptions:
    """How a clip is denoised.

    Attributes:
        routing: What the denoiser reads of the calibrated pictures; "auto" takes the animator's
            default, None leaves TPC out.
        group_size: Frames that share one calibrated picture at a step.
        policy: How the group's picture is chosen.
        steps: Denoising steps; None takes the animator's default.
        guidance_scale: Weight of classifier-free guidance, 1 means off; one number per condition
            where the animator has several; None takes its default.
        seed: Seed of the start noise and of the propagation's draws.
        closed_windows: Whether the last window wraps around to the first frames, as the published
            samplers do, in place of being shifted back.
        window_stride: Levels of closed windows: of neighbouring frames, of every second one, of
            every fourth one and so on.
        tiled_noise: Whether the start noise of one window repeats over the clip.
        pad_to_window: Whether the last frame is repeated up to a multiple of the window's length;
            the repeats are cut off again.
        blend_background: Whether the reference replaces everything outside the people.
        interpolate: How many times as many frames are decoded as denoised; the ones between are
            blends of their neighbours' latents.
        blend: How latents are blended.
        cache_bytes: Most memory for reference features that serve all steps. If those of all
            calibrated pictures do not fit, they are encoded anew at every step.
        sampler: How a step is taken; None takes the animator's default.
        stretch_levels: Whether every finished frame is stretched from black to white.
    """

    routing: Routing | Literal["auto"] | None = "auto"
    group_size: int = 4
    policy: Policy = "random"
    steps: int | None = None
    guidance_scale: float | tuple[float, ...] | None = None
    seed: int = 0
    closed_windows: bool = False
    tiled_noise: bool = False
    pad_to_window: bool = False
    blend_background: bool = False
    window_stride: int = 1
    interpolate: int = 1
    blend: Blend = "linear"
    cache_bytes: int = 4 * 2**30
    sampler: Sampler | None = None
    stretch_levels: bool = False

    def resolve(self, animator: Animator) -> "AnimateOptions":
        """Fill in the animator's defaults.

        Raises:
            UserError: The routing means nothing to the animator, or it has another number of
                guidance scales.
        """
        routing = animator.routings[0] if self.routing == "auto" else self.routing
        if routing is not None and routing not in animator.routings:
            known = ", ".join(animator.routings)
            raise UserError(f"routing {routing} means nothing to this model; it knows {known}")
        scale = animator.guidance_scale if self.guidance_scale is None else self.guidance_scale
        counts = [len(s) if isinstance(s, tuple) else 1 for s in (scale, animator.guidance_scale)]
        if counts[0] != counts[1]:
            raise UserError(f"this model has {counts[1]} guidance scales, got {counts[0]}")
        return dataclasses.replace(
            self, routing=routing, guidance_scale=scale,
            steps=animator.num_steps if self.steps is None else self.steps,
            sampler=animator.schedule.sampler if self.sampler is None else self.sampler,
        )  # fmt: skip
