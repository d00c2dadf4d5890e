"""An animator of one's own needs no more than `copier.py` has to go through the whole pipeline."""

import jax
import numpy as np
import pytest
from copier import Copier
from small_clips import shape_of_conditions

from tpc_jax.animation import animate, canvas_clip, read_still
from tpc_jax.animators.cost import estimate_run, step_inputs
from tpc_jax.animators.load import Model
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.reading import read_clip
from tpc_jax.calibrated_clip import calibrate_clip
from tpc_jax.options import Options
from tpc_jax.studies.evaluation.pairs import drawn_pair

SIDE, FRAMES = 32, 5
MODEL = Model(Copier(), {})


@pytest.fixture(scope="module")
def case():
    case = drawn_pair(3, SIDE, num_frames=FRAMES, misalignment=(0.9, 0.8, (0.0, 0.0)))
    return case.reference, case.motion


def test_without_tpc_it_shows_the_reference(case):
    frames = animate(MODEL, *case, Options(tpc=False))
    assert frames.shape == (FRAMES, SIDE, SIDE, 3)
    assert np.abs(frames.astype(int) - case[0].image).max() <= 1


def test_with_tpc_it_shows_the_calibrated_reference(case):
    frames = animate(MODEL, *case, Options(routing="replace", group_size=1))
    calibrated = calibrate_clip(*case).warped(0).images
    assert np.abs(frames.astype(int) - calibrated).max() <= 1
    assert np.abs(frames.astype(int) - case[0].image).mean() > 5


@pytest.mark.parametrize("routing", Copier.routings)
def test_what_a_run_holds_is_known_before(case, routing):
    plan = plan_run(MODEL.animator, FRAMES, Options(routing=routing, group_size=2))
    estimate = estimate_run(plan, MODEL.params, num_people=1)
    assert estimate.parameter_bytes == 0
    assert estimate.num_steps == MODEL.animator.config.num_steps
    assert estimate.step_flops > 0
    clip = canvas_clip(plan, *case, calibrate_clip(*case))
    held = read_clip(plan, MODEL.params, read_still(MODEL, case[0]), clip)
    known = step_inputs(plan, MODEL.params, 1).conditions
    assert shape_of_conditions(plan, held) == shape_of_conditions(plan, known)
    assert jax.tree.leaves(held.reading) == []
