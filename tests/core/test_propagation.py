import functools
import subprocess
import sys
import textwrap

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.propagation import num_groups, representatives

KEY = jax.random.key(7)


choose = jax.jit(representatives, static_argnums=(2, 3, 4))


@functools.cache
def draws(num_frames=10, group_size=4, num_steps=4000):
    """Representatives at many steps, int [steps, groups]."""
    many = jax.vmap(lambda step: representatives(KEY, step, num_frames, group_size))
    return np.asarray(jax.jit(many)(jnp.arange(num_steps)))


def test_the_last_group_may_be_short():
    assert num_groups(10, 4) == 3
    assert num_groups(12, 4) == 3
    assert num_groups(3, 16) == 1


@pytest.mark.parametrize(("num_frames", "group_size"), [(0, 4), (10, 0), (10, -1)])
def test_empty_clips_and_groups_are_rejected(num_frames, group_size):
    with pytest.raises(ValueError, match="must be positive"):
        choose(KEY, 0, num_frames, group_size)


@pytest.mark.parametrize("group_size", [1, 4, 16])
def test_a_representative_is_a_member_of_its_group(group_size):
    drawn = draws(10, group_size)
    assert drawn.shape[1] == num_groups(10, group_size)
    assert drawn.max() < 10
    np.testing.assert_array_equal(drawn // group_size, drawn * 0 + np.arange(drawn.shape[1]))


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


def test_device_layout_does_not_matter():
    program = """
        import jax
        jax.config.update("jax_num_cpu_devices", 8)
        import jax.numpy as jnp
        from jax.sharding import AxisType, NamedSharding, PartitionSpec
        from tpc_jax.propagation import representatives

        def run(features, step):
            chosen = representatives(jax.random.key(7), step, 64, 4)
            return features[chosen[jnp.arange(64) // 4]]

        features = jax.random.normal(jax.random.key(0), (64, 3))
        expected = jax.jit(run)(features, 2)
        for shards in (2, 8):
            mesh = jax.make_mesh((shards,), ("frames",), axis_types=(AxisType.Auto,))
            split = jax.device_put(features, NamedSharding(mesh, PartitionSpec("frames")))
            assert len(split.sharding.device_set) == shards
            assert jnp.array_equal(jax.jit(run)(split, 2), expected)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120)
