import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.animators.references import (
    ClipReferences,
    visible_keys,
    window_groups,
    window_references,
)
from tpc_jax.conditioning.masks import Visibility

FRAMES, PEOPLE, TOKENS, WIDTH, GROUP = 5, 2, 6, 3, 2
# Frames 4, 1, 1 of a clip in whose groups frames 0, 3 and 4 speak for the others.
WINDOW = np.array([4, 1, 1])
CHOSEN = np.array([0, 3, 4])


def numbers(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def bits(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 64, shape), jnp.uint32)


def features(seed, *pictures):
    """Features for three transformers, the middle one of which reads nothing."""
    return (
        numbers(seed, *pictures, TOKENS, WIDTH),
        None,
        numbers(seed + 1, *pictures, 2 * TOKENS, WIDTH),
    )


def visibility(seed, tokens):
    return Visibility(
        bits(seed, FRAMES, tokens), bits(seed + 1, tokens), bits(seed + 2, PEOPLE, FRAMES, tokens)
    )


SEEN = (visibility(0, TOKENS), None, visibility(6, 2 * TOKENS))
VISIBLE = tuple(seen and visible_keys(seen) for seen in SEEN)
SHARED = features(10, 1)
PER_PERSON = tuple(features(20 + 2 * person, FRAMES) for person in range(PEOPLE))


def window(references, encode=lambda pictures: pictures):
    groups = window_groups(jnp.asarray(WINDOW), jnp.asarray(CHOSEN), GROUP, 2)
    return window_references(references, references.shared, jnp.asarray(WINDOW), groups, encode)


@pytest.mark.parametrize("num_slots", [2, 3, 4])
def test_a_windows_groups(num_slots):
    groups = window_groups(jnp.asarray(WINDOW), jnp.asarray(CHOSEN), GROUP, num_slots)
    assert groups.source.shape == (num_slots,)
    np.testing.assert_array_equal(groups.source[groups.slot], CHOSEN[WINDOW // GROUP])


def shown(layer, part, picture):
    """Tokens that somebody may read, with their bits, in no order."""
    return expected(layer.tokens[part][0, picture], layer.key_bits[part][0, picture])


def expected(tokens, bits):
    pairs = zip(np.asarray(tokens).tolist(), np.asarray(bits).tolist(), strict=True)
    return sorted((bit, token) for token, bit in pairs if bit)


def test_keys_come_from_the_representative_and_queries_from_the_frame_itself():
    layers = window(ClipReferences(SHARED, PER_PERSON, VISIBLE))
    assert layers[1] is None
    for index in (0, 2):
        layer, seen = layers[index], SEEN[index]
        assert len(layer.tokens) == len(layer.key_bits) == 1 + PEOPLE
        assert shown(layer, 0, 0) == expected(SHARED[index][0], seen.reference)
        for person in range(PEOPLE):
            assert layer.tokens[1 + person].shape[1] == 2
            for frame, slot in zip(WINDOW, layer.picture_of_frame[0].tolist(), strict=True):
                source = CHOSEN[frame // GROUP]
                own = PER_PERSON[person][index][source]
                wanted = expected(own, seen.calibrated[person, source])
                assert shown(layer, 1 + person, slot) == wanted
        assert layer.query_bits.shape == (1, len(WINDOW), seen.queries.shape[1])
        for place, frame in enumerate(WINDOW):
            np.testing.assert_array_equal(layer.query_bits[0, place], seen.queries[frame])


def test_only_the_representatives_are_encoded():
    pictures = tuple(numbers(40 + person, FRAMES, 2, 2, 1) for person in range(PEOPLE))
    seen = []

    def encode(x):
        seen.append(x)
        return (x.reshape(len(x), 4, 1),)

    (layer,) = window(ClipReferences(None, pictures, (None,)), encode)
    (encoded,) = seen
    rows = CHOSEN[np.unique(WINDOW // GROUP)]
    np.testing.assert_array_equal(encoded, np.concatenate([p[rows] for p in pictures]))
    for person, tokens in enumerate(layer.tokens):
        np.testing.assert_array_equal(tokens[0, ..., 0], pictures[person][rows].reshape(-1, 4))


def test_keys_that_nobody_may_read_are_left_out():
    tokens = 64
    hidden = np.arange(tokens) % 4 != 0
    some = Visibility(
        bits(0, FRAMES, tokens),
        jnp.asarray(np.where(hidden, 0, 2), jnp.uint32),
        jnp.asarray(np.where(hidden & (np.arange(PEOPLE)[:, None, None] == 0), 0, 4), jnp.uint32)
        * jnp.ones((1, FRAMES, 1), jnp.uint32),
    )
    visible = visible_keys(some)
    assert visible.reference.places.tolist() == list(range(0, tokens, 4))
    # All pictures of a layer have one number of keys; what pads is hidden.
    assert visible.calibrated.bits.shape == (PEOPLE, FRAMES, tokens)
    np.testing.assert_array_equal((visible.calibrated.bits != 0).sum(-1)[:, 0], [16, tokens])
    np.testing.assert_array_equal(jnp.sort(visible.calibrated.places, -1)[0, 0], range(tokens))


def test_nothing_visible_still_has_a_hidden_key():
    empty = Visibility(*(jnp.zeros(shape, jnp.uint32) for shape in ((1, 32), (32,), (1, 1, 32))))
    visible = visible_keys(empty)
    assert visible.reference.bits.tolist() == [0, 0]
    assert visible.calibrated.bits.shape == (1, 1, 2)


def test_without_bits_everything_is_visible():
    layers = window(ClipReferences(SHARED, PER_PERSON, (None,) * 3))
    assert layers[0].query_bits is None
    assert layers[0].key_bits == (None,) * (1 + PEOPLE)


def test_one_picture_for_all_frames_or_for_each():
    shared = window(ClipReferences(SHARED, (), (None,) * 3))
    assert [t.shape for t in shared[0].tokens] == [(1, 1, TOKENS, WIDTH)]
    own = window(ClipReferences(None, PER_PERSON[:1], (None,) * 3))
    assert [t.shape for t in own[0].tokens] == [(1, 2, TOKENS, WIDTH)]


def test_only_the_first_of_several_shared_pictures_is_read():
    pictures = features(30, 4)
    layers = window(ClipReferences(pictures, (), (None,) * 3))
    np.testing.assert_array_equal(layers[2].tokens[0], pictures[2][None, :1])


def test_nothing_to_read_is_nothing():
    assert window(ClipReferences(None, (), (None,) * 3)) == (None,) * 3
