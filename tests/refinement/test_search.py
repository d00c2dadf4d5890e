"""The local search, and the way through its results."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.refinement.search import FIRST_STEP, descend, distances, steadiest_path


def bowl(centre):
    scale = jnp.asarray(FIRST_STEP)
    return lambda x: jnp.sum(((x - jnp.asarray(centre)) / scale) ** 2, axis=-1)


def test_the_search_finds_the_bottom_of_a_bowl():
    centre = np.array([0.3, -0.4, 9.0, -3.0], np.float32)
    found, value = jax.jit(lambda start: descend(bowl(centre), start, FIRST_STEP, 6))(jnp.zeros(4))
    assert np.all(np.abs(np.asarray(found) - centre) <= FIRST_STEP / 32)
    assert value == pytest.approx(float(bowl(centre)(found)))


def test_the_search_never_ends_worse_than_it_began():
    def rough(x):
        return jnp.sin(40 * x[..., 0]) + jnp.sum(jnp.cos(3 * x), axis=-1)

    for seed in range(20):
        start = jnp.asarray(np.random.default_rng(seed).normal(0, 3, 4), jnp.float32)
        assert descend(rough, start, FIRST_STEP, 4)[1] <= rough(start)


def test_distances_know_no_seam_of_angles():
    one, other = np.array([0, np.pi - 0.1, 0, 0]), np.array([0, 0.1 - np.pi, 0, 0])
    assert distances(one, other) == pytest.approx(0.04)


def test_the_path_keeps_to_one_motion_where_values_hardly_differ():
    motions = np.zeros((5, 2, 4))
    motions[:, 1, 1] = np.pi
    values = np.stack([np.zeros(5), np.full(5, 0.3)], axis=1)
    values[2, 0] = 0.5  # here the other state is a little better
    np.testing.assert_array_equal(steadiest_path(values, motions, 2.0, 0.3), np.zeros(5))
    values[2, 0] = 1.2  # here it is better by more than two changes cost
    np.testing.assert_array_equal(steadiest_path(values, motions, 2.0, 0.3), [0, 0, 1, 0, 0])


def test_the_path_is_the_best_of_all_paths():
    rng = np.random.default_rng(0)
    values, motions = rng.normal(size=(5, 3)), rng.normal(size=(5, 3, 4))

    def cost(path):
        steps = zip(path[:-1], path[1:], range(4), strict=True)
        changes = [distances(motions[f, a], motions[f + 1, b]) for a, b, f in steps]
        return sum(values[f, s] for f, s in enumerate(path)) + sum(np.minimum(changes, 1.5))

    best = min(np.ndindex(*[3] * 5), key=cost)
    np.testing.assert_array_equal(steadiest_path(values, motions, 1.0, 1.5), best)
