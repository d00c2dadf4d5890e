"""Count what TPC costs, and measure it where there is an accelerator; needs no weights.

python scripts/benchmark.py                    FLOPs per frame of every routing against none
python scripts/benchmark.py --measure-time        seconds per frame and TFLOP/s as well
"""

from typing import Literal

import jax
import jax.numpy as jnp
import tyro
from _benchmark_step import measure, xla_flops

from tpc_jax.animators.cost import count, step_inputs
from tpc_jax.animators.magicanimate import MagicAnimateAnimator, MagicAnimateConfig
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.run import jit_step
from tpc_jax.conditioning.masks import ROUTINGS
from tpc_jax.model import params as P
from tpc_jax.options import Options


def main(
    frames: int = 16,
    size: int = 512,
    people: int = 1,
    group_size: int = 4,
    steps: int = 25,
    guidance_scale: float = 7.5,
    dtype: Literal["bfloat16", "float32"] = "bfloat16",
    measure_time: bool = False,
) -> None:
    """Print FLOPs, their ratio to a run without TPC and, if asked for, times.

    Args:
        frames: Frames of the clip.
        size: Side of the pictures in pixels.
        people: People of the reference.
        group_size: Frames that share one calibrated picture.
        steps: Denoising steps of a run, for the seconds per frame.
        guidance_scale: 1 means off.
        dtype: Type to compute in.
        measure_time: Run the step with random numbers and time it.
    """
    animator = MagicAnimateAnimator(MagicAnimateConfig(image_size=(size, size)))
    base = None
    specs = {name: network.spec for name, network in animator.networks().items()}
    params = jax.eval_shape(lambda p: P.cast(p, jnp.dtype(dtype)), specs)
    for routing in ROUTINGS:
        options = Options(
            routing is not None, routing or "auto", group_size,
            steps=steps, guidance_scale=(guidance_scale,),
        )  # fmt: skip
        plan = plan_run(animator, frames, options)
        inputs = step_inputs(plan, params, people)
        step = jit_step(plan.program)
        cost = count(step.trace(*inputs).jaxpr)
        xla = xla_flops(plan.program, inputs)
        base = base or (xla, cost.flops)
        line = (
            f"{routing or 'no TPC':10} XLA {xla / frames / 1e12:.3f} TFLOP/frame "
            f"(x{xla / base[0]:.3f}), products and convolutions {cost.flops / frames / 1e12:.3f} "
            f"(x{cost.flops / base[1]:.3f}), step at most {cost.peak_bytes / 2**30:.1f} GiB"
        )
        if measure_time:
            seconds = measure(step, inputs)
            line += f", {seconds * steps / frames:.3f} s/frame in {steps} steps"
            line += f", {cost.flops / seconds / 1e12:.1f} TFLOP/s"
        print(line, flush=True)
    print(f"parameters {P.num_bytes(params) / 2**30:.2f} GiB, {jax.devices()[0].device_kind}")


if __name__ == "__main__":
    tyro.cli(main)
