"""What a run will take, counted before anything is compiled."""

import functools
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from tpc_jax.animators.plan import Plan
from tpc_jax.animators.reading import CanvasClip, ClipConditions, read_clip
from tpc_jax.animators.run import jit_step, start_latents
from tpc_jax.conditioning.pose_pictures import channels_of
from tpc_jax.model.params import Params, num_bytes
from tpc_jax.sampler.step import State, start_state
from tpc_jax.sampler.table import Table, row_of


class Cost(NamedTuple):
    """Counts of one program.

    Attributes:
        flops: Multiplications and additions of matrix products and convolutions.
        peak_bytes: Largest sum of intermediate arrays alive at once, if nothing is fused.
    """

    flops: float
    peak_bytes: int


class Estimate(NamedTuple):
    """What a run takes.

    Attributes:
        parameter_bytes: All networks.
        clip_bytes: What is encoded once per clip, and the latents.
        activation_bytes: Intermediate arrays of one step, at most.
        step_flops: One step of the whole clip.
        num_steps: Steps.
        flops_per_second: What this device reaches in a large matrix product.
    """

    parameter_bytes: int
    clip_bytes: int
    activation_bytes: int
    step_flops: float
    num_steps: int
    flops_per_second: float

    def __str__(self) -> str:
        """Say it in one line."""
        total = self.parameter_bytes + self.clip_bytes + self.activation_bytes
        flops = self.step_flops * self.num_steps
        return (
            f"memory: at most {_size(total)} (parameters {_size(self.parameter_bytes)}, "
            f"clip {_size(self.clip_bytes)}, one step {_size(self.activation_bytes)}); "
            f"time: at least {_duration(flops / self.flops_per_second)} after compiling "
            f"({self.num_steps} steps of {self.step_flops / 1e12:.3g} TFLOP at "
            f"{self.flops_per_second / 1e12:.3g} TFLOP/s)"
        )


def estimate_run(plan: Plan, params: Params, num_people: int) -> Estimate:
    """Count what a run takes; nothing but a matrix product is compiled or run.

    Args:
        plan: The run.
        params: Its parameters, or their shapes.
        num_people: People of the reference.
    """
    inputs = step_inputs(plan, params, num_people)
    cost = count(jit_step(plan.program).trace(*inputs).jaxpr)
    return Estimate(
        num_bytes(params), num_bytes((inputs.conditions, inputs.state)), cost.peak_bytes,
        cost.flops, plan.num_steps, measure_flops_per_second(_widest(params)),
    )  # fmt: skip


def _widest(params: Params) -> jnp.dtype:
    """Return the type in which the networks compute."""
    types = (x.dtype for x in jax.tree.leaves(params) if jnp.issubdtype(x.dtype, jnp.floating))
    return max(types, key=lambda dtype: dtype.itemsize, default=jnp.dtype(jnp.float32))


class StepInputs(NamedTuple):
    """The shapes of what the compiled step takes, in its order."""

    params: Params
    conditions: ClipConditions
    key: jax.ShapeDtypeStruct
    scales: np.ndarray
    state: State
    row: Table


def step_inputs(plan: Plan, params: Params, num_people: int, coverage: float = 1.0) -> StepInputs:
    """Return the shapes of what one step takes.

    Args:
        plan: The run.
        params: The model's parameters, or their shapes.
        num_people: People of the reference.
        coverage: Share of the pictures that a person covers, where routing hides the rest.
    """
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    animator, clip = plan.animator, blank_clip(plan, num_people)

    def prepare(params):
        blank = np.zeros((*animator.canvas.size, 3), np.uint8), np.ones(animator.canvas.size, bool)
        reading = animator.read_reference(params, *blank)
        conditions = read_clip(plan, params, reading, clip, coverage)
        return conditions, start_state(plan.table, start_latents(plan, conditions))

    conditions, state = jax.eval_shape(prepare, shapes)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return StepInputs(shapes, conditions, key, plan.scales, state, row_of(plan.table, 0))


def blank_clip(plan: Plan, num_people: int) -> CanvasClip:
    """Return a clip of black pictures, which take no memory."""
    animator, size = plan.animator, plan.animator.canvas.size
    frames = plan.program.num_frames
    picture = np.zeros((*size, 3), np.uint8)
    still = animator.read_pictures(picture, np.ones(size, np.uint8))

    def masks(*shape: int):
        return np.broadcast_to(np.uint8(0), (num_people, *shape, *size))

    def calibrated(person, index):
        return np.broadcast_to(still, (len(index), *still.shape)), masks(len(index))[person]

    pose = np.broadcast_to(np.uint8(0), (frames, *size, channels_of(animator.pose_kind)))
    return CanvasClip(still, pose, picture, masks(), calibrated, masks(frames))


def count(program: ClosedJaxpr | Jaxpr) -> Cost:
    """Count a traced program; loops count as often as they run."""
    jaxpr = program.jaxpr if isinstance(program, ClosedJaxpr) else program
    last_use = {}
    for index, equation in enumerate(jaxpr.eqns):
        last_use |= {v: index for v in equation.invars if not isinstance(v, Literal)}
    last_use |= {v: len(jaxpr.eqns) for v in jaxpr.outvars if not isinstance(v, Literal)}
    alive, flops, peak = {}, 0.0, 0
    for index, equation in enumerate(jaxpr.eqns):
        inner = [count(part) for part in _inner_programs(equation.params)]
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        flops += _own_flops(equation) + times * sum(part.flops for part in inner)
        alive |= {v: _bytes(v) for v in equation.outvars if v in last_use}
        peak = max(peak, sum(alive.values()) + max((p.peak_bytes for p in inner), default=0))
        alive = {v: size for v, size in alive.items() if last_use[v] > index}
    return Cost(flops, peak)


def _inner_programs(params: dict[str, Any]) -> Iterator[ClosedJaxpr | Jaxpr]:
    for value in params.values():
        parts = value if isinstance(value, tuple | list) else (value,)
        yield from (part for part in parts if isinstance(part, ClosedJaxpr | Jaxpr))


def _own_flops(equation) -> float:
    out = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2.0 * out * math.prod(shape[axis] for axis in contracted)
    if equation.primitive.name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        spec = equation.params["dimension_numbers"].rhs_spec
        return 2.0 * out * math.prod(kernel) / kernel[spec[0]]
    return 0.0


def _bytes(variable) -> int:
    aval = variable.aval
    if not hasattr(aval, "shape") or not hasattr(aval.dtype, "itemsize"):
        return 0
    return math.prod(aval.shape) * aval.dtype.itemsize


@functools.cache
def measure_flops_per_second(dtype: jnp.dtype) -> float:
    """Return what this device reaches in a large matrix product, the best of a few."""
    side = 2048 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.ones((side, side), dtype)
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2.0 * side**3 / min(seconds)


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _duration(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds / 60:.0f} min"
