"""Local search for similarities, and the steadiest way through what it found."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from tpc_jax.refinement.bodies import BODY_SIDE

# First steps of a search: log scale, angle, and shifts in map pixels. With steps that halve no
# search turns by more than 72 degrees: a symmetric silhouette can turn nobody upside down.
FIRST_STEP = np.array([0.2, np.radians(12.0), 0.1 * BODY_SIDE, 0.1 * BODY_SIDE], np.float32)
# A step forth or back along one parameter; diagonals cost ten times as much and find no more.
_MOVES = np.concatenate([np.eye(4, dtype=np.float32), -np.eye(4, dtype=np.float32)])
_MOVES_PER_STEP = 3


def descend(
    objective: Callable[[Float[Array, "*batch 4"]], Float[Array, "*batch"]],
    start: Float[Array, " 4"],
    step: Float[np.ndarray, " 4"],
    num_halvings: int,
) -> tuple[Float[Array, " 4"], Float[Array, ""]]:
    """Move to the best of the eight neighbours, again and again, by steps that halve.

    Args:
        objective: What is to become small.
        start: Where to begin.
        step: The first step.
        num_halvings: How many sizes of steps are taken.

    Returns:
        The best parameters met, never worse than the start, and their objective.

    Source: compass search, after Hooke and Jeeves (1961).
    """

    def move(index, state):
        best, value = state
        candidates = best + _MOVES * step * 0.5 ** (index // _MOVES_PER_STEP)
        values = objective(candidates)
        winner = jnp.argmin(values)
        is_better = values[winner] < value
        return jnp.where(is_better, candidates[winner], best), jnp.minimum(values[winner], value)

    count = _MOVES_PER_STEP * num_halvings
    return jax.lax.fori_loop(0, count, move, (start, objective(start)))


def distances(
    one: Float[np.ndarray, "*#batch 4"], other: Float[np.ndarray, "*#batch 4"]
) -> Float[np.ndarray, "*batch"]:
    """Return squared distances of motions: log scale, angle, and place in body sides."""
    difference = np.asarray(one) - np.asarray(other)
    turn = difference[..., 1]
    turn = turn - 2 * np.pi * np.round(turn / (2 * np.pi))
    place = (difference[..., 2:] ** 2).sum(-1)
    return np.asarray(difference[..., 0] ** 2 + turn**2 + place)


def steadiest_path(
    values: Float[np.ndarray, "frames states"],
    motions: Float[np.ndarray, "frames states 4"],
    steadiness: float,
    most: float,
) -> Int[np.ndarray, " frames"]:
    """Choose a state per frame so that values and changes are least in sum.

    Args:
        values: What each state costs.
        motions: Log scale, angle and place in body sides of every state.
        steadiness: Cost of a squared distance between neighbours.
        most: Most that a change costs: people do jump between shots.

    Source: Viterbi (1967).
    """
    cost, sources = values[0], []
    for frame in range(1, len(values)):
        change = distances(motions[frame - 1][:, None], motions[frame][None])
        total = cost[:, None] + np.minimum(steadiness * change, most)
        sources.append(np.argmin(total, axis=0))
        cost = total.min(axis=0) + values[frame]
    path = [int(np.argmin(cost))]
    for source in reversed(sources):
        path.append(int(source[path[-1]]))
    return np.array(path[::-1])
