import numpy as np
import pytest

from tpc_jax.studies.evaluation.cases import MOTION_FRAMES, lower_resolution, make_case

SIZE = 32


def test_a_case_is_determined_by_its_number():
    first, again, other = (make_case(index, SIZE, num_frames=3) for index in (4, 4, 5))
    np.testing.assert_array_equal(first.motion.frames, again.motion.frames)
    np.testing.assert_array_equal(first.reference.image, again.reference.image)
    assert (first.motion.frames != other.motion.frames).mean() > 0.3


def test_only_the_reference_is_misaligned():
    aligned = make_case(4, 64, num_frames=3)
    turned = make_case(4, 64, num_frames=3, misalignment=(np.pi / 2, 0.5, (0.0, 0.0)))
    np.testing.assert_array_equal(turned.motion.frames, aligned.motion.frames)
    np.testing.assert_array_equal(turned.motion.masks, aligned.motion.masks)
    # A turn by 90 degrees at half the size about the middle of the canvas.
    middle = 31.5
    before, after = (case.reference.keypoints.xy[0] - middle for case in (aligned, turned))
    np.testing.assert_allclose(after, 0.5 * np.stack([-before[:, 1], before[:, 0]], -1), atol=1e-3)
    # The background stays where neither person stands.
    free = ~(aligned.reference.masks[0] | turned.reference.masks[0])
    margin = np.pad(free, 2, constant_values=True)
    clear = np.lib.stride_tricks.sliding_window_view(margin, (5, 5)).all((-2, -1))
    assert clear.sum() > 300
    np.testing.assert_array_equal(aligned.reference.image[clear], turned.reference.image[clear])


def test_the_motion_is_exact():
    case = make_case(1, SIZE, num_frames=4)
    assert case.motion.keypoints.xy.shape == (1, 4, 17, 2)
    assert (case.motion.parts > 0)[~case.motion.masks[0]].mean() < 0.05
    assert make_case(1, SIZE, num_frames=4, use_parts=False).motion.parts is None


@pytest.mark.parametrize("num_frames", [0, MOTION_FRAMES])
def test_motions_have_a_length(num_frames):
    with pytest.raises(ValueError, match="num_frames must be in"):
        make_case(0, SIZE, num_frames=num_frames)


def test_lower_resolution_takes_detail_and_keeps_everything_else():
    reference = make_case(2, 64, num_frames=1).reference
    low = lower_resolution(reference, 0.4)
    assert low.image.shape == reference.image.shape
    assert low.keypoints is reference.keypoints
    assert low.masks is reference.masks

    def detail(image):
        return np.abs(np.diff(image.astype(float), axis=1)).mean()

    assert detail(low.image) < 0.8 * detail(reference.image)
    assert abs(low.image.mean() - reference.image.mean()) < 2
    np.testing.assert_array_equal(lower_resolution(reference, 1.0).image, reference.image)
