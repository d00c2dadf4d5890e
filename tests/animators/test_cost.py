import jax
import jax.numpy as jnp
import pytest
from small_magicanimate import small_magicanimate
from small_models import small_model

from tpc_jax.animators.cost import Estimate, count, estimate_run
from tpc_jax.animators.plan import plan_run
from tpc_jax.model.params import num_bytes
from tpc_jax.options import Options


def cost_of(function, *shapes):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return count(jax.make_jaxpr(function)(*arrays))


def test_products():
    assert cost_of(jnp.matmul, (3, 5), (5, 7)).flops == 2 * 3 * 5 * 7
    assert cost_of(jax.vmap(jnp.matmul), (2, 3, 5), (2, 5, 7)).flops == 2 * 2 * 3 * 5 * 7


def test_convolutions():
    def convolve(x, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=numbers)

    assert cost_of(convolve, (1, 8, 8, 3), (3, 3, 3, 5)).flops == 2 * 4 * 4 * 5 * 9 * 3


def test_loops_count_as_often_as_they_run():
    def looped(xs, kernel):
        return jax.lax.map(lambda x: jax.jit(jnp.matmul)(x, kernel), xs)

    assert cost_of(looped, (6, 3, 5), (5, 7)).flops == 6 * 2 * 3 * 5 * 7


def test_memory_is_what_lives_at_once():
    def chain(x):
        return jnp.sin(jnp.cos(jnp.exp(x)))

    def fan(x):
        parts = [jnp.exp(x), jnp.cos(x), jnp.sin(x)]
        return sum(parts[1:], parts[0])

    size = 4 * 1000
    assert cost_of(chain, (1000,)).peak_bytes == 2 * size
    assert cost_of(fan, (1000,)).peak_bytes == 4 * size


@pytest.mark.parametrize("make", [small_model, small_magicanimate])
def test_estimates(make):
    animator, params = make()
    options = Options(routing="masked", group_size=2, steps=2)
    short, long = (estimate_run(plan_run(animator, n, options), params, 1) for n in (4, 10))
    assert short.parameter_bytes == num_bytes(params)
    assert short.num_steps == 2
    assert short.flops_per_second > 1e6
    # Four windows in place of one: more work, hardly more memory.
    assert 2.5 * short.step_flops < long.step_flops < 4.5 * short.step_flops
    assert long.activation_bytes < 2 * short.activation_bytes
    assert long.clip_bytes > short.clip_bytes
    plain = estimate_run(plan_run(animator, 4, Options(tpc=False, steps=2)), params, 0)
    assert plain.step_flops < short.step_flops


def test_an_estimate_is_one_line():
    text = str(Estimate(5 << 30, 1 << 20, 2 << 30, 4e13, 25, 1e12))
    assert "\n" not in text
    assert "at most 7.00 GiB" in text
    assert "at least 17 min" in text
    assert "25 steps of 40 TFLOP" in text
