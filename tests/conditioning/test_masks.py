from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.conditioning.masks import EVERYONE, MAX_PEOPLE, ROUTINGS, pool, visibility
from tpc_jax.options import Routing

GRID = (3, 4)
CELL = 4
SIZE = (GRID[0] * CELL, GRID[1] * CELL)
FRAMES = 2


def random_masks(rng, *batch):
    """Masks made of whole cells, each cell empty or partly covered well above the threshold."""
    cells = rng.choice([0.0, 0.1, 0.7, 1.0], p=[0.5, 0.1, 0.2, 0.2], size=(*batch, *GRID))
    return np.kron(cells, np.ones((CELL, CELL))).astype(np.float32)


def is_inside(masks):
    """Whether each cell [..., tokens] holds any of the person."""
    cells = masks[..., ::CELL, ::CELL]
    return (cells > 0).reshape(*cells.shape[:-2], -1)


def bits_of(routing, *masks, grid=GRID):
    """Return the bits of a routing for masks of pixels."""
    return visibility(routing, *(pool(jnp.asarray(m), grid) for m in masks))


def dense_rules(routing, targets, calibrated, references):
    """Who reads whom by the rules, as tables (frames, queries, keys) per part of the keys."""
    inside, keys = is_inside(targets), is_inside(calibrated)
    somebody = is_inside(references).any(0)
    nobody_here, somebody_here = ~inside.any(0), inside.any(0)
    people = [inside[p][:, :, None] & keys[p][:, None, :] for p in range(len(targets))]
    reference = nobody_here[:, :, None] & ~somebody[None, None, :]
    if routing == "union":
        reference |= somebody_here[:, :, None] & somebody[None, None, :]
    return reference, people


def shares_a_bit(queries, keys):
    return (np.asarray(queries)[..., :, None] & np.asarray(keys)[..., None, :]) != 0


@pytest.mark.parametrize("num_people", [1, 2, 3])
@pytest.mark.parametrize("routing", ["masked", "union"])
def test_bits_say_what_the_rules_say(routing, num_people):
    rng = np.random.default_rng(num_people)
    targets, calibrated = (random_masks(rng, num_people, FRAMES) for _ in range(2))
    references = random_masks(rng, num_people)
    bits = bits_of(routing, targets, calibrated, references)
    reference, people = dense_rules(routing, targets, calibrated, references)
    assert 0 < np.mean(reference) < 1
    np.testing.assert_array_equal(shares_a_bit(bits.queries, bits.reference), reference)
    for person, expected in enumerate(people):
        assert 0 < np.mean(expected) < 1
        ours = shares_a_bit(bits.queries, bits.calibrated[person])
        np.testing.assert_array_equal(ours, expected)
    # Every query reads its own frame, whatever its bits.
    assert shares_a_bit(bits.queries, np.full(1, EVERYONE, np.uint32)).all()


@pytest.mark.parametrize("routing", ["masked", "union"])
def test_a_key_carries_one_bit_at_most(routing):
    """A thin person among several is both background and foreground, and is read from either."""
    thin = np.zeros((2, 1, 100, 100), np.float32)
    thin[0, :, :1, :4] = 1.0  # 4 of a cell's 2,500 pixels, 2 on average over two people
    thin[1, :, 50:] = 1.0
    bits = bits_of(routing, thin, thin, thin[:, 0], grid=(2, 2))
    for keys in (bits.reference, bits.calibrated):
        keys = np.asarray(keys)
        assert ((keys & (keys - 1)) == 0).all()
    # A thin person, nothing, and twice a person that is no background.
    reads = shares_a_bit(bits.queries[0], bits.reference)
    if routing == "union":
        np.testing.assert_array_equal(reads[0], [True, True, True, True])
    np.testing.assert_array_equal(reads[1], [True, True, False, False])


def test_routings_differ_in_what_is_read():
    assert set(ROUTINGS) == {None, *get_args(Routing)}
    hiding = {routing for routing, facts in ROUTINGS.items() if facts.hides}
    assert hiding == {"masked", "union"}
    instead = {routing for routing, facts in ROUTINGS.items() if not facts.reads_reference}
    assert instead == {"replace", "composite"}
    assert [routing for routing, facts in ROUTINGS.items() if facts.is_pasted] == ["composite"]


def test_a_cell_belongs_to_a_person_above_a_thousandth_of_its_area():
    masks = np.zeros((1, 1, 100, 200), np.float32)
    masks[..., :1, :9] = 1.0  # 9 of 10,000 pixels
    masks[..., :1, 100:111] = 1.0  # 11 of 10,000
    bits = bits_of("masked", masks, masks, masks[:, 0], grid=(1, 2))
    reads_person = shares_a_bit(bits.queries[0], bits.calibrated[0, 0])
    reads_background = shares_a_bit(bits.queries[0], bits.reference)
    np.testing.assert_array_equal(reads_person, [[False, False], [False, True]])
    np.testing.assert_array_equal(reads_background, [[True, False], [False, False]])


def test_people_beyond_the_bits_are_refused():
    masks = jnp.zeros((MAX_PEOPLE + 1, 1, 4, 4))
    with pytest.raises(ValueError, match="28 people, got 29"):
        bits_of("masked", masks, masks, masks[:, 0])
    bits = bits_of("masked", *([masks[1:] + 1] * 2), masks[1:, 0], grid=(2, 2))
    assert len(np.unique(np.asarray(bits.calibrated))) == MAX_PEOPLE
    assert (np.asarray(bits.calibrated) > EVERYONE).all()


def test_pooling_averages_whole_blocks_row_by_row():
    masks = np.random.default_rng(0).random((2, 3, 6, 8)).astype(np.float32)
    blocks = masks.reshape(2, 3, 3, 2, 4, 2).mean((3, 5)).reshape(2, 3, 12)
    np.testing.assert_allclose(pool(jnp.asarray(masks), (3, 4)), blocks, rtol=1e-5)


@pytest.mark.parametrize(("size", "grid"), [((7, 5), (3, 2)), ((5, 4), (7, 8)), ((9, 9), (1, 1))])
def test_pooling_divides_pixels_between_cells_by_area(size, grid):
    masks = np.random.default_rng(1).random(size).astype(np.float32)
    # Every pixel cut into grid[0] x grid[1] pieces makes cells whole numbers of pieces.
    pieces = masks.repeat(grid[0], 0).repeat(grid[1], 1)
    blocks = pieces.reshape(grid[0], size[0], grid[1], size[1]).mean((1, 3)).ravel()
    np.testing.assert_allclose(pool(jnp.asarray(masks), grid), blocks, rtol=1e-5)
