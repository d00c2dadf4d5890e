"""A run, planned once: everything that follows from the options, the animator and the clip."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tpc_jax.animators.base import Animator
from tpc_jax.animators.habits import Habits
from tpc_jax.conditioning.masks import ROUTINGS, RoutingFacts
from tpc_jax.errors import UserError
from tpc_jax.options import Options, Policy, Routing
from tpc_jax.sampler.table import Table, make_table
from tpc_jax.sampler.windows import Windows, context_windows


@dataclasses.dataclass(frozen=True)
class Program:
    """What the compiled step depends on, hence the only key of its cache.

    Seed, guidance scales, timesteps and the draws of propagation are arrays that it is given.

    Attributes:
        animator: The system.
        num_frames: Frames of the motion.
        habits: How the sampler treats the clip; what does not touch the step has its default.
        group_size: Frames that share one calibrated picture at a step.
        policy: How the group's picture is chosen.
        is_guided: Whether several predictions are mixed.
    """

    animator: Animator
    num_frames: int
    habits: Habits
    group_size: int
    policy: Policy
    is_guided: bool

    @property
    def length(self) -> int:
        """How many frames are denoised, repeats of the last one included."""
        if not self.habits.pad_to_window:
            return self.num_frames
        return self.num_frames + -self.num_frames % self.animator.config.window_length

    @property
    def windows(self) -> Windows:
        """The windows of the clip, repeats of the last frame included."""
        config, habits = self.animator.config, self.habits
        return context_windows(
            self.length, config.window_length, config.window_overlap,
            is_closed=habits.closed_windows, stride=habits.window_stride,
        )  # fmt: skip

    @property
    def stride(self) -> int:
        """How far the frames lie apart whose calibrated pictures are ever read."""
        return self.group_size if self.policy == "first" else 1

    @property
    def stored_frames(self) -> Int[np.ndarray, " pictures"]:
        """The frames whose calibrated pictures are ever read: all, or the first of each group."""
        return np.arange(0, self.num_frames, self.stride)

    @property
    def num_slots(self) -> int:
        """How many groups a window touches at most."""
        groups = np.minimum(self.windows.frames, self.num_frames - 1) // self.group_size
        return max(len(np.unique(window)) for window in groups)


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """A run, decided once; nothing behind it asks for defaults again.

    Attributes:
        program: What is compiled.
        routing: What is read of the calibrated pictures; None leaves them out.
        table: The rows of the sampler.
        scales: Weights of guidance.
        seed: Seed of the start noise and of the propagation's draws.
        habits: How the sampler treats the clip.
        blend_background: Whether the reference is shown outside the people.
        interpolate: Decoded frames per denoised frame.
        cache_bytes: Most memory for features that serve all steps.
    """

    program: Program
    routing: Routing | None
    table: Table
    scales: Float[np.ndarray, " conditions"]
    seed: int
    habits: Habits
    blend_background: bool
    interpolate: int
    cache_bytes: int

    @property
    def animator(self) -> Animator:
        """The system."""
        return self.program.animator

    @property
    def facts(self) -> RoutingFacts:
        """What the routing means."""
        return ROUTINGS[self.routing]

    @property
    def needs_calibration(self) -> bool:
        """Whether anything calibrated is read or shown."""
        return self.routing is not None or self.blend_background

    @property
    def num_steps(self) -> int:
        """How often the network is called; PLMS calls it once more than asked for."""
        return len(self.table.timestep)


def plan_run(animator: Animator, num_frames: int, options: Options) -> Plan:
    """Decide a run.

    Args:
        animator: The system.
        num_frames: Frames of the motion.
        options: What the user chose.

    Raises:
        UserError: The options mean nothing to the system: its routings, its number of guidance
            scales, or the steps that its schedule admits.
    """
    scales = _scales(options.guidance_scale, animator.config.guidance_scale)
    habits = animator.habits if options.as_published else Habits()
    program = Program(
        animator,
        num_frames,
        habits._replace(tiled_noise=False, stretch_levels=False),
        options.group_size,
        options.propagation,
        bool((scales != 1.0).any()),
    )
    return Plan(
        program,
        _routing(animator, options),
        _table(animator, options),
        scales,
        options.seed,
        habits,
        options.blend_background,
        options.interpolate,
        int(options.cache_gib * 2**30),
    )


def _routing(animator: Animator, options: Options) -> Routing | None:
    if not options.tpc:
        return None
    routing = animator.routings[0] if options.routing == "auto" else options.routing
    if routing not in animator.routings:
        known = ", ".join(animator.routings)
        raise UserError(f"--routing {routing} means nothing to this model; it knows {known}")
    return routing


def _scales(given: Sequence[float] | None, own: Sequence[float]) -> Float[np.ndarray, " n"]:
    scales = own if given is None else given
    if len(scales) != len(own):
        raise UserError(
            f"--guidance-scale: this model has {len(own)} guidance scales, got {len(scales)}"
        )
    return np.asarray(scales, np.float32)


def _table(animator: Animator, options: Options) -> Table:
    config = animator.config
    steps = config.num_steps if options.steps is None else options.steps
    try:
        return make_table(config.schedule, steps, options.sampler)
    except ValueError as error:
        raise UserError(f"--steps, --sampler: {error}") from error
