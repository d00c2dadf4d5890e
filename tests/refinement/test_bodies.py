"""Bodies as numbers: samples, maps, and similarities between them."""

import numpy as np
import pytest
from drawn_person import SIZE, keypoints, parts_of, place

from tpc_jax._types import Keypoints, Transform2D
from tpc_jax.pose.body_model import capsule_parts
from tpc_jax.refinement.bodies import (
    MAP_SIDE,
    NUM_SAMPLES,
    OTHER,
    Source,
    from_parameters,
    still_body,
    target_body,
    to_parameters,
)


def test_samples_are_spread_evenly_over_the_body():
    still = still_body(Source(keypoints(place()), SIZE))
    drawn = capsule_parts(keypoints(place()), *SIZE)
    count = int((still.labels > 0).sum())
    assert 0.9 * NUM_SAMPLES < count <= NUM_SAMPLES
    assert still.area == pytest.approx((drawn > 0).sum(), rel=0.04)  # drawn at another scale
    shares = np.bincount(still.labels, minlength=15)[1:] / count
    true = np.bincount(drawn.ravel(), minlength=15)[1:] / (drawn > 0).sum()
    np.testing.assert_allclose(shares, true, atol=0.02)


def test_a_map_holds_the_whole_body_whatever_its_size():
    for scale in (0.25, 1.0):
        target = target_body(Source(keypoints(place(scale=scale)), SIZE))
        assert target.segments.shape == (MAP_SIDE, MAP_SIDE)
        rim = (target.segments[[0, -1]], target.segments[:, [0, -1]])
        border = np.concatenate([edge.ravel() for edge in rim])
        assert not border.any()
        assert target.area > 500


def test_nothing_is_known_of_nobody():
    nobody = Keypoints(np.zeros((17, 2), np.float32), np.zeros(17, np.float32))
    assert still_body(Source(nobody, SIZE)) is None
    assert target_body(Source(nobody, SIZE)) is None
    assert target_body(Source(nobody, SIZE, np.zeros(SIZE, np.uint8))) is None


def test_parameters_describe_a_similarity_and_give_it_back():
    still, target = (body(Source(keypoints(place()), SIZE)) for body in (still_body, target_body))
    cosine, sine = 0.7 * np.cos(2.5), 0.7 * np.sin(2.5)
    transform = Transform2D(np.array([[cosine, -sine], [sine, cosine]]), np.array([40.0, -12.0]))
    back = from_parameters(to_parameters(transform, still, target), still, target)
    np.testing.assert_allclose(back.linear, transform.linear, atol=1e-5)
    np.testing.assert_allclose(back.offset, transform.offset, atol=1e-2)


def test_known_segments_win_over_drawn_ones():
    known = parts_of(place(degrees=90))
    still = still_body(Source(keypoints(place()), SIZE, known))
    drawn = still_body(Source(keypoints(place(degrees=90)), SIZE, known))
    np.testing.assert_array_equal(still.points, drawn.points)


def test_a_mask_cuts_drawn_bodies_and_adds_what_no_segment_covers():
    mask = np.zeros(SIZE, bool)
    mask[: SIZE[0] // 2] = True
    target = target_body(Source(keypoints(place()), SIZE, mask=mask))
    assert set(np.unique(target.segments)) >= {0, OTHER}
    half = target_body(Source(keypoints(place()), SIZE, mask=np.ones(SIZE, bool)))
    assert (half.segments == OTHER).any()
