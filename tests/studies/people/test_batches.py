import itertools

import numpy as np
import pytest

from tpc_jax.studies.people import (
    clip_rng,
    load_dataset,
    make_dataset,
    sample_clip,
    training_batches,
)


def test_a_resumed_stream_equals_the_continued_one():
    continued = list(itertools.islice(training_batches(5, 24, 2, 3), 3))
    resumed = next(training_batches(5, 24, 2, 3, start_step=2))
    for a, b in zip(continued[2], resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    assert continued[0].frames.shape == (2, 3, 24, 24, 3)
    assert (continued[0].frames != continued[1].frames).any()


def test_workers_give_the_same_batches_in_order():
    alone = list(itertools.islice(training_batches(5, 24, 1, 2), 2))
    stream = training_batches(5, 24, 1, 2, num_workers=1)
    try:
        for expected in alone:
            np.testing.assert_array_equal(next(stream).frames, expected.frames)
    finally:
        stream.close()


def test_splits_share_no_clip():
    train, test = (next(training_batches(5, 24, 2, 1, split=name)) for name in ("train", "test"))
    assert (train.frames != test.frames).mean() > 0.3


def test_a_stored_set_equals_the_stream(tmp_path):
    folder = make_dataset(tmp_path / "people", 5, 4, 2, (24, 32))
    stored = load_dataset(folder)
    for index in range(4):
        clip = sample_clip(clip_rng(5, index), 2, (24, 32))
        for a, b in zip(stored, clip, strict=True):
            np.testing.assert_array_equal(a[index], b)
    assert isinstance(stored.frames, np.memmap)


def test_a_failed_set_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="num_frames"):
        make_dataset(tmp_path / "people", 5, 2, 0, 24)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "people").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        make_dataset(tmp_path / "people", 5, 1, 1, 24)
