import functools
import subprocess
import sys
import textwrap

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.propagation.groups import group_bounds, group_of_frame, num_groups
from tpc_jax.propagation.propagate import propagate, representative_of_frame, representatives

KEY = jax.random.key(7)


choose = jax.jit(representatives, static_argnums=(2, 3, 4))
give = jax.jit(propagate)


@functools.cache
def draws(num_frames=10, group_size=4, num_steps=4000):
    """Representatives at many steps, int [steps, groups]."""
    many = jax.vmap(lambda step: representatives(KEY, step, num_frames, group_size))
    return np.asarray(jax.jit(many)(jnp.arange(num_steps)))


def sources(chosen):
    return representative_of_frame(chosen, 10, 4)


def test_groups_are_consecutive_and_the_last_may_be_short():
    assert num_groups(10, 4) == 3
    assert list(group_of_frame(10, 4)) == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    first, size = group_bounds(10, 4)
    assert list(first) == [0, 4, 8]
    assert list(size) == [4, 4, 2]
    assert list(group_bounds(3, 16)[1]) == [3]


@pytest.mark.parametrize(("num_frames", "group_size"), [(0, 4), (10, 0), (10, -1)])
def test_empty_clips_and_groups_are_rejected(num_frames, group_size):
    with pytest.raises(ValueError, match="must be positive"):
        group_of_frame(num_frames, group_size)


@pytest.mark.parametrize("group_size", [1, 4, 16])
def test_a_representative_is_a_member_of_its_group(group_size):
    drawn = draws(10, group_size)
    first, size = group_bounds(10, group_size)
    assert ((drawn >= first) & (drawn < first + size)).all()


def test_draws_are_uniform_in_full_and_short_groups():
    drawn = draws()
    for group, members in ((0, 4), (1, 4), (2, 2)):
        counts = np.bincount(drawn[:, group] - 4 * group, minlength=members)
        deviation = np.sqrt(4000 / members * (1 - 1 / members))
        assert np.abs(counts - 4000 / members).max() < 4 * deviation


def test_groups_and_steps_draw_independently():
    drawn = draws() % 4
    together = np.mean(drawn[:, 0] == drawn[:, 1])
    in_sequence = np.mean(drawn[1:, 0] == drawn[:-1, 0])
    assert abs(together - 0.25) < 0.03
    assert abs(in_sequence - 0.25) < 0.03


def test_the_draw_of_a_full_group_does_not_depend_on_the_clip_length():
    np.testing.assert_array_equal(draws(40, 4)[:, :2], draws()[:, :2])


def test_draws_are_reproducible_and_change_with_key_and_step():
    again = [choose(KEY, step, 40, 4) for step in range(20)]
    np.testing.assert_array_equal(again, draws(40, 4)[:20])
    assert len(np.unique(again, axis=0)) == 20
    assert not np.array_equal(choose(jax.random.key(8), 0, 40, 4), again[0])


def test_steps_do_not_retrace():
    chex.clear_trace_counter()

    counted = jax.jit(chex.assert_max_traces(representatives, n=1), static_argnums=(2, 3))
    for step in range(3):
        counted(KEY, step, 10, 4)


def test_the_released_policy_takes_the_first_member_at_every_step():
    for step in range(3):
        chosen = choose(KEY, step, 10, 4, "first")
        assert list(chosen) == [0, 4, 8]
    with pytest.raises((ValueError, TypeError), match="policy"):
        representatives(KEY, 0, 10, 4, "last")


def test_propagation_gives_each_group_one_members_features(rng):
    chosen = choose(KEY, 5, 10, 4)
    source = sources(chosen)
    features = {"latents": jnp.asarray(rng.normal(size=(10, 3, 2))), "tokens": [jnp.arange(10)]}
    spread = give(features, source)
    for frame in range(10):
        expected = features["latents"][chosen[frame // 4]]
        np.testing.assert_array_equal(spread["latents"][frame], expected)
    np.testing.assert_array_equal(spread["tokens"][0], source)
    # The representatives alone, spread by their group, give the same.
    few = jax.tree.map(lambda x: x[chosen], features)
    again = give(few, jnp.asarray(group_of_frame(10, 4)))
    jax.tree.map(np.testing.assert_array_equal, again, spread)


def test_windows_see_what_the_whole_clip_sees(rng):
    features = jnp.asarray(rng.normal(size=(10, 5)))
    source = sources(choose(KEY, 0, 10, 4))
    window = jnp.arange(3, 9)
    np.testing.assert_array_equal(give(features, source[window]), give(features, source)[3:9])


def test_a_group_of_one_changes_nothing(rng):
    features = jnp.asarray(rng.normal(size=(10, 2)))
    source = representative_of_frame(jnp.asarray(draws(10, 1)[0]), 10, 1)
    np.testing.assert_array_equal(give(features, source), features)


def test_device_layout_does_not_matter():
    program = """
        import jax
        jax.config.update("jax_num_cpu_devices", 8)
        import jax.numpy as jnp
        from jax.sharding import AxisType, NamedSharding, PartitionSpec
        from tpc_jax.propagation.propagate import (
            propagate, representative_of_frame, representatives)

        def run(features, step):
            chosen = representatives(jax.random.key(7), step, 64, 4)
            return propagate(features, representative_of_frame(chosen, 64, 4))

        features = jax.random.normal(jax.random.key(0), (64, 3))
        expected = jax.jit(run)(features, 2)
        for shards in (2, 8):
            mesh = jax.make_mesh((shards,), ("frames",), axis_types=(AxisType.Auto,))
            split = jax.device_put(features, NamedSharding(mesh, PartitionSpec("frames")))
            assert len(split.sharding.device_set) == shards
            assert jnp.array_equal(jax.jit(run)(split, 2), expected)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120)
