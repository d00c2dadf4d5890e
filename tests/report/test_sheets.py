import numpy as np
import pytest

from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.report.sheets import compare_runs, contact_sheet, enlarge, side_by_side


def frames(count, height, width, value=None):
    if value is not None:
        return np.full((count, height, width, 3), value, np.uint8)
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


@pytest.mark.parametrize(("height", "factor"), [(16, 12), (64, 3), (100, 2), (192, 1), (500, 1)])
def test_enlarging_repeats_pixels(height, factor):
    clip = frames(2, height, 8)
    large = enlarge(clip)
    assert large.shape == (2, height * factor, 8 * factor, 3)
    np.testing.assert_array_equal(large[:, ::factor, ::factor], clip)
    np.testing.assert_array_equal(large[:, factor - 1 :: factor, factor - 1 :: factor], clip)


def test_columns_stand_side_by_side_at_the_height_of_the_last():
    columns = [frames(3, 40, 20, 10), frames(3, 10, 30, 90), frames(3, 20, 25)]
    joined = side_by_side(columns)
    assert joined.shape == (3, 20, 10 + 60 + 25, 3)
    assert (joined[:, :, :10] == 10).all()
    assert (joined[:, :, 10:70] == 90).all()
    np.testing.assert_array_equal(joined[:, :, 70:], columns[2])


def test_all_columns_of_a_comparison_show_the_whole_canvas():
    # A tall still and a wide motion: both keep their aspect and lie where the model saw them.
    canvas = Canvas((16, 16))
    poses, results = frames(3, 16, 16), [frames(3, 8, 16, value) for value in (50, 90)]
    sheet = compare_runs(canvas, frames(1, 40, 20, 200)[0], poses, *results, (20, 40))
    still, pose, *shown = np.split(sheet, 4, axis=2)
    assert (still[:, :, 4:12] == 200).all()
    assert not still[:, :, :4].any()
    assert not still[:, :, 12:].any()
    np.testing.assert_array_equal(pose, poses)
    for column, result in zip(shown, results, strict=True):
        np.testing.assert_array_equal(column[:, 4:12], result)
        assert not column[:, :4].any()
        assert not column[:, 12:].any()


def test_a_contact_sheet_shows_evenly_spaced_frames_in_labelled_rows():
    clip = np.arange(0, 170, 10, dtype=np.uint8)[:, None, None, None] + np.zeros(
        (17, 192, 192, 3), np.uint8
    )
    sheet = contact_sheet({"first": clip, "second": clip[::-1]}, num_columns=5)
    label = sheet.shape[1] - 5 * 192
    assert sheet.shape == (2 * 192, label + 5 * 192, 3)
    shown = sheet[96::192, label + 96 :: 192, 0]
    np.testing.assert_array_equal(shown, [[0, 40, 80, 120, 160], [160, 120, 80, 40, 0]])
    for row in (sheet[:192, :label], sheet[192:, :label]):
        assert (row == 255).mean() > 0.8
        assert (row < 100).any()


def test_short_clips_make_narrow_sheets():
    assert contact_sheet({"only": frames(2, 192, 64)}).shape == (192, 110 + 2 * 64, 3)
