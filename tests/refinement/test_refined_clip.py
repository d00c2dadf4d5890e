"""The calibration of a clip with turned people, few points, and part maps."""

from fractions import Fraction

import numpy as np
import pytest
from drawn_person import SIZE, keypoints, place

from tpc_jax._types import Keypoints, SolveStatus
from tpc_jax.calibrated_clip import calibrate_clip
from tpc_jax.calibration import calibrate_on_host
from tpc_jax.options import Calibrating
from tpc_jax.pose.body_model import capsule_mask
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.refinement.clip import Choice
from tpc_jax.report.calibration import explain


def motion_of(frames, missing=()):
    people = Keypoints(
        np.stack([np.asarray(xy, np.float32) for xy in frames])[None],
        np.stack([keypoints(xy, missing).conf for xy in frames])[None],
    )
    pictures = np.zeros((len(frames), *SIZE, 3), np.uint8)
    return Motion(pictures, Fraction(10), "rgb", people, None, None)


def reference_of(xy, missing=()):
    points = keypoints(xy, missing)
    mask = capsule_mask(points, *SIZE)
    return Reference(np.zeros((*SIZE, 3), np.uint8), points.select(np.s_[None]), mask[None])


def angles(clip):
    linear = np.asarray(clip.calibration.drv_from_ref.linear[0])
    return np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))


@pytest.mark.parametrize("degrees", [0, 60, 180])
def test_people_seen_from_behind_stand_as_they_do_from_the_front(degrees):
    frames = [place(turned=True, at=(118 + i, 100)) for i in range(6)]
    reference = reference_of(place(degrees, 0.7))
    clip = calibrate_clip(reference, motion_of(frames))
    turn = (angles(clip) + degrees + 180) % 360 - 180
    assert np.abs(turn).max() < 20
    plain = calibrate_clip(reference, motion_of(frames), Calibrating(refine="none"))
    assert clip.judgement.agreement.mean() > clip.judgement.own.mean()
    assert plain.judgement is None


def test_a_fit_that_fits_is_hardly_changed():
    frames = [place(5 * i, 0.9) for i in range(5)]
    reference = reference_of(place())
    refined = calibrate_clip(reference, motion_of(frames))
    plain = calibrate_clip(reference, motion_of(frames), Calibrating(refine="none"))
    points = np.asarray(reference.keypoints.xy[0])
    for frame in range(5):
        images = [
            points @ np.asarray(c.calibration.drv_from_ref.linear[0, frame]).T
            + np.asarray(c.calibration.drv_from_ref.offset[0, frame])
            for c in (refined, plain)
        ]
        assert np.abs(images[0] - images[1]).max() < 4


@pytest.mark.parametrize("seen", [(1, 2), (9,)])
def test_two_eyes_are_no_fit(seen):
    missing = [k for k in range(17) if k not in seen]
    reference, motion = reference_of(place()), motion_of([place(30)] * 3, missing)
    if len(seen) == 2:
        status = calibrate_on_host(reference.keypoints, motion.keypoints).status
        assert (status == SolveStatus.UNSUPPORTED.value).all()
        clip = calibrate_clip(reference, motion, Calibrating(refine="none"))
        assert clip.people_without_fit == [0]
        assert "warning" in explain(clip)[0]
    else:
        with pytest.raises(Exception, match="no two common keypoints"):
            calibrate_clip(reference, motion)


def test_spread_points_are_a_fit_however_few():
    missing = [k for k in range(17) if k not in (5, 16)]
    found = calibrate_on_host(
        reference_of(place()).keypoints, motion_of([place(30)] * 2, missing).keypoints
    )
    assert (found.status == SolveStatus.OK.value).all()


def test_a_gap_takes_the_motion_of_its_neighbours():
    frames = [place(at=(100 + 4 * i, 100)) for i in range(7)]
    motion = motion_of(frames)
    conf = np.asarray(motion.keypoints.conf).copy()
    conf[0, 3] = 0
    motion = motion._replace(keypoints=Keypoints(motion.keypoints.xy, conf))
    clip = calibrate_clip(reference_of(place()), motion)
    offset = np.asarray(clip.calibration.drv_from_ref.offset[0])
    np.testing.assert_allclose(offset[3], (offset[2] + offset[4]) / 2, atol=1)
    np.testing.assert_array_equal(clip.calibration.is_filled[0], np.arange(7) == 3)


def test_the_explanation_counts_all_frames():
    frames = [place(turned=True)] * 2 + [place()] * 3
    clip = calibrate_clip(reference_of(place(20)), motion_of(frames))
    counts = {Choice(int(c)).name for c in np.unique(clip.judgement.choice)}
    assert counts <= {choice.name for choice in Choice}
    line = explain(clip)[0]
    assert "body agreement" in line
    assert sum(int(word) for word in line.split(";")[0].split() if word.isdigit()) == 5


def test_a_large_photo_is_refined_as_a_small_one():
    frames = [place(turned=True)] * 3
    small = reference_of(place(30))
    times = 20
    size = (times * SIZE[0], times * SIZE[1])
    xy = (np.asarray(small.keypoints.xy) + 0.5) * times - 0.5
    photo = Reference(
        np.broadcast_to(np.uint8(0), (*size, 3)),
        Keypoints(xy.astype(np.float32), small.keypoints.conf),
        np.broadcast_to(False, (1, *size)),
    )
    one, other = (calibrate_clip(still, motion_of(frames)) for still in (small, photo))
    np.testing.assert_allclose(angles(one), angles(other), atol=3)


def test_smoothing_follows_the_refinement():
    rng = np.random.default_rng(0)
    frames = [place(float(rng.normal(0, 8))) for _ in range(9)]
    rough = calibrate_clip(reference_of(place(15)), motion_of(frames))
    calm = calibrate_clip(reference_of(place(15)), motion_of(frames), Calibrating(smooth=3.0))
    assert np.ptp(angles(calm)) < 0.7 * np.ptp(angles(rough))
