import numpy as np
import pytest

from tpc_jax.report.overlay import draw_calibration

SHAPE = (60, 80, 3)
DRIVEN, WARPED = np.full((17, 2), 15.0), np.full((17, 2), 45.0)
GREY = np.full(SHAPE, 128, np.uint8)


def draw(mask=None, drawn=(), chosen=(), warped=WARPED):
    mask = np.zeros(SHAPE[:2], np.uint8) if mask is None else mask
    flags = [np.isin(np.arange(17), list(points)) for points in (drawn, chosen)]
    return draw_calibration(GREY, mask, warped, DRIVEN, *flags)


def has_color(picture, color, xy, reach=3):
    x, y = (int(v) for v in xy)
    patch = picture[y - reach : y + reach + 1, x - reach : x + reach + 1].astype(int)
    return (np.abs(patch - color).max(-1) < 60).any()


def test_nothing_to_draw_leaves_a_copy():
    picture = draw()
    np.testing.assert_array_equal(picture, GREY)
    assert picture is not GREY


def test_the_outline_follows_the_mask():
    mask = np.zeros(SHAPE[:2], np.uint8)
    mask[20:40, 30:60] = 255
    changed = (draw(mask) != GREY).any(-1)
    assert changed[20, 30:60].all()
    assert changed[20:40, 30].all()
    assert not changed[24:36, 34:56].any()
    assert not changed[:17].any()


def test_points_have_their_colours_and_chosen_ones_a_ring():
    picture = draw(drawn=[9])
    assert has_color(picture, (255, 60, 60), WARPED[9])
    assert has_color(picture, (80, 200, 255), DRIVEN[9])
    assert not has_color(picture, (255, 230, 0), DRIVEN[9], 6)
    assert has_color(draw(drawn=[9], chosen=[9]), (255, 230, 0), DRIVEN[9], 6)
    np.testing.assert_array_equal(draw(chosen=[9]), GREY)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e12, -1e9])
def test_impossible_positions_do_not_stop_the_drawing(value):
    warped = WARPED.copy()
    warped[9] = value
    assert has_color(draw(drawn=[9], warped=warped), (80, 200, 255), DRIVEN[9])
