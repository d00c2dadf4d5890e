from fractions import Fraction

import numpy as np
import pytest

from tpc_jax.io.timing import find_timing, follow


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(25), Fraction(24), Fraction(60)])
@pytest.mark.parametrize("tick", [1e-5, 0.001, 0.01])
def test_times_rounded_to_ticks_are_even(fps, tick):
    times = np.round(np.arange(300) / float(fps) / tick) * tick + 0.7
    assert find_timing(list(times), fps, tick) == (fps, None)


def test_jitter_of_a_third_of_a_frame_is_even():
    jitter = np.random.default_rng(0).uniform(-0.15, 0.15, 300)
    times = (np.arange(300) + jitter) / 30
    assert find_timing(list(times), Fraction(30), 1e-4).sources is None


def test_one_frame_left_out_is_held():
    times = [i / 30 for i in range(10) if i != 4]
    timing = find_timing(times, Fraction(27), 1e-4)
    assert timing.fps == 30
    assert timing.sources.tolist() == [0, 1, 2, 3, 3, 4, 5, 6, 7, 8]


def test_a_rate_that_changes_midway_is_uneven():
    times = np.concatenate([np.arange(40) / 30, 40 / 30 + np.arange(40) / 20])
    timing = find_timing(list(times), Fraction(24), 1e-4)
    shown = times[timing.sources]
    ticks = np.arange(len(shown)) / float(timing.fps)
    assert np.abs(shown - ticks).max() < 1.1 / 20


def test_frames_shown_too_shortly_are_left_out():
    times = [0, 1, 2, 2.2, 2.4, 3, 4, 5, 6]
    timing = find_timing([time / 10 for time in times], Fraction(10), 1e-4)
    assert timing.sources.tolist() == [0, 1, 4, 5, 6, 7, 8]


def test_impossible_times_are_refused():
    with pytest.raises(ValueError, match="don't rise"):
        find_timing([0.0, 0.1, 0.05], Fraction(10), 1e-4)
    with pytest.raises(ValueError, match="1e\\+06 seconds apart"):
        find_timing([0.0, 0.1, 0.2, 0.3, 1e6], Fraction(10), 1e-4)


def test_what_belongs_to_stored_frames_follows_them():
    sources = np.array([0, 0, 1, 2])
    values = np.arange(3)[None]
    assert follow(values, sources, 1).tolist() == [[0, 0, 1, 2]]
    assert follow(values, None, 1) is values
    made_for_the_clip = np.arange(4)[None]
    assert follow(made_for_the_clip, sources, 1) is made_for_the_clip
