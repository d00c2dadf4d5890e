"""Where points of a frame look, for every model that reads its reference by self-attention."""

import numpy as np
import pytest
from small_animateanyone import SIZE, reference_image, small_animateanyone
from small_clips import random_clip
from small_magicanimate import small_magicanimate

from tpc_jax.animators.animateanyone import AnimateAnyoneAnimator
from tpc_jax.animators.base import ReferenceAttentionAnimator
from tpc_jax.animators.disco import DiscoAnimator
from tpc_jax.animators.dreampose import DreamPoseAnimator
from tpc_jax.animators.inspect import attention_maps
from tpc_jax.animators.load import load
from tpc_jax.animators.magicanimate import MagicAnimateAnimator
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.tiny import TinyAnimator
from tpc_jax.calibrated_clip import calibrate_clip
from tpc_jax.errors import UserError
from tpc_jax.io.images import read_image
from tpc_jax.options import Options
from tpc_jax.studies.attention import Inspection, Look, inspect_attention, near_match
from tpc_jax.studies.attention import write_inspection as write
from tpc_jax.studies.evaluation.pairs import drawn_pair

# Compiles for long.
pytestmark = pytest.mark.slow


def test_readers_by_self_attention_are_told_from_others():
    readers = (TinyAnimator, MagicAnimateAnimator, AnimateAnyoneAnimator)
    assert all(isinstance(make(), ReferenceAttentionAnimator) for make in readers)
    assert not any(
        isinstance(make(), ReferenceAttentionAnimator)
        for make in (DiscoAnimator, DreamPoseAnimator)
    )


def small(name):
    """Return a model and what it reads of a reference."""
    animator, params = small_magicanimate() if name == "magicanimate" else small_animateanyone()
    image = reference_image()
    return animator, params, animator.read_reference(params, image, image.any(-1))


@pytest.mark.parametrize(
    ("name", "routing", "pictures"),
    [("animateanyone", "open", 2), ("animateanyone", "masked", 2), ("magicanimate", "masked", 2)],
)
def test_maps_of_any_model(name, routing, pictures):
    animator, params, reading = small(name)
    size = animator.canvas.size
    clip = random_clip(3, people=1, size=size)
    # The first point lies in the person's strip, the second one outside.
    points = np.array([[8.0, 16.0], [20.0, 16.0]])
    plan = plan_run(animator, 3, Options(routing=routing, group_size=1, steps=1))
    maps = attention_maps(plan, params, reading, clip, frame=1, step=0, points=points)
    assert maps.shape == (pictures, 2, *size)
    assert (maps >= 0).all()
    assert (maps.sum((0, 2, 3)) < 1).all()
    reference, calibrated = maps
    if routing == "open":
        assert (maps.sum((2, 3)) > 0.05).all()
    else:
        assert reference[0].sum() == 0
        assert calibrated[1].sum() == 0
        assert calibrated[0].sum() > 0.05
        assert reference[1].sum() > 0.05
        # Nothing beyond the cells, of up to 8 pixels, that the person's strip touches.
        columns = np.flatnonzero(clip.calibrated.masks[0, 1].any(axis=0))
        assert calibrated[0][:, columns.max() // 8 * 8 + 8 :].sum() == 0


def test_a_frame_or_step_that_is_not_there():
    animator, *given = small("animateanyone")
    given = *given, random_clip(3, size=SIZE)
    plan = plan_run(animator, 3, Options(tpc=False, group_size=1, steps=1))
    for changes in ({"frame": 3}, {"step": 1}, {"points": np.array([[24.0, 0.0]])}):
        asked = {"frame": 0, "step": 0, "points": np.zeros((1, 2)), **changes}
        with pytest.raises(ValueError, match=r"must be in|must lie on the canvas"):
            attention_maps(plan, *given, **asked)
    shared = plan_run(animator, 3, Options(steps=1))
    with pytest.raises(ValueError, match="groups of 1 frame, got 4"):
        attention_maps(shared, *given, frame=0, step=0, points=np.zeros((1, 2)))


KEYPOINTS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee")


@pytest.fixture(scope="module")
def inspections():
    """The embedded model on two held-out people whose reference is turned and smaller."""
    model = load("tiny")
    size = model.animator.canvas.size[0]
    found = []
    for person in (3, 8):
        misalignment = (np.pi / 3, 0.7, (0.0, 0.0))
        case = drawn_pair(person, size, num_frames=4, misalignment=misalignment)
        clip = calibrate_clip(case.reference, case.motion)
        found.append(
            inspect_attention(model, clip, Options(steps=1), keypoints=KEYPOINTS, frame=2, step=0)
        )
    return found


def test_with_calibration_body_parts_attend_more_to_their_like(inspections):
    """The paper's figure: the attention of a body part finds the same part of the reference."""
    without = np.mean([near_match(i.without_tpc) for i in inspections])
    with_tpc = np.mean([near_match(look) for i in inspections for look in i.with_tpc])
    print(f"attention at the matched part: {without:.3f} without, {with_tpc:.3f} with TPC")
    assert with_tpc > 1.2 * without
    # A look that does not care about places would leave this share within the rings.
    blind = np.mean([look.maps.sum((1, 2)) for i in inspections for look in i.with_tpc])
    assert with_tpc > 1.5 * blind * np.pi * 0.1**2


def test_the_picture_has_a_row_per_point_and_a_column_per_picture(inspections, tmp_path):
    write(tmp_path / "attention.png", inspections[0])
    height, width = read_image(tmp_path / "attention.png").shape[:2]
    assert (height - 24) / len(KEYPOINTS) == width / 3
    assert [look.name for look in inspections[0].with_tpc] == ["calibrated"]


def test_near_counts_what_lies_within_the_ring(tmp_path):
    maps = np.zeros((2, 20, 30))
    maps[0, 5, 7], maps[0, 15, 25] = 0.25, 0.5
    maps[1, 10, 10] = 0.125
    matched = np.array([[8.0, 6.0], [13.0, 10.0]])
    look = Look("reference", np.full((20, 30, 3), 99, np.uint8), maps, matched)
    np.testing.assert_allclose(near_match(look), [0.25, 0.0])
    inspection = Inspection(("nose", "left_ear"), look.picture, matched, look, (look, look))
    write(tmp_path / "a.png", inspection)
    shown = read_image(tmp_path / "a.png")
    assert shown.shape == (24 + 2 * 240, 4 * 360, 3)
    # The hottest place is bright, what is not looked at stays grey.
    hot, cold = shown[24 + 15 * 12 + 6, 360 + 25 * 12 + 6], shown[24 + 6, 360 + 12 * 15]
    assert hot.max() > 200
    assert np.ptp(cold) < 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": ("left_wing",)}, "keypoint left_wing is unknown; known: nose, left_eye"),
        ({"frame": 4}, "there are 4 frames and 1 steps, counted from 0"),
        ({"step": 1}, "frame 0 of step 1 was asked for"),
    ],
)
def test_bad_questions(changes, message):
    case = drawn_pair(3, 64, num_frames=4)
    clip = calibrate_clip(case.reference, case.motion)
    given = {"keypoints": ("nose",), "frame": 0, "step": 0, **changes}
    with pytest.raises(UserError, match=message):
        inspect_attention(load("tiny"), clip, Options(steps=1), **given)


def test_a_body_part_out_of_sight():
    case = drawn_pair(3, 64, num_frames=4)
    conf = np.array(case.motion.keypoints.conf)
    conf[:, 1, 9] = 0
    keypoints = case.motion.keypoints._replace(conf=conf)
    driving = case.motion._replace(keypoints=keypoints)
    clip = calibrate_clip(case.reference, driving)
    with pytest.raises(UserError, match="left_wrist is not in sight in frame 1"):
        inspect_attention(
            load("tiny"), clip, Options(steps=1), keypoints=("nose", "left_wrist"), frame=1, step=0
        )
