"""What one step of `benchmark.py` costs: counted by XLA, and timed on random numbers."""

import time

import jax
import jax.numpy as jnp

from tpc_jax.animators.cost import StepInputs
from tpc_jax.animators.plan import Program
from tpc_jax.animators.run import jit_step
from tpc_jax.model import attention


def random_like(tree):
    """Return small random numbers in the given shapes; integers and bits are ones."""

    def fill(x):
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return jnp.ones(x.shape, x.dtype)
        return 0.02 * jax.random.normal(jax.random.key(0), x.shape, x.dtype)

    return jax.jit(lambda: jax.tree.map(fill, tree))()


def measure(step, inputs: StepInputs, repeats: int = 3) -> float:
    """Return the seconds of one step, the best of a few."""
    params, conditions, state = random_like((inputs.params, inputs.conditions, inputs.state))
    key, best = jax.random.key(0), float("inf")
    for _ in range(repeats + 1):
        began = time.perf_counter()
        state = step(params, conditions, key, inputs.scales, state, inputs.row)
        jax.block_until_ready(state)
        best = min(best, time.perf_counter() - began)
    return best


def xla_flops(program: Program, inputs: StepInputs) -> float:
    """Return the FLOPs of one step as XLA counts them."""
    limits = attention.CPU_LOGITS, attention.ACCELERATOR_LOGITS
    # XLA counts the body of a loop once, so attention is lowered without its blocks.
    attention.CPU_LOGITS = attention.ACCELERATOR_LOGITS = 1 << 62
    jit_step.cache_clear()
    jax.clear_caches()
    costs = jit_step(program).lower(*inputs).cost_analysis() or {}
    attention.CPU_LOGITS, attention.ACCELERATOR_LOGITS = limits
    jax.clear_caches()
    return costs["flops"]
