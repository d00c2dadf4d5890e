"""Who stays in a motion: chosen once, and alone in everything that is drawn from people."""

from fractions import Fraction

import numpy as np
import pytest
from pose_figures import draw_parts, place

from tpc_jax._types import Keypoints
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.errors import UserError
from tpc_jax.pose.cast import choose_people
from tpc_jax.pose.densepose import render_densepose
from tpc_jax.pose.dwpose import whole_body
from tpc_jax.pose.openpose import draw_skeleton
from tpc_jax.pose.reading import Motion, Reference, no_people

SIZE, FRAMES = (256, 384), 3
SMALL, LARGE = 0, 1  # from left to right, and in the file


def points(people):
    """The small person and the large one, who walks."""
    small = [place(0, 0.3, (80, 130)) for _ in range(FRAMES)]
    large = [place(0, 0.6, (260 + 5 * frame, 120)) for frame in range(FRAMES)]
    return np.stack([(small, large)[person] for person in people]).astype(np.float32)


def motion_of(*people, kind="densepose"):
    """A motion in which these people are seen, in this order."""
    xy = points(people)
    parts = np.stack([[draw_parts(pose, SIZE) for pose in clip] for clip in xy])
    conf = np.full(xy.shape[:-1], 0.9, np.float32)
    keypoints, masks, together = Keypoints(xy, conf), parts > 0, parts.max(0)
    if kind == "openpose":
        drawn = [draw_skeleton(keypoints.select(np.s_[:, i]), *SIZE) for i in range(FRAMES)]
        return Motion(np.stack(drawn), Fraction(10), kind, keypoints, masks, None)
    uv = np.where(together[..., None] > 0, np.float32(0.5), np.float32(0)) * np.ones(2, np.float32)
    people = whole_body(np.concatenate([xy, conf[..., None]], -1), "coco-17")
    frames = render_densepose(together)
    return Motion(frames, Fraction(10), kind, keypoints, masks, together, people, uv)


def reference_of(num_people=1):
    xy = np.stack([place(30, 0.5, (100 + 150 * i, 120)) for i in range(num_people)])
    keypoints = Keypoints(xy.astype(np.float32), np.ones((num_people, 17), np.float32))
    return Reference(np.zeros((*SIZE, 3), np.uint8), keypoints, np.zeros((num_people, *SIZE), bool))


def assert_same_motion(found, expected):
    for name in ("frames", "parts", "uv", "masks"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.keypoints.xy, expected.keypoints.xy)
    for part, other in zip(found.people or (), expected.people or (), strict=True):
        np.testing.assert_array_equal(part.xy, other.xy)
        np.testing.assert_array_equal(part.conf, other.conf)


@pytest.mark.parametrize("kind", ["densepose", "openpose"])
@pytest.mark.parametrize("order", [(SMALL, LARGE), (LARGE, SMALL)])
def test_of_two_people_the_larger_stays_alone(order, kind):
    found = choose_people(reference_of(), motion_of(*order, kind=kind))
    assert found.cast.person.tolist() == [LARGE]
    assert_same_motion(found, motion_of(LARGE, kind=kind))


@pytest.mark.parametrize("kind", ["densepose", "openpose"])
def test_somebody_else_can_be_named(kind):
    found = choose_people(reference_of(), motion_of(LARGE, SMALL, kind=kind), person=[SMALL])
    assert_same_motion(found, motion_of(SMALL, kind=kind))


def test_several_can_be_named_in_any_order():
    crossed = choose_people(reference_of(2), motion_of(SMALL, LARGE), [LARGE, SMALL])
    assert_same_motion(crossed, motion_of(LARGE, SMALL))
    straight = choose_people(reference_of(2), motion_of(LARGE, SMALL))
    assert straight.cast.person.tolist() == [SMALL, LARGE]
    assert_same_motion(straight, motion_of(SMALL, LARGE))


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        *(("densepose", kind) for kind in ("house", "densepose", "dwpose", "openpose", "uv")),
        *(("openpose", kind) for kind in ("house", "dwpose", "openpose")),
    ],
)
def test_pose_pictures_show_the_people_who_are_calibrated(shown, kind):
    canvas, both = Canvas((64, 64)), motion_of(SMALL, LARGE, kind=shown)
    alone, everybody = (
        choose_people(reference_of(len(people)), motion_of(*people, kind=shown))
        for people in ((LARGE,), (SMALL, LARGE))
    )
    found = pose_pictures(choose_people(reference_of(), both), canvas, kind)
    np.testing.assert_array_equal(found, pose_pictures(alone, canvas, kind))
    assert (found != pose_pictures(everybody, canvas, kind)).any((1, 2, 3)).all()


def test_without_masks_a_part_map_is_divided_by_the_nearest_limb():
    both = motion_of(SMALL, LARGE)._replace(masks=None)
    found = choose_people(reference_of(), both)
    np.testing.assert_array_equal(found.parts, motion_of(LARGE).parts)
    assert found.masks is None


def test_camera_pictures_stay_as_they_are():
    both = motion_of(SMALL, LARGE)
    camera = np.random.default_rng(0).integers(0, 256, both.frames.shape, np.uint8)
    found = choose_people(reference_of(), both._replace(frames=camera))
    assert found.frames is camera
    np.testing.assert_array_equal(found.parts, motion_of(LARGE).parts)


def test_a_frame_without_the_chosen_shows_nobody():
    both = motion_of(SMALL, LARGE)
    conf, masks, parts = (x.copy() for x in (both.keypoints.conf, both.masks, both.parts))
    conf[LARGE, 1], masks[LARGE, 1] = 0, False
    parts[1] = motion_of(SMALL).parts[1]
    gappy = both._replace(
        keypoints=Keypoints(both.keypoints.xy, conf), masks=masks, parts=parts,
        frames=render_densepose(parts),
    )  # fmt: skip
    found = choose_people(reference_of(), gappy)
    assert found.parts.any((1, 2)).tolist() == [True, False, True]
    assert found.masks.any((0, 2, 3)).tolist() == [True, False, True]
    np.testing.assert_array_equal(found.frames[1], render_densepose(found.parts[1:2])[0])


def test_of_people_who_are_not_known_everybody_stays():
    nobody = Reference(np.zeros((*SIZE, 3), np.uint8), no_people(), np.zeros((0, *SIZE), bool))
    both = motion_of(SMALL, LARGE)
    assert choose_people(nobody, both) is both
    still = reference_of()
    unseen = still._replace(keypoints=Keypoints(still.keypoints.xy, still.keypoints.conf * 0.2))
    assert choose_people(unseen, both) is both
    named = choose_people(nobody, both, [LARGE])
    assert_same_motion(named, motion_of(LARGE))
    assert choose_people(nobody, named) is named


def test_nothing_is_copied_where_everybody_stays():
    one = motion_of(LARGE)
    found = choose_people(reference_of(), one)
    assert all(getattr(found, name) is getattr(one, name) for name in ("frames", "parts", "masks"))


def test_people_are_chosen_once():
    found = choose_people(reference_of(), motion_of(SMALL, LARGE))
    assert choose_people(reference_of(), found) is found
    with pytest.raises(ValueError, match="chosen before, for a reference of 1"):
        choose_people(reference_of(), found, [0])
    with pytest.raises(ValueError, match="chosen before"):
        choose_people(reference_of(2), found)


@pytest.mark.parametrize(
    ("num_people", "person", "message"),
    [
        (1, [2], "--person 2: the motion has 2 people; they are numbered from 0"),
        (1, [-1], "--person -1: the motion has 2 people"),
        (1, [0, 1], "--person names 2 people of the motion, the reference has 1"),
        (2, [1], "--person names 1 people of the motion, the reference has 2"),
        (2, [1, 1], "--person 1 1: names somebody twice"),
    ],
)
def test_wrong_numbers_are_one_line(num_people, person, message):
    with pytest.raises(UserError, match=message) as error:
        choose_people(reference_of(num_people), motion_of(SMALL, LARGE), person)
    assert "\n" not in str(error.value)


def test_people_who_were_followed_keep_their_rows():
    motion = motion_of(LARGE, SMALL)
    jumped = np.asarray(motion.keypoints.xy).copy()
    jumped[:, 2] = jumped[::-1, 2]  # as after a cut
    motion = motion._replace(keypoints=motion.keypoints._replace(xy=jumped))
    for is_followed in (True, False):
        found = choose_people(reference_of(), motion._replace(is_followed=is_followed))
        row, other = (0, 0) if is_followed else (0, 1)
        np.testing.assert_array_equal(found.keypoints.xy[0, :2], jumped[row, :2])
        np.testing.assert_array_equal(found.keypoints.xy[0, 2], jumped[other, 2])


def test_somebody_who_was_followed_but_never_surely_seen_is_nobody():
    motion = motion_of(SMALL, LARGE)
    conf = np.asarray(motion.keypoints.conf).copy()
    conf[0] = 0.1
    motion = motion._replace(keypoints=motion.keypoints._replace(conf=conf), is_followed=True)
    found = choose_people(reference_of(), motion)
    assert len(found.cast.tracks) == 1
    np.testing.assert_array_equal(found.keypoints.xy[0], motion.keypoints.xy[1])
