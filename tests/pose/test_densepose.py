import cv2
import numpy as np
import pytest
from pose_figures import BACK, FRONT, draw_parts, mirrored, place

from tpc_jax.errors import UserError
from tpc_jax.io.video import read_video, write_video
from tpc_jax.pose.densepose import (
    BONE_PARTS,
    LIMB_PARTS,
    PALETTE,
    SEGMENTS,
    decode_parts,
    is_densepose,
    render_densepose,
    split_people,
)
from tpc_jax.pose.densepose_keypoints import keypoints_from_parts
from tpc_jax.pose.skeletons import KEYPOINT_INDEX

FACE, BODY = slice(0, 5), slice(5, 17)


def keypoints_of(parts, person=None):
    return keypoints_from_parts(parts, parts > 0 if person is None else person)


def test_palette_is_viridis_at_the_published_indices():
    matplotlib = pytest.importorskip("matplotlib")
    index = [int(part * 255 / 24) for part in range(25)]
    viridis = matplotlib.colormaps["viridis"](index, bytes=True)[:, :3]
    assert np.abs(viridis.astype(int) - PALETTE).max() <= 1
    assert PALETTE[0].tolist() == [68, 1, 84]


def test_render_and_decode_are_inverse_inside_regions():
    stripes = np.repeat(np.arange(25, dtype=np.uint8), 12)
    parts = np.repeat(stripes[None], 40, axis=0)
    decoded = decode_parts(render_densepose(parts)[None])[0]
    np.testing.assert_array_equal(decoded, parts)


def test_every_colour_takes_the_nearest_entry():
    rng = np.random.default_rng(0)
    part = rng.integers(0, 25, (6, 6))
    # Blocks, so that the clean-up has nothing to do; compression noise of up to 4 levels.
    noisy = np.kron(PALETTE[part].astype(int), np.ones((20, 20, 1), int))
    noisy += rng.integers(-4, 5, noisy.shape)
    decoded = decode_parts(np.clip(noisy, 0, 255).astype(np.uint8)[None])[0]
    assert (decoded == np.kron(part, np.ones((20, 20), int))).mean() > 0.99


@pytest.mark.parametrize("blur", [0.0, 0.7])
def test_compressed_seams_do_no_harm(tmp_path, blur):
    parts = draw_parts(place())
    picture = render_densepose(parts)
    if blur:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    write_video(tmp_path / "a.mp4", np.stack([picture] * 3), 25, quality=23)
    decoded = decode_parts(read_video(tmp_path / "a.mp4").frames)[1]
    assert (decoded == parts).mean() > 0.995
    person, expected = decoded > 0, parts > 0
    assert (person & expected).sum() / (person | expected).sum() > 0.94
    # Nor do they move the joints.
    clean, found = keypoints_of(parts), keypoints_of(decoded)
    assert np.linalg.norm(found.xy - clean.xy, axis=1).max() < 3
    np.testing.assert_allclose(found.conf, clean.conf, atol=0.1)


@pytest.mark.parametrize("angle", [0, 35, 90, 180, -120])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.25])
def test_joints_are_where_segments_meet(angle, scale):
    xy = place(angle, scale)
    found = keypoints_of(decode_parts(render_densepose(draw_parts(xy))[None])[0])
    error = np.linalg.norm(found.xy - xy, axis=1)
    assert error[BODY].max() < 1.5 + 1.2 * scale
    assert error[FACE].max() < 1.5 + 3 * scale
    assert found.conf[BODY].min() > 0.8
    assert found.conf[FACE].min() > 0.6


def test_seen_from_behind_the_face_is_hidden_and_sides_stay_the_persons_own():
    xy = place(pose=mirrored())
    found = keypoints_of(draw_parts(xy, parts=BACK))
    assert np.linalg.norm(found.xy - xy, axis=1)[BODY].max() < 3
    names = [KEYPOINT_INDEX[name] for name in ("nose", "left_eye", "right_eye")]
    assert (found.conf[names] < 0.3).all()
    ears = [KEYPOINT_INDEX[name] for name in ("left_ear", "right_ear")]
    assert (found.conf[ears] > 0.3).all()
    assert found.xy[ears[0], 0] < found.xy[ears[1], 0]  # the left ear is on the screen's left


@pytest.mark.parametrize(("visible", "side"), [(24, -1), (23, 1)])
def test_profile_looks_to_the_side_that_is_hidden(visible, side):
    parts = draw_parts(place())
    parts[np.isin(parts, (23, 24))] = visible
    found = keypoints_of(parts)
    near, far = ("left", "right") if visible == 24 else ("right", "left")
    nose = KEYPOINT_INDEX["nose"]
    assert side * (found.xy[nose, 0] - 256) > 10
    assert found.conf[nose] > 0.3
    assert found.conf[KEYPOINT_INDEX[f"{near}_ear"]] > 0.8
    assert found.conf[KEYPOINT_INDEX[f"{far}_ear"]] < 0.3
    assert found.conf[KEYPOINT_INDEX[f"{far}_eye"]] < 0.3


def test_hidden_parts_lower_the_confidence():
    xy = place()
    both = ("left_hand", "right_lower_arm", "right_hand", "left_lower_leg", "left_foot")
    found = keypoints_of(draw_parts(xy, skip=both))
    conf = dict(zip(KEYPOINT_INDEX, found.conf, strict=True))
    # A wrist without a hand is guessed at the end of the forearm.
    assert 0.3 < conf["left_wrist"] < 0.5
    wrist = KEYPOINT_INDEX["left_wrist"]
    assert np.linalg.norm(found.xy[wrist] - xy[wrist]) < 12
    assert 0.3 < conf["right_elbow"] < 0.5
    assert conf["right_wrist"] == 0
    assert 0.3 < conf["left_knee"] < 0.5
    assert conf["left_ankle"] == 0
    assert conf["right_knee"] > 0.8


def test_cut_off_limbs_are_not_guessed():
    parts = draw_parts(place(at=(256, 330)))  # the frame ends at mid shin
    parts[470:] = 0
    found = keypoints_of(parts[:470])
    conf = dict(zip(KEYPOINT_INDEX, found.conf, strict=True))
    assert conf["left_ankle"] == conf["right_ankle"] == 0
    assert conf["left_knee"] > 0.8


def test_arm_along_the_torso_keeps_its_shoulder():
    pose = place()
    pose[[7, 9]] = [(303, 220), (303, 270)]  # hangs at the side and touches the torso
    found = keypoints_of(draw_parts(pose))
    assert np.linalg.norm(found.xy[5] - pose[5]) < 6


def test_nobody_gives_no_confidence():
    found = keypoints_of(np.zeros((40, 50), np.uint8))
    assert found.xy.shape == (17, 2)
    assert (found.conf == 0).all()


@pytest.mark.parametrize("head", [23, 24])
def test_a_lone_head_and_lone_specks_do_not_break(head):
    for size in (1, 2, 5, 30):
        parts = np.zeros((60, 60), np.uint8)
        parts[10 : 10 + size, 10 : 10 + size] = head
        found = keypoints_of(parts)
        assert np.isfinite(found.xy).all()
        assert (found.conf[BODY] == 0).all()


def test_mapped_parts_give_mapped_keypoints():
    parts = draw_parts(place(20, 0.9, (240, 260)))
    found = keypoints_of(parts)
    turned = keypoints_of(np.ascontiguousarray(np.rot90(parts)))
    expected = np.stack([found.xy[:, 1], parts.shape[1] - 1 - found.xy[:, 0]], axis=1)
    np.testing.assert_allclose(turned.xy, expected, atol=1.0)
    np.testing.assert_allclose(turned.conf, found.conf, atol=0.05)


def two_people(distance, scale=0.8):
    left = draw_parts(place(0, scale, (200, 256)))
    right = draw_parts(place(0, scale, (200 + distance, 256)))
    return left, right, np.where(right > 0, right, left)


def test_separate_people_come_from_left_to_right():
    left, right, parts = two_people(220)
    people = split_people(parts)
    assert len(people) == 2
    np.testing.assert_array_equal(people[0], left > 0)
    np.testing.assert_array_equal(people[1], right > 0)


def test_touching_people_are_divided_at_the_contact():
    left, right, parts = two_people(130)  # hand in hand
    assert cv2.connectedComponents((parts > 0).astype(np.uint8))[0] == 2
    people = split_people(parts)
    assert len(people) == 2
    np.testing.assert_array_equal(people[0] | people[1], parts > 0)
    assert not (people[0] & people[1]).any()
    for found, expected in zip(people, (left > 0, right > 0), strict=True):
        assert (found & expected).sum() / (found | expected).sum() > 0.9


def test_fragments_join_the_nearest_person():
    left, right, parts = two_people(220)
    parts[:, :512] = np.where(np.isin(parts, (10,)), 0, parts)  # cut both left thighs out
    people = split_people(parts)
    assert len(people) == 2
    assert people[0][left == 14].all()  # the shin below the gap
    assert people[1][right == 14].all()


def test_hand_before_the_face_makes_no_second_person():
    parts = draw_parts(place())
    rows, columns = np.nonzero(np.isin(parts, (23, 24)))
    middle = int(columns.mean())
    band = np.s_[rows.min() - 3 : rows.max() - 10, middle - 6 : middle + 6]
    parts[band] = FRONT["left_hand"]
    assert len(split_people(parts)) == 1


def test_empty_map_has_no_people():
    assert split_people(np.zeros((8, 8), np.uint8)) == []


def rgb_noise():
    noise = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise[0], (0, 0), 2)[None].repeat(3, axis=0)


def other_palette():
    grey = (draw_parts(place()) * 10).astype(np.uint8)
    return cv2.applyColorMap(grey, cv2.COLORMAP_JET)[None]


@pytest.mark.parametrize("make", [rgb_noise, other_palette])
def test_other_pictures_are_refused(make):
    frames = make()
    assert not is_densepose(frames)
    with pytest.raises(UserError, match=r"clip.mp4: is not a DensePose rendering .*; give one"):
        decode_parts(frames, "clip.mp4")


def test_every_part_belongs_to_one_limb_or_to_head_or_torso():
    assert sorted(sum(BONE_PARTS.values(), (*SEGMENTS["head"], *SEGMENTS["torso"]))) == list(
        range(1, 25)
    )
    assert sorted(sum(LIMB_PARTS.values(), ())) == sorted(sum(BONE_PARTS.values(), ()))
    arm = {*SEGMENTS["left_lower_arm"], *SEGMENTS["left_hand"]}
    assert set(BONE_PARTS["left_lower_arm"]) == arm
    assert set(LIMB_PARTS["right_leg"]) == {6, 7, 9, 11, 13}
