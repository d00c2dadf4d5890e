"""Size, turn and place of generated people, on people moved by known similarities."""

import cv2
import jax
import numpy as np
import pytest

from tpc_jax.metrics import keypoint_placement, picture_placement
from tpc_jax.metrics.placement import LEAST_MATCH
from tpc_jax.studies.people import clip_rng, sample_clip
from tpc_jax.studies.people.clip import scaled_turn

SIZE = 64
STILL = (0.0, 1.0, (0.0, 0.0))
place = jax.jit(picture_placement)


def drawn(index, moved=STILL, size=SIZE):
    clip = sample_clip(clip_rng(5, index, "test"), 9, size, person_transform=moved, frames=[4])
    return clip.frames[0] / np.float32(255), clip.mask[0], clip.keypoints[0], clip.conf[0] > 0


def expected_shift(mask, moved):
    """Return how far a similarity about the canvas centre takes the middle of a mask."""
    y, x = np.nonzero(mask)
    middle, center = np.array([x.mean(), y.mean()]), (np.array(mask.shape) - 1) / 2
    there = scaled_turn(*moved[:2]) @ (middle - center) + center + np.array(moved[2]) * len(mask)
    return (there - middle) / (max(np.ptp(x), np.ptp(y)) + 1)


def degrees(found):
    return np.degrees(float(found.angle))


def percent(found):
    return 100 * np.log(float(found.scale))


@pytest.mark.parametrize(
    "moved",
    [
        (0.05, 1.03, (0.02, -0.01)),
        (-0.3, 0.8, (0.1, 0.05)),
        (0.6, 1.2, (0.0, 0.0)),
        (0.0, 1.6, (0.0, 0.0)),
        (0.2, 0.6, (0.0, 0.1)),
    ],
)
def test_a_person_moved_by_a_known_similarity_is_found_there(moved):
    for index in range(6):
        true, mask, *_ = drawn(index)
        found = place(drawn(index, moved)[0], true, mask)
        assert found.match > LEAST_MATCH
        assert percent(found) == pytest.approx(100 * np.log(moved[1]), abs=2.0)
        assert degrees(found) == pytest.approx(np.degrees(moved[0]), abs=0.5)
        np.testing.assert_allclose(found.shift, expected_shift(mask, moved), atol=0.005)


@pytest.mark.parametrize("index", range(4))
def test_an_unmoved_person_has_no_error_however_noisy_soft_or_pale(index):
    true, mask, *_ = drawn(index)
    rng = np.random.default_rng(index)
    noisy = np.clip(true + 0.08 * rng.normal(size=true.shape), 0, 1).astype(np.float32)
    soft = cv2.GaussianBlur(true, (0, 0), 1.5)
    pale = 0.6 * true + 0.4 * cv2.inpaint(
        (255 * true).astype(np.uint8), mask.astype(np.uint8), 3, cv2.INPAINT_TELEA
    ) / np.float32(255)
    exact = place(true, true, mask)
    assert exact.match == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose([percent(exact), degrees(exact), *exact.shift], 0, atol=0.01)
    for picture in (noisy, soft, pale):
        found = place(picture.astype(np.float32), true, mask)
        assert found.match > LEAST_MATCH
        assert abs(percent(found)) < 1.0
        assert abs(degrees(found)) < 0.4
        assert np.hypot(*found.shift) < 0.004


def test_other_people_before_other_scenes_are_not_found():
    for index in range(12):
        true, mask, *_ = drawn(index)
        assert place(drawn(index + 20)[0], true, mask).match < LEAST_MATCH


def test_an_empty_picture_and_a_missing_person_are_not_found():
    true, mask, *_ = drawn(0)
    grey = np.full_like(true, 0.5)
    for found in (place(grey, true, mask), place(true, true, np.zeros_like(mask))):
        assert found.match < LEAST_MATCH
        assert np.isfinite([found.scale, found.angle, *found.shift]).all()


def test_the_size_of_the_picture_changes_nothing():
    moved = (0.1, 1.2, (0.05, 0.0))
    small, large = (
        place(drawn(3, moved, size)[0], *drawn(3, size=size)[:2]) for size in (SIZE, 3 * SIZE)
    )
    assert percent(small) == pytest.approx(percent(large), abs=0.5)
    assert degrees(small) == pytest.approx(degrees(large), abs=0.3)
    np.testing.assert_allclose(small.shift, large.shift, atol=0.004)


@pytest.mark.parametrize("moved", [(0.7, 0.6, (0.1, -0.1)), (np.pi, 1.7, (0, 0)), (-2, 1, (0, 0))])
def test_keypoints_tell_the_similarity_that_moved_them(moved):
    _, _, xy, _ = drawn(1)
    seen = np.arange(17) % 4 != 0
    there = drawn(1, moved)[2].copy()
    there[~seen] = np.nan
    found = keypoint_placement(there, xy, seen)
    assert found.scale == pytest.approx(moved[1], rel=1e-4)
    assert abs(np.exp(1j * found.angle) - np.exp(1j * moved[0])) < 1e-4
    assert found.match == pytest.approx(1.0, abs=1e-4)
    middle = xy[seen].mean(0)
    height = np.ptp(xy[seen], axis=0).max()
    np.testing.assert_allclose(found.shift, (there[seen].mean(0) - middle) / height, atol=1e-4)


def test_keypoints_that_no_similarity_matches():
    rng = np.random.default_rng(0)
    xy, seen = rng.normal(size=(17, 2)), np.ones(17, bool)
    # The other person is a mirror image: no turn about the camera's axis makes it.
    assert keypoint_placement(rng.normal(size=(17, 2)), xy, seen).match < LEAST_MATCH
    few = keypoint_placement(xy, xy, np.arange(17) < 1)
    assert few.match == 0
    assert np.isfinite([few.scale, few.angle, *few.shift]).all()
    batch = jax.vmap(keypoint_placement)(xy[None], xy[None], seen[None])
    assert batch.shift.shape == (1, 2)
