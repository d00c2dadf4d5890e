import jax.numpy as jnp
import numpy as np

from tpc_jax.animators.references import ClipReferences, window_references
from tpc_jax.conditioning.masks import Visibility

FRAMES, PEOPLE, TOKENS, WIDTH = 5, 2, 6, 3
# Frames 4, 1, 1 of a clip in whose groups frames 2, 0 and 3 speak for the others.
WINDOW = np.array([4, 1, 1])
SOURCE = np.array([0, 0, 2, 2, 3])


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


SEEN = (visibility(0, TOKENS), visibility(3, TOKENS), visibility(6, 2 * TOKENS))
SHARED = features(10, 1)
PER_PERSON = tuple(features(20 + 2 * person, FRAMES) for person in range(PEOPLE))


def window(references):
    return window_references(references, jnp.asarray(WINDOW), jnp.asarray(SOURCE))


def test_keys_come_from_the_source_frame_and_queries_from_the_frame_itself():
    layers = window(ClipReferences(SHARED, PER_PERSON, SEEN))
    assert layers[1] is None
    for index in (0, 2):
        layer, seen = layers[index], SEEN[index]
        assert len(layer.tokens) == len(layer.key_bits) == 1 + PEOPLE
        np.testing.assert_array_equal(layer.tokens[0], SHARED[index][None])
        np.testing.assert_array_equal(layer.key_bits[0], seen.reference[None, None])
        for person in range(PEOPLE):
            tokens, key_bits = layer.tokens[1 + person], layer.key_bits[1 + person]
            for place, frame in enumerate(WINDOW):
                source = SOURCE[frame]
                expected = PER_PERSON[person][index][source]
                np.testing.assert_array_equal(tokens[0, place], expected)
                np.testing.assert_array_equal(key_bits[0, place], seen.calibrated[person, source])
        assert layer.query_bits.shape == (1, len(WINDOW), seen.queries.shape[1])
        for place, frame in enumerate(WINDOW):
            np.testing.assert_array_equal(layer.query_bits[0, place], seen.queries[frame])


def test_without_bits_everything_is_visible():
    layers = window(ClipReferences(SHARED, PER_PERSON, (None,) * 3))
    assert layers[0].query_bits is None
    assert layers[0].key_bits == (None,) * (1 + PEOPLE)


def test_one_picture_for_all_frames_or_for_each():
    shared = window(ClipReferences(SHARED, (), (None,) * 3))
    assert [t.shape for t in shared[0].tokens] == [(1, 1, TOKENS, WIDTH)]
    own = window(ClipReferences(None, PER_PERSON[:1], (None,) * 3))
    assert [t.shape for t in own[0].tokens] == [(1, len(WINDOW), TOKENS, WIDTH)]


def test_only_the_first_of_several_shared_pictures_is_read():
    pictures = features(30, 4)
    layers = window(ClipReferences(pictures, (), (None,) * 3))
    np.testing.assert_array_equal(layers[2].tokens[0], pictures[2][None, :1])


def test_nothing_to_read_is_nothing():
    assert window(ClipReferences(None, (), (None,) * 3)) == (None,) * 3
