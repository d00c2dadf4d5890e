import numpy as np
import pytest

from tpc_jax.studies.datasets.splits import load_pair
from tpc_jax.studies.datasets.synthetic import SyntheticPeople
from tpc_jax.studies.evaluation.pairs import (
    MOST_FRAMES,
    drawn_pair,
    held_out_pair,
    without_parts,
)

SIZE = 32


def test_a_person_is_determined_by_its_number():
    first, again, other = (drawn_pair(index, SIZE, num_frames=3) for index in (4, 4, 5))
    np.testing.assert_array_equal(first.motion.frames, again.motion.frames)
    np.testing.assert_array_equal(first.reference.image, again.reference.image)
    assert (first.motion.frames != other.motion.frames).mean() > 0.3


def test_only_the_reference_is_misaligned():
    aligned = drawn_pair(4, 64, num_frames=3)
    turned = drawn_pair(4, 64, num_frames=3, misalignment=(np.pi / 2, 0.5, (0.0, 0.0)))
    np.testing.assert_array_equal(turned.motion.frames, aligned.motion.frames)
    np.testing.assert_array_equal(turned.motion.masks, aligned.motion.masks)
    # A turn by 90 degrees at half the size about the middle of the canvas.
    middle = 31.5
    before, after = (pair.reference.keypoints.xy[0] - middle for pair in (aligned, turned))
    np.testing.assert_allclose(after, 0.5 * np.stack([-before[:, 1], before[:, 0]], -1), atol=1e-3)
    # The background stays where neither person stands.
    free = ~(aligned.reference.masks[0] | turned.reference.masks[0])
    margin = np.pad(free, 2, constant_values=True)
    clear = np.lib.stride_tricks.sliding_window_view(margin, (5, 5)).all((-2, -1))
    assert clear.sum() > 300
    np.testing.assert_array_equal(aligned.reference.image[clear], turned.reference.image[clear])


def test_a_pair_of_a_split_is_the_person_drawn_by_number():
    drawn = drawn_pair(2, SIZE, num_frames=3, misalignment=(np.pi / 6, 0.8, (0.0, 0.0)), seed=5)
    pair = load_pair(SyntheticPeople(SIZE, 9, 5), held_out_pair(2, 3, 30.0, 0.8))
    np.testing.assert_array_equal(pair.reference.image, drawn.reference.image)
    np.testing.assert_array_equal(pair.motion.frames, drawn.motion.frames)
    np.testing.assert_array_equal(pair.motion.keypoints.xy, drawn.motion.keypoints.xy)


def test_the_motion_is_exact():
    motion = drawn_pair(1, SIZE, num_frames=4).motion
    assert motion.keypoints.xy.shape == (1, 4, 17, 2)
    assert (motion.parts > 0)[~motion.masks[0]].mean() < 0.05
    assert motion.kind == "rgb"


def test_without_parts_both_sides_are_known_by_their_keypoints_alone():
    pair = drawn_pair(1, SIZE, num_frames=4, misalignment=(np.pi / 6, 0.8, (0.0, 0.0)))
    assert (pair.reference.parts > 0)[~pair.reference.masks[0]].mean() < 0.05
    reference, motion = without_parts(*pair)
    assert reference.parts is None
    assert motion.parts is None
    assert motion.uv is None
    np.testing.assert_array_equal(reference.keypoints.xy, pair.reference.keypoints.xy)


@pytest.mark.parametrize("num_frames", [0, MOST_FRAMES + 1])
def test_motions_have_a_length(num_frames):
    with pytest.raises(ValueError, match="num_frames must be in"):
        drawn_pair(0, SIZE, num_frames=num_frames)


def test_lower_resolution_takes_detail_and_keeps_everything_else():
    data = SyntheticPeople(64, 3)
    whole, low = (load_pair(data, held_out_pair(2, 1, resolution=x)) for x in (1.0, 0.4))
    assert low.reference.image.shape == whole.reference.image.shape
    np.testing.assert_array_equal(low.reference.masks, whole.reference.masks)
    np.testing.assert_array_equal(low.reference.keypoints.xy, whole.reference.keypoints.xy)
    np.testing.assert_array_equal(low.motion.frames, whole.motion.frames)

    def detail(image):
        return np.abs(np.diff(image.astype(float), axis=1)).mean()

    assert detail(low.reference.image) < 0.8 * detail(whole.reference.image)
    assert abs(low.reference.image.mean() - whole.reference.image.mean()) < 2
