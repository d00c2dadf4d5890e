import warnings

import numpy as np
import pytest

from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.images import write_image
from tpc_jax.io.video import read_video


def folder(path, *names):
    path.mkdir()
    for index, name in enumerate(names):
        write_image(path / name, np.full((4, 6, 3), 10 * index, np.uint8))
    return path


def said(path, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        video = read_video(path, **options)
    assert all(issubclass(warning.category, InputWarning) for warning in caught)
    return [str(warning.message) for warning in caught], video


def test_gaps_in_the_numbers_are_said(tmp_path):
    path = folder(tmp_path / "a", *(f"f{number}.png" for number in (8, 9, 10, 12, 15)))
    messages, video = said(path, fps=25)
    assert len(messages) == 1
    assert "3 numbers are missing between f8.png and f15.png" in messages[0]
    assert video.frames[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]


def test_every_second_number_is_no_gap(tmp_path):
    path = folder(tmp_path / "a", *(f"clip2_{number:03}.png" for number in range(0, 14, 2)))
    assert said(path, fps=25)[0] == []


def test_mixed_names_are_said(tmp_path):
    path = folder(tmp_path / "a", "1.png", "1_mask.png", "2.png", "2_mask.png")
    assert "different names (#.png, #_mask.png)" in said(path, fps=25)[0][0]


def test_pictures_that_cannot_be_read_are_not_left_out(tmp_path):
    path = folder(tmp_path / "a", "1.png", "2.png")
    (path / "3.HEIC").write_bytes(b"x")
    with pytest.raises(UserError, match=r"a: holds 1 pictures such as 3.HEIC, .*; export all"):
        read_video(path, fps=25)


def test_the_rate_is_said_if_it_is_assumed_and_refused_if_there_is_another(tmp_path):
    path = folder(tmp_path / "a", "1.png", "2.png")
    messages, video = said(path)
    assert messages == [f"{path}: has no frame rate; 25 per second are assumed, --fps changes it"]
    assert video.fps == 25
    frames = np.zeros((2, 4, 6, 3), np.uint8)
    np.savez(tmp_path / "a.npz", frames=frames, fps=30000 / 1001)
    assert said(tmp_path / "a.npz", fps=29.97)[0] == []
    with pytest.raises(UserError, match=r"has 29.97 frames per second of its own, not 60; leave"):
        read_video(tmp_path / "a.npz", fps=60)
    np.savez(tmp_path / "b.npz", frames=frames)
    messages, video = said(tmp_path / "b.npz", fps=60)
    assert (messages, video.fps) == ([], 60)
