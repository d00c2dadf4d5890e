import itertools

import numpy as np
import pytest

from tpc_jax.conditioning.pose_maps import (
    PART_COLORS,
    draw_skeleton_lines,
    part_pictures,
)
from tpc_jax.pose.skeletons import KEYPOINT_INDEX, LIMBS


def drawn_skeleton(xy, is_visible):
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    draw_skeleton_lines(canvas, xy, is_visible)
    return canvas / np.float32(255)


# Front and back of one limb look alike on purpose.
FRONT_AND_BACK = [
    {7, 9}, {8, 10}, {11, 13}, {12, 14}, {15, 17}, {16, 18}, {19, 21}, {20, 22},
]  # fmt: skip
HEIGHT, WIDTH = 80, 60


@pytest.fixture
def pose():
    return np.random.default_rng(4).uniform([8, 8], [WIDTH - 8, HEIGHT - 8], (17, 2))


def test_different_limbs_have_clearly_different_colours():
    for a, b in itertools.combinations(range(25), 2):
        distance = np.abs(PART_COLORS[a].astype(int) - PART_COLORS[b]).max()
        if {a, b} in FRONT_AND_BACK:
            assert distance == 0
        else:
            assert distance > 35, (a, b)
    assert (PART_COLORS[0] == 0).all()


def test_part_pictures_look_up_colours():
    parts = np.random.default_rng(0).integers(0, 25, (2, 5, 7)).astype(np.uint8)
    pictures = part_pictures(parts)
    assert pictures.shape == (2, 5, 7, 3)
    for index in np.ndindex(parts.shape):
        np.testing.assert_allclose(pictures[index], PART_COLORS[parts[index]] / 255, atol=1e-6)


def test_every_visible_limb_is_drawn_and_nothing_far_from_it(pose):
    for start, end in LIMBS:
        visible = np.zeros(17, bool)
        visible[[start, end]] = True
        drawn = drawn_skeleton(pose, visible).any(-1)
        y, x = np.nonzero(drawn)
        along = pose[end] - pose[start]
        points = np.stack([x, y], -1) - pose[start]
        share = np.clip(points @ along / (along @ along), 0, 1)
        distance = np.linalg.norm(points - share[:, None] * along, axis=-1)
        assert distance.max() < 2.5
        # About as many pixels as the limb is long.
        assert len(x) >= 0.6 * np.linalg.norm(along)


@pytest.mark.parametrize("name", ["left_wrist", "right_ankle", "nose", "left_hip"])
def test_points_out_of_sight_are_not_drawn(pose, name):
    hidden = np.ones(17, bool)
    hidden[KEYPOINT_INDEX[name]] = False
    picture = drawn_skeleton(pose, hidden)
    moved = pose.copy()
    moved[KEYPOINT_INDEX[name]] = [3.0, 3.0]
    np.testing.assert_array_equal(drawn_skeleton(moved, hidden), picture)
    # A coordinate that is not a number is out of sight whatever its confidence says.
    moved[KEYPOINT_INDEX[name]] = np.nan
    np.testing.assert_array_equal(drawn_skeleton(moved, np.ones(17, bool)), picture)
    assert (drawn_skeleton(pose, np.ones(17, bool)) != picture).any()


def test_nobody_leaves_the_canvas_black(pose):
    assert not drawn_skeleton(pose, np.zeros(17, bool)).any()


@pytest.mark.parametrize("far", [1e3, -1e5, 1e12])
def test_points_outside_the_canvas_pull_limbs_to_its_edge(pose, far):
    pose[KEYPOINT_INDEX["left_wrist"]] = [far, pose[KEYPOINT_INDEX["left_elbow"]][1]]
    visible = np.zeros(17, bool)
    visible[[KEYPOINT_INDEX["left_elbow"], KEYPOINT_INDEX["left_wrist"]]] = True
    drawn = drawn_skeleton(pose, visible).any(-1)
    row = round(pose[KEYPOINT_INDEX["left_elbow"]][1])
    assert drawn[max(row - 1, 0) : row + 2, -1 if far > 0 else 0].any()
    assert not drawn[: row - 2].any()
    assert not drawn[row + 3 :].any()


@pytest.mark.parametrize(("side", "part"), [("left", 10), ("right", 9)])
def test_thighs_have_the_colours_of_their_parts(pose, side, part):
    visible = np.zeros(17, bool)
    visible[[KEYPOINT_INDEX[f"{side}_hip"], KEYPOINT_INDEX[f"{side}_knee"]]] = True
    pixels = drawn_skeleton(pose, visible).reshape(-1, 3)
    brightest = pixels[pixels.sum(-1).argmax()]
    # Smooth edges dim a thin line, they do not change its hue.
    expected = PART_COLORS[part] / 255
    np.testing.assert_allclose(brightest / brightest.max(), expected / expected.max(), atol=0.02)


def test_people_are_drawn_onto_one_canvas(pose):
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    draw_skeleton_lines(canvas, pose, np.ones(17, bool))
    first = canvas.copy()
    draw_skeleton_lines(canvas, pose[:, ::-1].copy(), np.ones(17, bool))
    assert (canvas != first).any()
    assert ((canvas > 0) | (first == 0)).any(-1).all()
