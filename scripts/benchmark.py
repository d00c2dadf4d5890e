"""Count the FLOPs of TPC by routing, and time them by --measure-time; needs no weights."""

import time
from typing import Literal

import jax
import jax.numpy as jnp
import tyro

from tpc_jax.animators.cost import StepInputs, count, num_bytes, step_inputs
from tpc_jax.animators.magicanimate import MagicAnimateAnimator, MagicAnimateConfig
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.run import jit_step
from tpc_jax.conditioning.masks import ROUTINGS
from tpc_jax.model import attention
from tpc_jax.model import params as P
from tpc_jax.options import Options


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


def _forget() -> None:
    jit_step.cache_clear()
    jax.clear_caches()


def main(
    frames: int = 16,
    size: int = 512,
    people: int = 1,
    group_size: int = 4,
    dtype: Literal["bfloat16", "float32"] = "bfloat16",
    measure_time: bool = False,
) -> None:
    """Print FLOPs, their ratio to a run without TPC and, if asked for, times.

    Args:
        frames: Frames of the clip.
        size: Side of the pictures in pixels.
        people: People of the reference.
        group_size: Frames that share one calibrated picture.
        dtype: Type to compute in.
        measure_time: Run the step with random numbers and time it.
    """
    animator = MagicAnimateAnimator(MagicAnimateConfig(image_size=(size, size)))
    limits, base = (attention.CPU_LOGITS, attention.ACCELERATOR_LOGITS), None
    specs = {name: network.spec for name, network in animator.networks().items()}
    params = jax.eval_shape(lambda p: P.cast(p, jnp.dtype(dtype)), specs)
    for routing in ROUTINGS:
        options = Options(tpc=bool(routing), routing=routing or "auto", group_size=group_size)
        plan = plan_run(animator, frames, options)
        inputs = step_inputs(plan, params, people)
        step = jit_step(plan.program)
        cost = count(step.trace(*inputs).jaxpr)
        # XLA counts the body of a loop once, so attention is lowered without its blocks.
        attention.CPU_LOGITS = attention.ACCELERATOR_LOGITS = 1 << 62
        _forget()
        xla = (jit_step(plan.program).lower(*inputs).cost_analysis() or {})["flops"]
        attention.CPU_LOGITS, attention.ACCELERATOR_LOGITS = limits
        _forget()
        base = base or (xla, cost.flops)
        line = (
            f"{routing or 'no TPC':10} XLA {xla / frames / 1e12:.3f} TFLOP/frame "
            f"(x{xla / base[0]:.3f}), products and convolutions {cost.flops / frames / 1e12:.3f} "
            f"(x{cost.flops / base[1]:.3f}), step at most {cost.peak_bytes / 2**30:.1f} GiB"
        )
        if measure_time:
            seconds = measure(step, inputs)
            line += f", {seconds * plan.num_steps / frames:.3f} s/frame in {plan.num_steps} steps"
            line += f", {cost.flops / seconds / 1e12:.1f} TFLOP/s"
        print(line, flush=True)
    print(f"parameters {num_bytes(params) / 2**30:.2f} GiB, {jax.devices()[0].device_kind}")


if __name__ == "__main__":
    tyro.cli(main)
