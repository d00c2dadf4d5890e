"""What cannot be people in the picture is told from people, however they stand."""

import warnings

import numpy as np
import pytest
from pose_figures import STANDING, mirrored, place

from tpc_jax._types import Keypoints
from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.images import write_image
from tpc_jax.io.keypoint_files import write_keypoint_file
from tpc_jax.pose.masks import person_masks
from tpc_jax.pose.plausibility import find_faults, require_plausible
from tpc_jax.pose.reading import read_reference

SIZE = (512, 512)


def clip(*frames, conf=0.9):
    xy = np.stack(frames)[None]
    return Keypoints(xy.astype(np.float32), np.full(xy.shape[:-1], conf, np.float32))


def kinds(keypoints, size=SIZE, masks=None):
    return [fault.kind for fault in find_faults(keypoints, size, masks)]


@pytest.mark.parametrize("angle", [0, 60, 180])
@pytest.mark.parametrize("scale", [0.2, 0.7, 1.3])
@pytest.mark.parametrize("pose", [STANDING, mirrored(), STANDING * [0.3, 1]])
def test_people_of_any_size_turn_and_side_are_plausible(angle, scale, pose):
    assert kinds(clip(place(angle, scale, pose=pose))) == []


def test_nobody_is_plausible():
    assert kinds(clip(place(), conf=0)) == []


def test_people_cut_off_by_the_border_are_plausible():
    assert kinds(clip(place(at=(256, 420)))) == []


def test_keypoints_of_a_larger_picture_lie_outside():
    faults = find_faults(clip(3 * place()), SIZE)
    assert faults[0].kind == "outside"
    assert faults[0].is_fatal
    assert "512x512" in faults[0].message


def test_normalised_keypoints_are_tiny():
    faults = find_faults(clip(place() / 512), SIZE)
    assert [fault.kind for fault in faults] == ["tiny"]
    assert faults[0].is_fatal


def test_the_order_of_openpose_read_as_coco_has_no_human_proportions():
    xy = place()
    neck = xy[[5, 6]].mean(0)
    order = [xy[0], neck, *xy[[6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4]]]
    assert kinds(clip(np.stack(order))) == ["proportions"]


def test_one_wrong_frame_among_many_says_nothing_about_the_order_of_points():
    frames = [place() for _ in range(9)]
    frames[4] = frames[4][::-1]
    assert kinds(clip(*frames)) == []


def test_a_body_that_leaps_across_the_picture_is_named_by_its_frame():
    frames = [place(scale=0.3, at=(100, 256))] * 3 + [place(scale=0.3, at=(400, 256))] * 3
    faults = find_faults(clip(*frames), SIZE)
    assert [fault.kind for fault in faults] == ["jumps"]
    assert "to frame 3" in faults[0].message


def test_two_people_who_change_places_in_the_file_do_not_jump():
    left, right = (place(scale=0.3, at=(x, 256)) for x in (100, 400))
    one, other = clip(left, right), clip(right, left)
    both = Keypoints(*(np.concatenate(pair) for pair in zip(one, other, strict=True)))
    assert kinds(both) == []


def test_masks_that_hold_nobody_are_named():
    masks = np.zeros((1, 1, *SIZE), bool)
    masks[..., :40, :40] = True
    faults = find_faults(clip(place()), SIZE, masks)
    assert [fault.kind for fault in faults] == ["masks"]
    assert faults[0].is_fatal


def test_inverted_masks_are_named():
    masks = np.ones((1, 1, *SIZE), bool)
    masks[..., 60:460, 100:400] = False
    (fault,) = find_faults(clip(place()), SIZE, masks)
    assert "inverted" in fault.message


def test_inverted_masks_of_slim_people_are_named():
    pose = clip(place())
    masks = ~np.asarray(person_masks(pose, SIZE))
    (fault,) = find_faults(pose, SIZE, masks)
    assert "inverted" in fault.message


def test_a_mask_that_is_a_little_narrow_is_plausible():
    masks = np.zeros((1, 1, *SIZE), bool)
    masks[..., 120:420, 220:290] = True
    assert kinds(clip(place()), masks=masks) == []


def test_what_is_implausible_is_said_and_what_is_hopeless_is_refused():
    frames = [place(scale=0.3, at=(100, 256)), place(scale=0.3, at=(400, 256))]
    with pytest.warns(InputWarning, match=r"^a\.json: somebody moves"):
        require_plausible("a.json", clip(*frames), SIZE)
    with pytest.raises(UserError, match=r"^a\.json: 100% of the keypoints lie outside"):
        require_plausible("a.json", clip(place() + 2000), SIZE)


def test_a_reference_with_keypoints_of_another_picture_is_refused(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((*SIZE, 3), np.uint8))
    xy = 3 * place().astype(np.float32)[None]
    write_keypoint_file(tmp_path / "a.json", Keypoints(xy, np.ones(xy.shape[:-1], np.float32)))
    with pytest.raises(UserError, match="outside"):
        read_reference(tmp_path / "a.png", tmp_path / "a.json")


def test_a_plausible_reference_is_read_without_a_word(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((*SIZE, 3), np.uint8))
    xy = place().astype(np.float32)[None]
    write_keypoint_file(tmp_path / "a.json", Keypoints(xy, np.ones(xy.shape[:-1], np.float32)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_reference(tmp_path / "a.png", tmp_path / "a.json")
