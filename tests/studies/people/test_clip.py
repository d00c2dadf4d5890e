import dataclasses

import cv2
import numpy as np
import pytest

from tpc_jax.studies.people import clip_rng, render_clip, sample_clip, sample_motion

LEFT_PARTS = (4, 5, 8, 10, 12, 14, 15, 17, 19, 21, 24)
RIGHT_PARTS = (3, 6, 7, 9, 11, 13, 16, 18, 20, 22, 23)
LEFT_POINTS = [5, 7, 9, 11, 13, 15]
RIGHT_POINTS = [6, 8, 10, 12, 14, 16]
# Parts that may lie under each limb keypoint: the two that meet there.
JOINT_PARTS = {
    5: (2, 15, 17), 6: (2, 16, 18), 7: (15, 17, 19, 21), 8: (16, 18, 20, 22),
    9: (4, 19, 21), 10: (3, 20, 22), 13: (10, 14), 14: (9, 13), 15: (5, 14), 16: (6, 13),
}  # fmt: skip


def test_clip_has_the_promised_shapes_and_types():
    clip = sample_clip(clip_rng(0, 0), 3, (48, 40))
    assert clip.frames.shape == (3, 48, 40, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.keypoints.shape == (3, 17, 2)
    assert clip.keypoints.dtype == np.float32
    assert clip.conf.shape == (3, 17)
    assert clip.parts.shape == clip.mask.shape == (3, 48, 40)
    assert clip.mask.dtype == bool


def test_equal_generators_give_equal_clips_and_others_do_not():
    first, second, other = (sample_clip(clip_rng(3, i), 3, 32) for i in (5, 5, 6))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.frames != other.frames).mean() > 0.3
    held_out = sample_clip(clip_rng(3, 5, "test"), 3, 32)
    assert (first.frames != held_out.frames).mean() > 0.3


@pytest.mark.parametrize("index", range(6))
def test_two_sizes_show_the_same_clip(index):
    small, large = (sample_clip(clip_rng(1, index), 3, size) for size in (64, 128))
    # Pixel centres: x_large = 2 x_small + 0.5.
    np.testing.assert_allclose(large.keypoints, 2 * small.keypoints + 0.5, atol=1e-3)
    reduced = np.stack(
        [cv2.resize(f, (64, 64), interpolation=cv2.INTER_AREA) for f in large.frames]
    )
    difference = np.abs(reduced.astype(float) - small.frames)
    assert difference.mean() < 3.0
    overlap = large.mask.reshape(3, 64, 2, 64, 2).mean((2, 4)) >= 0.5
    assert (overlap != small.mask).mean() < 0.01


def test_chosen_frames_equal_those_of_the_whole_clip(cast):
    person, scene, motion = cast(2, num_frames=7)
    whole = render_clip(person, scene, motion, 48)
    some = render_clip(person, scene, motion, 48, frames=[5, 0, 5])
    for a, b in zip(whole, some, strict=True):
        np.testing.assert_array_equal(a[[5, 0, 5]], b)


def test_visible_keypoints_lie_on_the_person():
    on_person, total = 0, 0
    for index in range(40):
        clip = sample_clip(clip_rng(2, index), 2, 64)
        frame, joint = np.nonzero(clip.conf)
        x, y = np.round(clip.keypoints[frame, joint]).astype(int).T
        assert (x >= 0).all()
        assert (x < 64).all()
        assert (y >= 0).all()
        assert (y < 64).all()
        on_person += clip.mask[frame, y, x].sum()
        total += frame.size
    assert on_person / total > 0.98


def test_confidence_is_zero_exactly_outside_the_canvas_or_behind_the_body():
    clip = sample_clip(clip_rng(2, 0), 4, 64, person_transform=(0.0, 1.8, (0.3, 0.2)))
    inside = ((clip.keypoints >= -0.5) & (clip.keypoints < 63.5)).all(-1)
    assert (~inside).any()
    assert (clip.conf[~inside] == 0).all()
    assert set(np.unique(clip.conf)) <= {0.0, 1.0}


@pytest.mark.parametrize("index", range(8))
def test_parts_lie_in_the_mask_and_under_their_joints(still, index):
    clip = still(index, size=128)
    assert not clip.parts[~clip.mask].any()
    assert clip.parts.max() <= 24
    for joint, parts in JOINT_PARTS.items():
        x, y = np.round(clip.keypoints[0, joint]).astype(int)
        near = clip.parts[0, max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
        assert np.isin(near, parts).any(), (joint, np.unique(near))


@pytest.mark.parametrize("index", range(8))
def test_left_of_a_person_facing_us_is_on_the_right_of_the_picture(still, index):
    clip = still(index)
    middle = clip.keypoints[0, [5, 6, 11, 12], 0].mean()
    assert (clip.keypoints[0, LEFT_POINTS, 0] > middle).all()
    assert (clip.keypoints[0, RIGHT_POINTS, 0] < middle).all()
    columns = np.arange(96)[None, :] - middle
    for parts, sign in ((LEFT_PARTS, 1), (RIGHT_PARTS, -1)):
        inside = np.isin(clip.parts[0], parts)
        assert inside.sum() > 100
        assert ((columns * sign > -1.5) & inside).sum() > 0.98 * inside.sum()
    assert (clip.parts == 2).sum() > 50
    assert not np.isin(clip.parts, (1, 7, 8, 11, 12)).any()


@pytest.mark.parametrize("index", range(4))
def test_a_person_turned_away_shows_back_and_no_face(still, index):
    clip = still(index, turned=np.pi)
    middle = clip.keypoints[0, [5, 6, 11, 12], 0].mean()
    assert (clip.keypoints[0, LEFT_POINTS, 0] < middle).all()
    assert (clip.conf[0, :3] == 0).all()
    assert (clip.parts == 1).sum() > 50
    assert not np.isin(clip.parts, (2, 9, 10, 13, 14)).any()


@pytest.mark.parametrize("index", range(4))
def test_a_person_who_turns_about_shows_front_side_and_back(cast, index):
    person, scene, motion = cast(index, num_frames=1, facing_away=0.0)
    yaw = np.radians(np.arange(0, 361, 15))
    still = {
        name: value.repeat(len(yaw), axis=0)
        for name, value in vars(motion).items()
        if name in ("arms", "wrists", "legs", "torso", "head", "root", "zoom")
    }
    camera = dataclasses.replace(motion.camera, is_close=False)
    zero = {"torso": 0 * still["torso"], "head": 0 * still["head"], "camera": camera}
    motion = dataclasses.replace(motion, yaw=yaw, **{**still, **zero})
    clip = render_clip(person, scene, motion, 96)
    np.testing.assert_array_equal(clip.frames[0], clip.frames[-1])
    facing = clip.keypoints[:, LEFT_POINTS[0], 0] - clip.keypoints[:, RIGHT_POINTS[0], 0]
    is_front, is_back = np.cos(yaw) > 0.1, np.cos(yaw) < -0.1
    assert (facing[is_front] > 0).all()
    assert (facing[is_back] < 0).all()
    for some, torso in ((is_front, 2), (is_back, 1)):
        assert {1, 2} & set(np.unique(clip.parts[some])) == {torso}
    # In profile the far side is hidden: the left one where the person looks to the right.
    right, left = clip.conf[6], clip.conf[18]
    assert right[[5, 6, 11, 12]].tolist() == [0, 1, 0, 1]
    assert left[[5, 6, 11, 12]].tolist() == [1, 0, 1, 0]
    # The trunk narrows and stays upright; nothing jumps.
    areas = clip.mask.sum((1, 2))
    assert 0.4 * areas[0] < areas.min()
    change = np.abs(np.diff(areas)) / areas[0]
    assert change.max() < 0.25


@pytest.mark.parametrize(
    ("angle", "scale", "shift"),
    [(0.7, 0.6, (0.05, -0.1)), (np.pi, 1.0, (0, 0)), (-1.5, 0.4, (0, 0.2))],
)
def test_person_transform_moves_the_person_and_not_the_scene(cast, angle, scale, shift):
    person, scene, motion = cast(1)
    size = np.array([80, 64])  # width, height
    plain = render_clip(person, scene, motion, (64, 80))
    moved = render_clip(person, scene, motion, (64, 80), person_transform=(angle, scale, shift))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = (size - 1) / 2
    expected = scale * (plain.keypoints - center) @ turn.T + center + np.array(shift) * size
    np.testing.assert_allclose(moved.keypoints, expected, atol=2e-3)
    near = [
        cv2.dilate((a | b).astype(np.uint8), np.ones((5, 5)))
        for a, b in zip(plain.mask, moved.mask, strict=True)
    ]
    far = ~np.stack(near).astype(bool)
    assert far.mean() > 0.2
    np.testing.assert_array_equal(plain.frames[far], moved.frames[far])
    assert moved.mask.any()


def test_transformed_person_looks_like_the_warped_picture(cast):
    person, scene, motion = cast(4)
    plain = render_clip(person, scene, motion, 128, frames=[0])
    angle, scale = 0.5, 0.9
    moved = render_clip(
        person, scene, motion, 128, frames=[0], person_transform=(angle, scale, (0, 0))
    )
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    center = np.array([63.5, 63.5])
    matrix = np.hstack([linear, (center - linear @ center)[:, None]])
    warped = cv2.warpAffine(plain.frames[0], matrix, (128, 128), flags=cv2.INTER_LINEAR)
    core = cv2.erode(moved.mask[0].astype(np.uint8), np.ones((3, 3))).astype(bool)
    assert np.abs(warped[core].astype(float) - moved.frames[0][core]).mean() < 14.0


def test_people_fill_the_canvas_move_and_stand_out():
    heights, steps, contrasts = [], [], []
    for index in range(40):
        clip = sample_clip(clip_rng(9, index), 4, 64)
        rows = np.nonzero(clip.mask[0].any(1))[0]
        heights.append((rows[-1] - rows[0] + 1) / 64)
        steps.append(np.linalg.norm(np.diff(clip.keypoints[:, 9:11], axis=0), axis=-1).mean())
        person = clip.frames[0][clip.mask[0]].mean(0)
        ring = cv2.dilate(clip.mask[0].astype(np.uint8), np.ones((9, 9))) - clip.mask[0]
        contrasts.append(np.abs(person - clip.frames[0][ring.astype(bool)].mean(0)).max())
    assert 0.7 < np.median(heights) < 1.0
    assert 0.5 < np.median(steps) < 8.0
    assert np.quantile(contrasts, 0.1) > 12.0


@pytest.mark.slow
def test_two_hundred_people_are_drawn_with_sane_masks():
    for index in range(200):
        clip = sample_clip(clip_rng(11, index), 1, 48)
        assert 0.03 < clip.mask.mean() < 0.75, index
        assert np.isin([1, 2], clip.parts).any(), index
        assert np.isfinite(clip.keypoints).all()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        sample_motion(clip_rng(0, 0), 0)
    with pytest.raises(ValueError, match=r"size must be at least 8 pixels a side, got \(4, 64\)"):
        sample_clip(clip_rng(0, 0), 1, (4, 64))
    with pytest.raises(ValueError, match="split must be one of"):
        clip_rng(0, 0, "valid")
