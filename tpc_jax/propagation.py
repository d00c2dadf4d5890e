"""Iterative propagation: one member of a group of frames speaks for the group at each step.

Frame i belongs to group `i // group_size`, so `representatives(...)[i // group_size]` is the frame
whose calibrated picture frame i reads.
"""

from typing import get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from tpc_jax.options import Policy


def num_groups(num_frames: int, group_size: int) -> int:
    """Return how many groups cover the clip; the last one may be shorter.

    Raises:
        ValueError: If either number is not positive.
    """
    if num_frames < 1 or group_size < 1:
        raise ValueError(
            f"num_frames and group_size must be positive, got {num_frames} and {group_size}"
        )
    return -(-num_frames // group_size)


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
    group = jnp.arange(num_groups(num_frames, group_size), dtype=jnp.int32)
    first = group * group_size
    if policy == "first":
        return first
    step_key = jax.random.fold_in(key, step)

    def draw(group: Int[Array, ""], members: Int[Array, ""]) -> Int[Array, ""]:
        group_key = jax.random.fold_in(step_key, group)
        return jax.random.randint(group_key, (), 0, members, dtype=members.dtype)

    return first + jax.vmap(draw)(group, jnp.minimum(group_size, num_frames - first))
