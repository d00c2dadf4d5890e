import numpy as np
import pytest
from drawn_people import draw, make_model

from tpc_jax.detect.video import collect, detect_clip, stream_people

RED, BLUE = (200, 120, 120), (90, 90, 220)


def walker(x, *colour):
    return (x, 170, x + 5, 80, *colour)


def hips(clip):
    """Return the middle of the hips of everybody in every frame, x only; NaN where missing."""
    x = clip.keypoints.xy[:, :, [11, 12], 0].mean(axis=-1)
    return np.where(clip.sureness > 0, x, np.nan)


def test_somebody_is_followed_without_the_detector():
    model, detector, landmarks = make_model()
    frames = [draw([walker(60 + 5 * i)]) for i in range(40)]
    stream = stream_people(model, frames)
    next(stream)
    detector.calls = landmarks.calls = 0
    assert all(len(people) == 1 for people in stream)
    assert detector.calls <= 2 * (40 // 12 + 1)
    assert landmarks.calls <= 40 + 40 // 4 + 4


def test_points_that_begin_to_wander_become_unsteady():
    model, _, landmarks = make_model()
    frames = [draw([walker(100 + i)]) for i in range(24)]
    seen = []
    for i, (person,) in enumerate(stream_people(model, frames)):
        landmarks.wobbling = [25, 26] if 6 <= i < 14 else []
        seen.append(person.steadiness)
    assert np.min(seen[:6]) > 0.9
    knees = [13, 14]
    assert seen[14][knees].max() < 0.9
    assert np.delete(seen[14], knees).min() > 0.98
    assert seen[-1].min() > seen[14][knees].max()


def test_frames_are_asked_for_one_at_a_time():
    asked = []

    def frames():
        for i in range(5):
            asked.append(i)
            yield draw([walker(100 + i)])

    for i, _ in enumerate(stream_people(make_model()[0], frames())):
        assert len(asked) == i + 1


def test_a_clip_has_everybody_in_one_row():
    frames = np.stack([draw([walker(60 + 4 * i), walker(260)]) for i in range(12)])
    seen = []
    clip = detect_clip(make_model()[0], frames, progress=seen.append)
    assert seen == list(range(12))
    np.testing.assert_allclose(hips(clip), [60 + 4 * np.arange(12), np.full(12, 260)], atol=2)
    assert clip.keypoints.conf.shape == (2, 12, 17)
    assert clip.landmarks.shape == (2, 12, 33, 3)
    assert clip.masks.shape == (2, 12, 240, 320)
    assert clip.masks.any(axis=(2, 3)).all()
    assert not clip.masks.all(axis=0).any()
    assert (clip.sureness > 0).all()
    assert clip.sureness.shape == (2, 12)


def test_two_people_keep_their_rows_when_they_cross():
    n = 40
    left, right = 50 + 5.5 * np.arange(n), 270 - 5.5 * np.arange(n)
    frames = [draw([walker(b, BLUE), walker(a, RED)]) for a, b in zip(left, right, strict=True)]
    found = hips(detect_clip(make_model()[0], frames))
    assert len(found) == 2
    assert np.isfinite(found).mean() > 0.8
    near = np.abs(left - right) < 40
    for row, expected in zip(found, (left, right), strict=True):
        assert np.nanmax(np.abs(row - expected)[~near]) < 5


def test_somebody_who_is_hidden_for_a_while_is_known_again():
    frames = [
        draw([walker(60, RED)] if 10 <= i < 18 else [walker(60, RED), walker(150 + 4 * i, BLUE)])
        for i in range(30)
    ]
    found = hips(detect_clip(make_model()[0], frames))
    assert len(found) == 2
    assert np.isnan(found[1, 10:18]).all()
    assert np.isfinite(found[1, 22:]).all()
    assert np.isfinite(found[0]).all()


def test_somebody_who_returns_elsewhere_is_known_by_the_colours():
    def people(i):
        yield walker(60, RED)
        if not 8 <= i < 50:
            yield walker(150 if i < 8 else 250, BLUE)

    found = hips(detect_clip(make_model()[0], [draw(people(i)) for i in range(70)]))
    assert len(found) == 2
    np.testing.assert_allclose(found[1, -5:], 250, atol=2)


def test_a_stranger_who_comes_late_gets_a_row():
    frames = [draw([walker(60, RED)] + ([walker(220, BLUE)] if i >= 15 else [])) for i in range(40)]
    found = hips(detect_clip(make_model()[0], frames))
    assert len(found) == 2
    assert np.isnan(found[1, :15]).all()
    assert np.isfinite(found[1, 26:]).all()


def test_a_lone_dancer_keeps_the_row_after_a_cut():
    frames = [draw([walker(60 if i < 6 else 240, RED if i < 6 else BLUE)]) for i in range(12)]
    found = hips(detect_clip(make_model()[0], frames))
    assert len(found) == 1
    assert np.isfinite(found).all()


def test_a_clip_may_begin_and_end_with_nobody():
    frames = [draw([walker(100)] if 5 <= i < 10 else []) for i in range(15)]
    clip = detect_clip(make_model()[0], frames)
    np.testing.assert_array_equal(clip.sureness[0] > 0, [5 <= i < 10 for i in range(15)])
    assert not clip.masks[0, :5].any()
    assert not clip.keypoints.conf[0, 10:].any()


def test_somebody_who_turns_a_somersault_is_followed():
    turns = np.deg2rad(np.arange(0, 180, 6))
    frames = [
        draw([(160, 120, 160 + 80 * np.sin(turn), 120 - 80 * np.cos(turn))]) for turn in turns
    ]
    clip = detect_clip(make_model()[0], frames)
    assert (clip.sureness > 0).all()
    head, hip = clip.keypoints.xy[0, :, 0], clip.keypoints.xy[0, :, 11:13].mean(axis=1)
    assert (head - hip)[-1, 1] > 50


@pytest.mark.parametrize("num_frames", [1, 60])
def test_a_black_video_shows_nobody(num_frames):
    model, detector, _ = make_model()
    frames = np.zeros((num_frames, 48, 64, 3), np.uint8)
    clip = detect_clip(model, frames)
    assert clip.keypoints.xy.shape == (0, num_frames, 17, 2)
    assert clip.masks.shape == (0, num_frames, 48, 64)
    assert detector.calls < 1000


def test_one_frame_is_a_clip():
    clip = detect_clip(make_model()[0], draw([walker(100)])[None])
    assert clip.sureness.shape == (1, 1)
    assert clip.masks.any()


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        detect_clip(make_model()[0], [])


def test_frames_that_were_streamed_can_be_gathered_later():
    frames = [draw([walker(60 + 4 * i)]) for i in range(4)]
    streamed = list(stream_people(make_model()[0], frames))
    assert {person.number for people in streamed for person in people} == {0}
    assert collect(streamed, (240, 320)).masks.shape == (1, 4, 240, 320)
