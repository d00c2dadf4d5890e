"""Context windows: coverage, weights, the published closed windows, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

from tpc_jax.sampler.windows import context_windows, handover

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
CASES = [
    (1, 8, 2),
    (7, 8, 2),
    (8, 8, 2),
    (9, 8, 2),
    (10, 8, 0),
    (10, 8, 7),
    (25, 24, 4),
    (97, 16, 4),
]


@pytest.mark.parametrize(("num_frames", "length", "overlap"), CASES)
@pytest.mark.parametrize("is_closed", [False, True])
def test_every_frame_is_covered(num_frames, length, overlap, is_closed):
    windows = context_windows(num_frames, length, overlap, is_closed=is_closed)
    assert windows.frames.shape[1] == min(length, num_frames)
    assert windows.frames.dtype == np.int32
    counts = np.zeros(num_frames)
    for row in windows.frames:
        assert len(set(row.tolist())) == len(row)
        counts[row] += 1
    assert counts.min() >= 1
    np.testing.assert_allclose(windows.weight * counts, 1, rtol=1e-6)


@pytest.mark.parametrize(("num_frames", "length", "overlap"), CASES)
def test_open_windows_never_wrap(num_frames, length, overlap):
    frames = context_windows(num_frames, length, overlap).frames
    assert np.all(np.diff(frames, axis=1) == 1)
    assert frames[0, 0] == 0
    assert frames[-1, -1] == num_frames - 1
    steps = np.diff(frames[:, 0])
    assert np.all(steps[:-1] == length - overlap)
    assert np.all((steps > 0) & (steps <= length - overlap))


@pytest.mark.parametrize(("num_frames", "length", "overlap"), CASES)
def test_closed_windows_follow_the_published_formula(num_frames, length, overlap):
    frames = context_windows(num_frames, length, overlap, is_closed=True).frames
    if num_frames <= length:
        expected = [list(range(num_frames))]
    else:
        starts = range(0, num_frames, length - overlap)
        expected = [[(start + k) % num_frames for k in range(length)] for start in starts]
    assert frames.tolist() == expected


def test_published_examples():
    closed = context_windows(10, 8, 2, is_closed=True)
    assert closed.frames.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7], [6, 7, 8, 9, 0, 1, 2, 3]]
    np.testing.assert_allclose(closed.weight, [0.5] * 4 + [1] * 2 + [0.5] * 2 + [1] * 2)
    assert context_windows(64, 24, 4, is_closed=True).frames[:, 0].tolist() == [0, 20, 40, 60]
    assert context_windows(10, 8, 2).frames[:, 0].tolist() == [0, 2]


def published_windows():
    """Yield (frames, length, overlap) and the windows of the original code."""
    path = GOLDEN / "magicanimate" / "context_windows.json"
    for key, windows in json.loads(path.read_text()).items():
        yield *map(int, key.split("_")), windows
    path = GOLDEN / "animateanyone" / "context_windows.json"
    for case in json.loads(path.read_text()):
        if case["context_stride"] == 1:
            names = ("num_frames", "context_frames", "context_overlap", "windows")
            yield tuple(case[name] for name in names)


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden data is not there")
def test_windows_of_the_original_code():
    cases = list(published_windows())
    assert len(cases) > 10
    for num_frames, length, overlap, expected in cases:
        ours = context_windows(num_frames, length, overlap, is_closed=True).frames
        assert ours.tolist() == expected, (num_frames, length, overlap)


@pytest.mark.parametrize("num_frames", [0, -3])
def test_no_frames(num_frames):
    with pytest.raises(ValueError, match=f"num_frames must be at least 1, got {num_frames}"):
        context_windows(num_frames, 8, 2)


@pytest.mark.parametrize("overlap", [-1, 8, 9])
def test_overlap_that_leaves_no_progress(overlap):
    with pytest.raises(ValueError, match=r"overlap must be in 0\.\.\.7"):
        context_windows(20, 8, overlap)


@pytest.mark.parametrize(("num_frames", "length", "overlap"), CASES)
@pytest.mark.parametrize("is_closed", [False, True])
def test_windows_hand_over_what_they_share(num_frames, length, overlap, is_closed):
    windows = context_windows(num_frames, length, overlap, is_closed=is_closed)
    plan = handover(windows)
    handed = plan.first
    for frames, fresh, order, keep in zip(windows.frames, *plan[1:], strict=True):
        both = np.concatenate([handed, fresh])
        np.testing.assert_array_equal(both[order], frames)
        handed = both[keep]
    # Frames computed twice: the last window's, where it is shifted back or wraps around.
    computed = len(plan.first) + plan.fresh.size
    assert num_frames <= computed < num_frames + length
