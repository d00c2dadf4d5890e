"""Iterative propagation over any `[frames, ...]` array, be it pixels, latents or tokens."""

from typing import get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from tpc_jax.options import Policy
from tpc_jax.propagation.groups import group_bounds, group_of_frame


def representatives(
    key: Key[Array, ""],
    step: int | Int[Array, ""],
    num_frames: int,
    group_size: int,
    policy: Policy = "random",
) -> Int[Array, " groups"]:
    """Choose the frame that speaks for each group of consecutive frames at one denoising step.

    Args:
        key: Typed PRNG key of the run.
        step: Number of the denoising step; may be traced.
        num_frames: Frames of the whole clip, static.
        group_size: Frames per group, static; the last group may be shorter.
        policy: "random" draws uniformly among the group's real members, anew at every step; "first"
            takes the first member at every step, as the released code does.

    Returns:
        Frame index in the clip, per group.

    Raises:
        ValueError: If a number is not positive or the policy unknown.

    Numerics: the key is folded with the step and then with the group's number, so a draw depends
        neither on the windows in which frames are processed, nor on devices, nor (but for the size
        of a short last group) on the length of the clip.

    Source: paper section on iterative propagation; policy "first" as in the released code.
    """
    if policy not in get_args(Policy):
        raise ValueError(f"policy must be one of {get_args(Policy)}, got {policy!r}")
    first, size = (jnp.asarray(x) for x in group_bounds(num_frames, group_size))
    if policy == "first":
        return first
    step_key = jax.random.fold_in(key, step)

    def draw(group: Int[Array, ""], members: Int[Array, ""]) -> Int[Array, ""]:
        group_key = jax.random.fold_in(step_key, group)
        return jax.random.randint(group_key, (), 0, members, dtype=members.dtype)

    return first + jax.vmap(draw)(jnp.arange(len(first)), size)


def representative_of_frame(
    representative: Int[Array, " groups"], num_frames: int, group_size: int
) -> Int[Array, " frames"]:
    """Spread the groups' representatives over their frames."""
    return representative[jnp.asarray(group_of_frame(num_frames, group_size))]


def propagate(features: PyTree[Array], source_of_frame: Int[Array, " frames"]) -> PyTree[Array]:
    """Give every frame the features of its source.

    Args:
        features: Arrays with one common leading axis: all frames of the clip, or the encoded
            representatives only.
        source_of_frame: Index into that axis for every frame wanted: `representative_of_frame` for
            the former, `group_of_frame` for the latter; a window passes its own slice.

    Returns:
        The same tree with leading axis `frames`.

    Source: paper section on iterative propagation.
    """
    return jax.tree.map(lambda x: jnp.take(x, source_of_frame, axis=0), features)
