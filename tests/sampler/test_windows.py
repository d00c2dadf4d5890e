"""Context windows: coverage, weights, the published closed windows, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

from tpc_jax.sampler.windows import context_windows

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
    (26, 24, 4),
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
    """Yield (frames, length, overlap, stride) and the windows of the original code."""
    path = GOLDEN / "magicanimate" / "context_windows.json"
    for key, windows in json.loads(path.read_text()).items():
        yield *map(int, key.split("_")), 1, windows
    path = GOLDEN / "animateanyone" / "context_windows.json"
    for case in json.loads(path.read_text()):
        names = ("context_frames", "context_overlap", "context_stride")
        yield case["num_frames"], *(case[name] for name in names), case["windows"]


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden data is not there")
def test_windows_of_the_original_code():
    cases = list(published_windows())
    assert len(cases) > 10
    assert {case[3] for case in cases} >= {1, 3}
    for num_frames, length, overlap, stride, expected in cases:
        ours = context_windows(num_frames, length, overlap, is_closed=True, stride=stride).frames
        assert ours.tolist() == expected, (num_frames, length, overlap, stride)


def uniform(num_frames, size, stride, overlap):
    """The original's policy at step 0, written out."""
    if num_frames <= size:
        yield list(range(num_frames))
        return
    stride = min(stride, int(np.ceil(np.log2(num_frames / size))) + 1)
    for step in (1 << np.arange(stride)).tolist():
        for first in range(0, num_frames, size * step - overlap):
            yield [e % num_frames for e in range(first, first + size * step, step)]


@pytest.mark.parametrize(("num_frames", "length", "overlap"), CASES)
@pytest.mark.parametrize("stride", [1, 2, 3, 9])
def test_levels_of_spacing(num_frames, length, overlap, stride):
    windows = context_windows(num_frames, length, overlap, is_closed=True, stride=stride)
    assert windows.frames.tolist() == list(uniform(num_frames, length, stride, overlap))
    counts = np.bincount(windows.frames.ravel(), minlength=num_frames)
    np.testing.assert_allclose(windows.weight * counts, 1, rtol=1e-6)


@pytest.mark.parametrize(("stride", "is_closed"), [(0, True), (2, False)])
def test_strides_that_mean_nothing(stride, is_closed):
    with pytest.raises(ValueError, match=f"if is_closed, got {stride}"):
        context_windows(20, 8, 2, is_closed=is_closed, stride=stride)


@pytest.mark.parametrize("num_frames", [0, -3])
def test_no_frames(num_frames):
    with pytest.raises(ValueError, match=f"num_frames must be at least 1, got {num_frames}"):
        context_windows(num_frames, 8, 2)


@pytest.mark.parametrize("overlap", [-1, 8, 9])
def test_overlap_that_leaves_no_progress(overlap):
    with pytest.raises(ValueError, match=r"overlap must be in 0\.\.\.7"):
        context_windows(20, 8, overlap)
