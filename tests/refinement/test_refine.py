"""Evidence, choice and refinement of similarities over a clip."""

import jax.numpy as jnp
import numpy as np
import pytest
from drawn_person import SIZE, keypoints, parts_of, place

from tpc_jax._types import Keypoints, Transform2D
from tpc_jax.pose.densepose import SEGMENT_NUMBERS
from tpc_jax.refinement.bodies import OTHER, Source, still_body, target_body, to_parameters
from tpc_jax.refinement.energy import DEFAULT_WEIGHTS, energy, overlap
from tpc_jax.refinement.refine import refine

IDENTITY = Transform2D(np.eye(2), np.zeros(2))


def bodies(xy, ref_xy=None, **known):
    reference = Source(keypoints(place() if ref_xy is None else ref_xy), SIZE)
    return still_body(reference), target_body(Source(keypoints(xy), SIZE, **known))


def at(transform, still, target):
    return jnp.asarray(to_parameters(transform, still, target))


def similarity(degrees=0.0, scale=1.0, shift=(0.0, 0.0), pivot=(120, 100)):
    angle = np.radians(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Transform2D(linear, np.array(pivot) - linear @ np.array(pivot) + np.array(shift))


def repeat(transform, count):
    return Transform2D(*(np.repeat(np.asarray(x)[None], count, 0) for x in transform))


def angles(transforms):
    return np.degrees(np.arctan2(transforms.linear[:, 1, 0], transforms.linear[:, 0, 0]))


def test_a_body_lies_on_itself():
    still, target = bodies(place())
    found = overlap(at(IDENTITY, still, target), still, target)
    assert found.segments > 0.9
    assert found.silhouette > 0.9


def test_what_the_frame_cuts_off_is_not_held_against_a_transform():
    # The motion shows the upper half alone; below its canvas nothing is asked of the reference.
    size = (110, SIZE[1])
    still = still_body(Source(keypoints(place()), SIZE))
    target = target_body(Source(keypoints(place()), size))
    assert overlap(at(IDENTITY, still, target), still, target).segments > 0.9


def test_left_is_not_right():
    still, target = bodies(place(turned=True))
    found = overlap(at(IDENTITY, still, target), still, target)
    assert found.silhouette > found.segments + 0.2


def test_pixels_of_no_known_segment_never_agree():
    segments = np.where(parts_of(place()) > 0, OTHER, 0).astype(np.uint8)
    still = still_body(Source(keypoints(place()), SIZE, segments))
    target = target_body(Source(keypoints(place()), SIZE, segments))
    found = overlap(at(IDENTITY, still, target), still, target)
    assert found.segments == 0
    assert found.silhouette > 0.9


def test_keypoints_count_only_beyond_a_quorum():
    few = place()
    few[8:] += 300  # eight of seventeen agree
    weights = DEFAULT_WEIGHTS._replace(segments=0.0, silhouette=0.0)
    for xy, expected in ((few, 0.0), (place(), -weights.keypoints)):
        still, target = bodies(xy, segments=parts_of(place()))
        value = energy(at(IDENTITY, still, target), still, target, weights)
        assert float(value) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("degrees", [0, 40, 180, -120])
def test_a_known_similarity_is_found_from_a_start_nearby(degrees):
    true = similarity(degrees, 0.8, (4, -3))
    moved = place() @ true.linear.T + true.offset
    rough = similarity(degrees + 20, 0.65, (15, 5))
    found = refine(
        Source(keypoints(place()), SIZE),
        [Source(keypoints(moved), SIZE)] * 3,
        [repeat(rough, 3), repeat(IDENTITY, 3)],
        untouched=1,
    )
    for transform in zip(*found.drv_from_ref, strict=True):
        error = place() @ transform[0].T + transform[1] - moved
        assert np.abs(error).max() < 5
    assert (found.agreement > 0.85).all()


def test_a_frame_with_a_wild_start_follows_its_neighbours():
    true = similarity(10, 0.9)
    moved = place() @ true.linear.T + true.offset
    start = repeat(true, 9)
    start.linear[4] = similarity(150, 0.4).linear
    found = refine(
        Source(keypoints(place()), SIZE), [Source(keypoints(moved), SIZE)] * 9,
        [start, repeat(similarity(150, 0.4), 9)], untouched=1,
    )  # fmt: skip
    np.testing.assert_allclose(angles(found.drv_from_ref), 10, atol=4)


def test_nothing_ends_worse_than_the_untouched_reference():
    rng = np.random.default_rng(0)
    poses = [place() + rng.normal(0, 12, (17, 2)) for _ in range(6)]
    wild = Transform2D(rng.normal(0, 1, (6, 2, 2)), rng.normal(0, 50, (6, 2)))
    found = refine(
        Source(keypoints(place()), SIZE), [Source(keypoints(xy), SIZE) for xy in poses],
        [wild, repeat(IDENTITY, 6)], untouched=1,
    )  # fmt: skip
    # As far as segments tell; silhouettes and keypoints count too.
    assert (found.agreement >= found.before[1] - 0.1).all()


def test_a_reference_that_fits_where_it_is_stays_there():
    found = refine(
        Source(keypoints(place()), SIZE), [Source(keypoints(place()), SIZE)] * 2,
        [repeat(similarity(2, 1.02), 2), repeat(IDENTITY, 2)], untouched=1,
    )  # fmt: skip
    assert (found.choice == 2).all()
    np.testing.assert_array_equal(found.drv_from_ref.linear, repeat(IDENTITY, 2).linear)


def test_frames_with_nobody_are_told_apart_and_candidates_without_numbers_are_left_out():
    nobody = Keypoints(np.zeros((17, 2), np.float32), np.zeros(17, np.float32))
    nowhere = Transform2D(np.full((2, 2, 2), np.nan), np.full((2, 2), np.nan))
    found = refine(
        Source(keypoints(place()), SIZE), [Source(nobody, SIZE), Source(keypoints(place()), SIZE)],
        [nowhere, repeat(IDENTITY, 2)], untouched=1,
    )  # fmt: skip
    np.testing.assert_array_equal(found.is_known, [False, True])
    assert all(np.isfinite(x).all() for x in found.drv_from_ref)


def test_without_a_body_in_the_reference_there_is_no_answer():
    nobody = Keypoints(np.zeros((17, 2), np.float32), np.zeros(17, np.float32))
    target = [Source(keypoints(place()), SIZE)]
    assert refine(Source(nobody, SIZE), target, [repeat(IDENTITY, 1)], 0) is None


def test_every_segment_has_a_number_of_its_own():
    assert sorted(SEGMENT_NUMBERS.values()) == list(range(1, 15))
    assert OTHER not in SEGMENT_NUMBERS.values()
