"""What a run will take, counted before anything is compiled."""

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from tpc_jax.animators.clip import clip_length, clip_table, jit_step
from tpc_jax.animators.encoding import ClipConditions, encode_pictures, keeps_features
from tpc_jax.animators.interface import Animator
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.animators.references import ClipReferences, Keys, Visible, num_keys
from tpc_jax.conditioning.masks import is_restricted
from tpc_jax.model.params import Params, num_bytes
from tpc_jax.propagation import num_groups
from tpc_jax.sampler.loop import Row, start_state, step_rows


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


def estimate_clip(
    animator: Animator, params: Params, num_frames: int, num_people: int, options: AnimateOptions
) -> Estimate:
    """Count what `animate_clip` takes; nothing but a matrix product is compiled or run.

    Args:
        animator: The model's functions.
        params: Its parameters, or their shapes.
        num_frames: Frames of the motion.
        num_people: People of the reference.
        options: Denoising options.
    """
    options = options.resolve(animator)
    parameter_bytes = num_bytes(params)
    inputs = step_inputs(animator, params, num_frames, num_people, options)
    cost = count(jit_step(animator, options, num_frames).trace(*inputs).jaxpr)
    dtype = max((x.dtype for x in jax.tree.leaves(params["unet"])), key=lambda d: d.itemsize)
    return Estimate(
        parameter_bytes, num_bytes(inputs[1:3]), cost.peak_bytes, cost.flops,
        len(clip_table(animator, options).timestep),
        measure_flops_per_second(dtype),
    )  # fmt: skip


def step_inputs(
    animator: Animator,
    params: Params,
    num_frames: int,
    num_people: int,
    options: AnimateOptions,
    coverage: float = 1.0,
) -> tuple[Params, ClipConditions, Any, Row]:
    """Return the shapes of what one step takes; arguments as for `abstract_conditions`."""
    params = _with_reference(animator, params)
    conditions = abstract_conditions(animator, params, num_frames, num_people, options, coverage)
    length = clip_length(animator, num_frames, options)
    latents = jax.ShapeDtypeStruct((length, *animator.latent_shape), jnp.float32)
    table = clip_table(animator, options)
    state = jax.eval_shape(lambda latents: start_state(table, latents), latents)
    row = jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], step_rows(table)))
    return params, conditions, state, row


def _with_reference(animator: Animator, params: Params) -> Params:
    """Return the shapes of the parameters with what is read of any reference."""
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    image, mask = np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), bool)
    return jax.eval_shape(lambda params: animator.with_reference(params, image, mask), shapes)


def abstract_conditions(
    animator: Animator,
    params: Params,
    num_frames: int,
    num_people: int,
    options: AnimateOptions,
    coverage: float = 1.0,
) -> ClipConditions:
    """Return the shapes of what `encode_clip` would return.

    Args:
        animator: The model's functions.
        params: Shapes of its parameters.
        num_frames: Frames of the motion.
        num_people: People of the reference.
        options: Denoising options.
        coverage: Share of the pictures that a person covers, where routing hides the rest.
    """
    options = options.resolve(animator)

    def pictures(count, size, channels=3):
        return jax.ShapeDtypeStruct((count, *size, channels), jnp.float32)

    def encoded(count, as_features: bool):
        def encode(params, images):
            return encode_pictures(animator, params, images, as_features)

        return jax.eval_shape(encode, params, pictures(count, animator.picture_size))

    poses = pictures(num_frames, animator.image_size, animator.pose_channels)
    pose = jax.eval_shape(
        lambda *x: animator.pose_context(animator.pose_features(*x)), params, poses
    )
    can_keep = not animator.features_depend_on_t
    shared = None if options.routing in ("replace", "composite") else encoded(1, can_keep)
    nothing = (None,) * len(animator.token_grids)
    if options.routing is None:
        return ClipConditions(ClipReferences(shared, (), nothing), pose)
    is_first = options.policy == "first"
    stored = num_groups(num_frames, options.group_size) if is_first else num_frames
    people = 1 if options.routing == "composite" else num_people

    def keys(share: float, tokens: int, *pictures: int) -> Keys:
        shape = (*pictures, num_keys(math.ceil(share * tokens), tokens))
        return Keys(*(jax.ShapeDtypeStruct(shape, dtype) for dtype in (jnp.int32, jnp.uint32)))

    def bits(grid: tuple[int, int]) -> Visible:
        tokens = grid[0] * grid[1]
        queries = jax.ShapeDtypeStruct((num_frames, tokens), jnp.uint32)
        reference = keys(1 - coverage if options.routing == "masked" else 1.0, tokens)
        return Visible(queries, reference, keys(coverage, tokens, people, stored))

    pairs = zip(animator.token_grids, animator.reads, strict=True)
    has_bits = is_restricted(options.routing)
    seen = tuple(bits(grid) if has_bits and reads else None for grid, reads in pairs)
    keeps = keeps_features(animator, params, people * stored, options)
    return ClipConditions(ClipReferences(shared, (encoded(stored, keeps),) * people, seen), pose)


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
