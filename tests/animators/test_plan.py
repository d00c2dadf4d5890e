"""A run is decided once, and what does not change the compiled step does not compile another."""

import dataclasses

import numpy as np
import pytest
from copier import Copier, CopierConfig
from small_cases import exact_case

from tpc_jax.animation import animate
from tpc_jax.animators.habits import Habits
from tpc_jax.animators.load import Model
from tpc_jax.animators.plan import Program, plan_run
from tpc_jax.animators.run import jit_step
from tpc_jax.animators.tokens import TokenAnimator
from tpc_jax.calibrated_clip import calibrate_clip
from tpc_jax.errors import UserError
from tpc_jax.options import Options
from tpc_jax.sampler.schedule import ScheduleConfig

FRAMES = 6
GUIDED = Options(guidance_scale=(2.0,), group_size=2)
# What is chosen on the host: none of it may compile another step.
ON_THE_HOST = (
    *({"seed": seed} for seed in (1, 2**32 - 1)),
    {"guidance_scale": (1.5,)},
    {"steps": 3},
    *({"sampler": "ddim", "steps": steps} for steps in (1, 4)),
    {"interpolate": 3},
    {"blend_background": True},
    {"cache_gib": 1.0},
    {"as_published": True},
)


class Counting(Copier):
    """Counts how often it is traced; the habits of its released sampler touch the host alone."""

    habits = Habits(tiled_noise=True, stretch_levels=True)
    traced = []  # noqa: RUF012

    def predict(self, *args, **options):
        self.traced.append(options["is_guided"])
        return super().predict(*args, **options)


def test_a_step_is_compiled_once_whatever_is_chosen_on_the_host():
    reference, motion = exact_case(0, 32, (0.5, 0.8, (0.0, 0.0)), num_frames=FRAMES)
    calibrated, videos = calibrate_clip(reference, motion), []
    for changes in ({}, *ON_THE_HOST):
        options = dataclasses.replace(GUIDED, **changes)
        model = Model(Counting(), {})
        videos.append(animate(model, reference, motion, options, calibrated=calibrated))
    assert Counting.traced == [True]
    assert jit_step(plan_run(Counting(), FRAMES, GUIDED).program)._cache_size() == 1
    # Seeds and scales are felt all the same.
    for other in (*videos[1:4], videos[8]):
        assert (other != videos[0]).any()
    # Guidance that is off is another program.
    plain = dataclasses.replace(GUIDED, guidance_scale=None)
    animate(model, reference, motion, plain, calibrated=calibrated)
    assert Counting.traced == [True, False]


@pytest.mark.parametrize("changes", ON_THE_HOST)
def test_programs_do_not_know_what_is_chosen_on_the_host(changes):
    one, other = (
        plan_run(Counting(CopierConfig()), FRAMES, dataclasses.replace(GUIDED, **c)).program
        for c in ({}, changes)
    )
    assert one == other
    assert hash(one) == hash(other)
    assert jit_step(one) is jit_step(other)


def test_programs_know_what_changes_the_step():
    plain = plan_run(Copier(), FRAMES, Options())
    others = [
        plan_run(Copier(CopierConfig(window_length=3)), FRAMES, Options()),
        plan_run(Counting(), FRAMES, Options()),
        plan_run(Copier(), FRAMES + 1, Options()),
        *(
            plan_run(Copier(), FRAMES, Options(**changes))
            for changes in (
                {"group_size": 3}, {"propagation": "first"}, {"guidance_scale": (2.0,)},
            )
        ),
    ]  # fmt: skip
    assert len({plan.program for plan in (plain, *others)}) == 1 + len(others)


class Windowed(Copier):
    """Of the released sampler's habits those that change the step."""

    habits = Habits(closed_windows=True, pad_to_window=True)


def test_the_habits_of_the_release_are_taken_when_asked_for():
    own, published = (
        plan_run(Windowed(), FRAMES, Options(as_published=choice)) for choice in (False, True)
    )
    assert own.habits == Habits()
    assert published.habits == Windowed.habits
    assert (own.program.length, published.program.length) == (6, 8)
    assert own.program.windows.frames.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5]]
    windows = [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 0, 1]]
    assert published.program.windows.frames.tolist() == windows
    assert own.program != published.program


@pytest.mark.parametrize(
    ("length", "group_size", "frames", "groups"),
    [(4, 4, 4, 1), (4, 4, 6, 2), (4, 3, 10, 2), (4, 1, 10, 4), (3, 3, 9, 2)],
)
def test_how_many_groups_a_window_touches(length, group_size, frames, groups):
    animator = Copier(CopierConfig(window_length=length))
    assert plan_run(animator, frames, Options(group_size=group_size)).program.num_slots == groups


def test_repeats_of_the_last_frame_touch_its_group_only():
    program = Program(Copier(), 5, Windowed.habits, 1, "random", False)
    # The last windows are frames 4, 4, 4, 4 and 4, 4, 0, 1.
    assert program.length == 8
    assert program.num_slots == 4
    assert dataclasses.replace(program, num_frames=1).num_slots == 1


def test_the_pictures_that_are_ever_read():
    for policy, expected in (("random", range(6)), ("first", (0, 4))):
        program = plan_run(Copier(), 6, Options(propagation=policy)).program
        np.testing.assert_array_equal(program.stored_frames, expected)


def test_what_is_left_out_is_the_animator_s():
    config = CopierConfig(
        guidance_scale=(3.0,), num_steps=7, schedule=ScheduleConfig(sampler="plms")
    )
    plan = plan_run(Copier(config), FRAMES, Options())
    assert plan.routing == "composite"
    assert plan.scales.tolist() == [3.0]
    assert plan.program.is_guided
    # PLMS calls the network once more than there are steps.
    assert plan.num_steps == 8
    assert plan_run(Copier(config), FRAMES, Options(sampler="ddim")).num_steps == 7


@pytest.mark.parametrize(
    ("options", "is_needed"),
    [
        (Options(), True),
        (Options(tpc=False), False),
        (Options(tpc=False, routing="open"), False),
        (Options(tpc=False, blend_background=True), True),
    ],
)
def test_calibration_is_needed_where_something_calibrated_is_read_or_shown(options, is_needed):
    assert plan_run(Copier(), FRAMES, options).needs_calibration == is_needed


class Reader(Copier):
    """Knows what readers of tokens know."""

    routings = TokenAnimator.routings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            Options(routing="masked"),
            "--routing masked means nothing to this model; it knows open, replace",
        ),
        (
            Options(guidance_scale=(2.0, 3.0)),
            "--guidance-scale: this model has 1 guidance scales, got 2",
        ),
        (Options(guidance_scale=()), "--guidance-scale: this model has 1 guidance scales, got 0"),
        (Options(steps=1001), "--steps, --sampler: .*1001"),
        (Options(sampler="plms"), "--steps, --sampler: sampler plms needs prediction_type epsilon"),
    ],
)
def test_options_that_mean_nothing_to_the_model(options, message):
    with pytest.raises(UserError, match=message) as error:
        plan_run(Reader(), FRAMES, options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({name: 0}, f"--{name.replace('_', '-')} must be at least 1, got 0")
          for name in ("group_size", "steps", "interpolate")),
        *(({"seed": seed}, f"--seed must be in 0...{2**32 - 1}, got {seed}")
          for seed in (-1, 2**32)),
        ({"interpolate": 2, "blend_background": True}, "exclude each other"),
    ],
)  # fmt: skip
def test_options_that_no_model_can_mean(changes, message):
    with pytest.raises(UserError, match=message) as error:
        Options(**changes)
    assert "\n" not in str(error.value)
