import numpy as np
import pytest

from tpc_jax.metrics import clip_starts, cut_clips, group_frame_names, through_container


def test_a_video_of_n_frames_has_n_minus_15_overlapping_clips():
    assert clip_starts(range(40)) == tuple(range(25))
    assert clip_starts(range(7, 23)) == (0,)
    assert clip_starts(range(15)) == ()


def test_clips_do_not_cross_gaps():
    numbers = [*range(10), *range(12, 20)]
    assert clip_starts(numbers, length=4) == (*range(7), *range(10, 15))
    assert clip_starts(numbers, length=4, stride=4) == (0, 4, 10, 14)


def test_clips_are_views_of_the_video():
    frames = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), np.uint8)
    clips = list(cut_clips(frames, length=4, stride=3))
    assert len(clips) == 2
    np.testing.assert_array_equal(clips[1], frames[3:7])
    assert all(np.shares_memory(clip, frames) for clip in clips)


def test_frame_names_of_every_published_pattern():
    names = [
        *("TiktokDance_00337_0010.png", "TiktokDance_00337_0009.png", "TiktokDance_338_1.jpg"),
        *("TiktokDance_201_002_1x1_00050.png", "201_002_1x1__00051.png"),
        "S001C002P003R001A004_12.png",
    ]
    videos, unknown = group_frame_names(names)
    assert unknown == ()
    assert videos == {
        "TiktokDance_00337": [
            (9, "TiktokDance_00337_0009.png"),
            (10, "TiktokDance_00337_0010.png"),
        ],
        "TiktokDance_338": [(1, "TiktokDance_338_1.jpg")],
        "TiktokDance_201_002_1x1": [(50, "TiktokDance_201_002_1x1_00050.png")],
        "201_002_1x1": [(51, "201_002_1x1__00051.png")],
        "S001C002P003R001A004": [(12, "S001C002P003R001A004_12.png")],
    }


def test_frames_go_by_number_not_by_spelling():
    (frames,) = group_frame_names([f"TiktokDance_1_{n}.png" for n in range(12)]).videos.values()
    assert [number for number, _ in frames] == list(range(12))


def test_names_that_fit_no_pattern_are_told():
    """A trap: the original skips them in silence, and its scores miss whole videos."""
    videos, unknown = group_frame_names(["b_0001.png", "TiktokDance_1_1.png", "a.png"])
    assert list(videos) == ["TiktokDance_1"]
    assert unknown == ("a.png", "b_0001.png")


def test_two_files_of_one_frame_are_refused():
    with pytest.raises(ValueError, match=r"are both frame 1 of TiktokDance_1"):
        group_frame_names(["TiktokDance_1_1.png", "TiktokDance_1_001.png"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clip_starts([1, 1, 2]), "rise strictly"),
        (lambda: clip_starts([1, 2], stride=0), "at least 1"),
        (lambda: through_container(moving_clip(), "mp4", repeats=2), "repeats"),
        (lambda: through_container(moving_clip()[:, :40], "mp4"), "multiples of 16"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def moving_clip() -> np.ndarray:
    rows, columns = np.mgrid[:48, :48]
    frames = [np.stack([rows * 5, columns * 5, (rows + 4 * t) * 3], -1) for t in range(16)]
    return (np.stack(frames) % 256).astype(np.uint8)


@pytest.mark.parametrize("container", ["gif", "mp4"])
def test_containers_keep_the_number_of_frames_and_lose_quality(container):
    """A trap: GIFs read through other tools gave 128 frames of 16."""
    clip = moving_clip()
    shown = through_container(clip, container)
    assert shown.shape == clip.shape
    error = np.abs(shown.astype(int) - clip).mean()
    assert 0.1 < error < 25
    others = [np.abs(shown[3].astype(int) - clip[t]).mean() for t in range(16)]
    assert np.argmin(others) == 3


def test_repeated_gif_frames():
    clip = moving_clip()[:4]
    shown = through_container(clip, "gif", repeats=8)
    assert len(shown) == 32
    np.testing.assert_array_equal(shown[8], shown[15])
    np.testing.assert_array_equal(shown[::8], through_container(clip, "gif"))
