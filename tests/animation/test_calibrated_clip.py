import jax
import numpy as np
import pytest
from small_cases import exact_case, two_people

from tpc_jax._types import Keypoints
from tpc_jax.calibrated_clip import calibrate_clip
from tpc_jax.errors import UserError
from tpc_jax.options import Calibrating
from tpc_jax.pose.reading import Reference
from tpc_jax.procrustes.transform import angle_of, scale_of
from tpc_jax.studies.evaluation.pairs import drawn_pair

SIDE = 32
ALL_POINTS = Calibrating(method="all")


@pytest.mark.parametrize("index", [0, 1, 5])
@pytest.mark.parametrize(("angle", "scale"), [(np.pi / 3, 0.7), (-2.5, 0.5), (0.2, 1.2)])
def test_a_known_misalignment_is_undone(index, angle, scale):
    reference, driving = exact_case(index, 64, (angle, scale, (0.02, -0.03)))
    fit = calibrate_clip(reference, driving).calibration
    still = jax.tree.map(lambda x: x[0, 2], fit.drv_from_ref)
    assert abs(scale_of(still) * scale - 1) < 1e-3
    assert abs(np.exp(1j * (angle_of(still) + angle)) - 1) < 1e-3
    assert fit.residual[0, 2] < 1e-3


@pytest.mark.parametrize("method", ["lts", "all", "face", "clip"])
def test_turning_the_reference_turns_the_fit(method):
    fits = {}
    for angle in (0.0, 1.0):
        reference, driving = exact_case(5, 64, (angle, 0.8, (0.0, 0.0)))
        plain = Calibrating(method=method, refine="none")
        fits[angle] = calibrate_clip(reference, driving, plain).calibration
    straight, turned = (np.asarray(angle_of(fits[a].drv_from_ref)) for a in (0.0, 1.0))
    assert np.abs(np.exp(1j * (turned + 1.0 - straight)) - 1).max() < 1e-2


def test_calibrated_pictures_lie_on_the_target():
    reference, driving = exact_case(0, 64, (np.pi / 2, 0.8, (0.0, 0.0)))
    clip = calibrate_clip(reference, driving)
    assert (clip.num_people, clip.num_frames, clip.size) == (1, 5, (64, 64))
    images, masks = clip.warped(0)
    warped, target = masks[2] > 127, driving.masks[0, 2]
    assert (warped & target).sum() / (warped | target).sum() > 0.85
    error = np.abs(images[2].astype(float) - driving.frames[2])[warped & target]
    assert error.mean() < 20
    assert images.shape == (5, 64, 64, 3)


@pytest.mark.parametrize("frames", [[3], [4, 0, 0, 2], list(range(11))])
def test_pictures_are_those_of_the_frames_asked_for(frames):
    """Whatever is asked for together, in whichever order, once or twice."""
    reference, driving = two_people(SIDE, num_frames=11)
    clip = calibrate_clip(reference, driving, ALL_POINTS)
    for person in range(2):
        images, masks = clip.warped(person, np.array(frames))
        all_images, all_masks = clip.warped(person)
        np.testing.assert_array_equal(images, all_images[frames])
        np.testing.assert_array_equal(masks, all_masks[frames])
        targets = clip.target_masks(person, np.array(frames))
        np.testing.assert_array_equal(targets, clip.target_masks(person)[frames])
    assert all_masks.any((1, 2)).all()


def test_two_people_are_calibrated_each_by_itself():
    reference, driving = two_people(SIDE)
    both = calibrate_clip(reference, driving, ALL_POINTS).calibration
    for person in range(2):
        alone = calibrate_clip(
            Reference(
                reference.image,
                reference.keypoints.select([person]),
                reference.masks[[person]],
            ),
            driving._replace(
                keypoints=driving.keypoints.select([person]),
                masks=driving.masks[[person]],
            ),
            ALL_POINTS,
        ).calibration
        np.testing.assert_allclose(
            both.drv_from_ref.offset[person], alone.drv_from_ref.offset[0], atol=1e-2
        )
        np.testing.assert_array_equal(both.subset[person], alone.subset[0])


def test_a_person_missing_from_some_frames_borrows_its_fit():
    reference, driving = exact_case(1, 64, (0.5, 0.9, (0.0, 0.0)))
    conf = driving.keypoints.conf.copy()
    conf[:, [0, 3]] = 0
    gappy = driving._replace(keypoints=Keypoints(driving.keypoints.xy, conf))
    clip = calibrate_clip(reference, gappy)
    np.testing.assert_array_equal(clip.calibration.is_filled[0], [True, False, False, True, False])
    assert not clip.target_masks(0, np.array([0, 3])).any()
    images = clip.warped(0).images
    np.testing.assert_array_equal(images[0], images[1])
    scale = np.asarray(scale_of(clip.calibration.drv_from_ref))[0]
    assert scale[3] == pytest.approx(np.sqrt(scale[2] * scale[4]), rel=1e-5)


def test_of_more_reference_people_the_one_at_that_place_is_meant():
    reference, _ = two_people(SIDE)
    driving = drawn_pair(0, SIDE, num_frames=3).motion
    # Places are shares of the canvas: 20 of 32 pixels is nearer to 48 of 64 than to 16 of 64.
    xy, conf = driving.keypoints
    shift = np.array([20 - xy[conf > 0][:, 0].mean(), 0.0], np.float32)
    clip = calibrate_clip(
        reference, driving._replace(keypoints=Keypoints(xy + shift, conf)), ALL_POINTS
    )
    assert [clip.target_masks(person).any() for person in range(2)] == [False, True]
    np.testing.assert_array_equal(clip.calibration.is_filled.all(1), [True, False])


def test_a_large_photo_is_no_reason_to_discard_a_fit():
    reference, driving = exact_case(1, 64, (0.5, 0.9, (0.0, 0.0)))
    times = 6000 / 64
    xy, conf = reference.keypoints
    photo = Reference(
        np.broadcast_to(np.uint8(0), (6000, 6000, 3)),
        Keypoints((times * (xy + 0.5) - 0.5).astype(np.float32), conf),
        np.broadcast_to(False, (1, 6000, 6000)),
    )
    plain = Calibrating(refine="none")
    small, large = (
        calibrate_clip(still, driving, plain).calibration for still in (reference, photo)
    )
    assert not large.is_filled.any()
    scale = np.asarray(scale_of(large.drv_from_ref))
    assert scale.max() < 0.05
    np.testing.assert_allclose(times * scale, scale_of(small.drv_from_ref), rtol=1e-3)


def test_masks_that_are_not_given_are_drawn():
    reference, driving = exact_case(1, 64, None)
    drawn = calibrate_clip(reference, driving._replace(masks=None)).target_masks(0)
    masks = driving.masks[0]
    overlap = (drawn & masks).sum() / (drawn | masks).sum()
    assert overlap > 0.4


def test_a_reference_without_people_is_a_user_error():
    reference, driving = exact_case(1, 64, None)
    nobody = Keypoints(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32))
    with pytest.raises(UserError, match="--reference-keypoints"):
        calibrate_clip(reference._replace(keypoints=nobody), driving)


def test_no_common_points_are_a_user_error():
    reference, driving = exact_case(1, 64, None)
    left, right = (np.zeros(17, np.float32) for _ in range(2))
    left[[5, 7, 9]], right[[6, 8, 10]] = 1, 1
    one = Keypoints(reference.keypoints.xy, left[None])
    other = Keypoints(driving.keypoints.xy, np.broadcast_to(right, (1, 5, 17)))
    with pytest.raises(UserError, match="no two common keypoints"):
        calibrate_clip(reference._replace(keypoints=one), driving._replace(keypoints=other))
