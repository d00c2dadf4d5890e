"""From candidate similarities per frame to one steady, refined similarity per frame."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from tpc_jax._types import Transform2D
from tpc_jax.refinement.bodies import (
    BODY_SIDE,
    MAP_SIDE,
    Source,
    Still,
    Target,
    from_parameters,
    still_body,
    target_body,
    to_parameters,
)
from tpc_jax.refinement.energy import DEFAULT_WEIGHTS, Weights, energy, overlap, support
from tpc_jax.refinement.search import FIRST_STEP, descend, distances, steadiest_path

# Frames searched by one call; a fixed number, so that clips of all lengths share one program.
_FRAMES_AT_ONCE = 8
# Sizes of steps from every candidate, and of the smaller ones near the neighbours' motion.
_NUM_HALVINGS, _NUM_POLISHING = 5, 3
# A search takes every second sample first.
_COARSE = 2
# Cost of a squared change of motion between neighbours, and the most that a change costs.
_STEADINESS, _MOST = 2.0, 0.3
_NUM_SWEEPS = 2
# What may be worse by so much: the fit to the keypoints as it is, where they all agree, for maps
# are coarser than points; and the untouched reference, which is steady and is not resampled.
_GIVEN_BONUS, _UNTOUCHED_BONUS = 0.1, 0.03
# Frames on both sides of which the median motion is a candidate too.
_WINDOW = 7


class Refined(NamedTuple):
    """The similarities of one person.

    Attributes:
        drv_from_ref: One per frame; those of unknown frames hold anything.
        is_known: Whether the frame shows a body.
        choice: Which candidate each came from; -1 for the neighbours' motion, and the number of
            candidates where the untouched reference is used as it is.
        agreement: Share of both bodies on which segments agree, as estimated on the maps.
        before: The same for every candidate as it was given, `[candidates frames]`.
    """

    drv_from_ref: Transform2D
    is_known: Bool[np.ndarray, " frames"]
    choice: Int[np.ndarray, " frames"]
    agreement: Float[np.ndarray, " frames"]
    before: Float[np.ndarray, "candidates frames"]


def refine(
    reference: Source,
    driving: Iterable[Source],
    candidates: Sequence[Transform2D],
    untouched: int,
    weights: Weights = DEFAULT_WEIGHTS,
) -> Refined | None:
    """Choose and refine one similarity per frame.

    From every candidate a local search descends to what the evidence says is best near it. A path
    through the results, the untouched reference and the median motion of the neighbouring frames
    is chosen that weighs evidence against sudden changes; along it the search goes on by small
    steps, held by the motion of both neighbours. Nothing ends worse than the untouched reference.

    Args:
        reference: The person in the reference.
        driving: The same person in every frame.
        candidates: Transforms `[frames]` to begin with, the fit to the keypoints first; non-finite
            ones are left out.
        untouched: Which of them leaves the reference where it is on the canvas.
        weights: What counts how much.

    Returns:
        One similarity per frame, or None where nothing is known of the reference's body.

    Source: own derivation.
    """
    still = still_body(reference)
    if still is None:
        return None
    targets = [target_body(source) for source in driving]
    known = np.array([target is not None for target in targets])
    before = np.zeros((len(candidates), len(targets)))
    linear, offset = (np.stack(x).astype(float) for x in zip(*candidates, strict=True))
    choice, agreement = np.full(len(targets), len(candidates)), np.zeros(len(targets))
    result = Transform2D(linear[untouched].copy(), offset[untouched].copy())
    frames = np.flatnonzero(known)
    if len(frames) == 0:
        return Refined(result, known, choice, agreement, before)
    seen = [target for target in targets if target is not None]
    starts = np.stack(
        [
            to_parameters(Transform2D(linear[:, frame], offset[:, frame]), still, target)
            for frame, target in zip(frames, seen, strict=True)
        ]
    )
    chosen = _Search(still, seen, weights).run(starts, untouched)
    before[:, frames] = chosen.before.T
    choice[frames], agreement[frames] = chosen.choice, chosen.agreement
    for place, (frame, target) in enumerate(zip(frames, seen, strict=True)):
        if (given := chosen.as_given[place]) >= 0:
            # Exactly as given: rounding would resample a picture that could be copied.
            moved = Transform2D(linear[given, frame], offset[given, frame])
        else:
            moved = from_parameters(chosen.parameters[place], still, target)
        result.linear[frame], result.offset[frame] = moved
    return Refined(result, known, choice, agreement, before)


class _Chosen(NamedTuple):
    parameters: Float[np.ndarray, "frames 4"]
    choice: Int[np.ndarray, " frames"]
    as_given: Int[np.ndarray, " frames"]
    agreement: Float[np.ndarray, " frames"]
    before: Float[np.ndarray, "frames candidates"]


class _Search:
    """The search over the frames of one person that show a body."""

    def __init__(self, still: Still, targets: Sequence[Target], weights: Weights):
        self.still, self.targets, self.weights = still, targets, weights
        # The same fields with a leading axis of frames.
        self.batch: Any = jax.tree.map(lambda *x: np.stack(x), *targets)
        self.unit = float(np.median(self.batch.pixel)) * BODY_SIDE

    def run(self, starts: Float[np.ndarray, "frames candidates 4"], untouched: int) -> _Chosen:
        """Search, choose and polish."""
        is_usable = np.all(np.isfinite(starts), axis=-1)
        starts = np.where(is_usable[..., None], starts, starts[:, untouched, None])
        found, values = self._in_chunks(_descend, starts)
        given, still_there = starts[:, 0], starts[:, untouched]
        first = found[np.arange(len(found)), values.argmin(1)]
        near = self._to_map(_median_motion(self._to_frame(first)))
        near, near_values = self._in_chunks(_descend, near[:, None])
        rest = self._energies(still_there) - _UNTOUCHED_BONUS
        states = np.stack([*found.swapaxes(0, 1), near[:, 0], given, still_there], axis=1)
        trust = _GIVEN_BONUS * self._in_chunks(_supports, given) ** 2
        plain = [near_values[:, 0], self._energies(given) - trust, rest]
        costs = np.concatenate([values, np.stack(plain, axis=1)], axis=1)
        motions = np.stack([self._to_frame(states[:, i]) for i in range(states.shape[1])], axis=1)
        path = steadiest_path(costs, motions, _STEADINESS, _MOST)
        parameters = states[np.arange(len(path)), path]
        names = np.array([*range(starts.shape[1]), -1, 0, starts.shape[1]])
        is_fixed = path >= len(names) - 2
        for _ in range(_NUM_SWEEPS):
            parameters = self._polish(parameters, is_fixed)
        is_untouched = self._energies(parameters) >= rest
        parameters = np.where(is_untouched[:, None], still_there, parameters)
        return _Chosen(
            parameters,
            np.where(is_untouched, starts.shape[1], names[path]),
            np.where(is_untouched, untouched, np.where(path == len(names) - 2, 0, -1)),
            self._overlaps(parameters[:, None])[:, 0],
            self._overlaps(starts),
        )

    def _polish(self, parameters, is_fixed):
        """Take small steps, held by the mean motion of both neighbours."""
        motions = self._to_frame(parameters)
        around = np.pad(motions, ((1, 1), (0, 0)), mode="edge")
        before, after = around[:-2], around[2:]
        turn = after[:, 1] - before[:, 1]
        turn -= 2 * np.pi * np.round(turn / (2 * np.pi))
        mean = (before + after) / 2
        mean[:, 1] = before[:, 1] + turn / 2
        # A cut is no motion that could hold anything.
        jumps = np.maximum(distances(motions, before), distances(motions, after))
        strength = np.where(_STEADINESS * jumps < _MOST, _STEADINESS, 0.0).astype(np.float32)
        anchor = self._to_map(mean)
        moved, _ = self._in_chunks(_polish, parameters, anchor, strength)
        return np.where(is_fixed[:, None], parameters, moved)

    def _energies(self, parameters):
        return self._in_chunks(_energies, parameters)

    def _overlaps(self, parameters):
        return self._in_chunks(_overlaps, parameters)

    def _in_chunks(self, function, *arrays):
        """Call a compiled function on a few frames at a time, the last ones repeated."""
        outputs, count = [], len(self.targets)
        for at in range(0, count, _FRAMES_AT_ONCE):
            index = np.minimum(np.arange(at, at + _FRAMES_AT_ONCE), count - 1)
            targets = Target(*(x[index] for x in self.batch))._replace(centre=None, pixel=None)
            still = self.still._replace(centre=None)
            # Nothing is waited for here, so that chunks run side by side.
            outputs.append(function(still, targets, self.weights, *(x[index] for x in arrays)))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *outputs)

    def _to_frame(self, parameters: Float[np.ndarray, "frames 4"]):
        """Turn parameters on the maps into motions that compare between frames."""
        pixel, centre = self.batch.pixel[:, None], self.batch.centre
        place = ((parameters[:, 2:] - (MAP_SIDE - 1) / 2) * pixel + centre) / self.unit
        return np.concatenate(
            [parameters[:, :1] + np.log(pixel), parameters[:, 1:2], place], axis=1
        )

    def _to_map(self, motions: Float[np.ndarray, "frames 4"]) -> Float[np.ndarray, "frames 4"]:
        pixel, centre = self.batch.pixel[:, None], self.batch.centre
        place = (motions[:, 2:] * self.unit - centre) / pixel + (MAP_SIDE - 1) / 2
        columns = [motions[:, :1] - np.log(pixel), motions[:, 1:2], place]
        return np.concatenate(columns, axis=1).astype(np.float32)


def _median_motion(motions: Float[np.ndarray, "frames 4"]) -> Float[np.ndarray, "frames 4"]:
    """Return the median over a window of frames, of angles about their circular mean."""
    result = np.empty_like(motions)
    for frame in range(len(motions)):
        window = motions[max(0, frame - _WINDOW) : frame + _WINDOW + 1]
        mean = np.angle(np.exp(1j * window[:, 1]).mean())
        turn = window[:, 1] - mean
        result[frame] = np.median(window, axis=0)
        result[frame, 1] = mean + np.median(turn - 2 * np.pi * np.round(turn / (2 * np.pi)))
    return result


@functools.partial(jax.jit, static_argnums=2)
def _descend(still: Still, targets: Target, weights: Weights, starts: Array):
    """Search from all starts `[frames starts 4]`, coarsely, and compare by all samples."""
    coarse = still._replace(points=still.points[::_COARSE], labels=still.labels[::_COARSE])

    def one(target, start):
        def search(begin):
            objective = functools.partial(energy, still=coarse, target=target, weights=weights)
            return descend(objective, begin, FIRST_STEP, _NUM_HALVINGS)[0]

        found = jax.vmap(search)(start)
        return found, energy(found, still, target, weights)

    return jax.lax.map(lambda x: one(*x), (targets, starts))


@functools.partial(jax.jit, static_argnums=2)
def _polish(still: Still, targets: Target, weights: Weights, starts, anchors, strengths):
    def one(target, start, anchor, strength):
        def objective(parameters):
            change = parameters - anchor
            turn = change[..., 1] - 2 * jnp.pi * jnp.round(change[..., 1] / (2 * jnp.pi))
            place = jnp.sum(change[..., 2:] ** 2, axis=-1) / BODY_SIDE**2
            held = strength * (change[..., 0] ** 2 + turn**2 + place)
            return energy(parameters, still, target, weights) + held

        return descend(objective, start, (FIRST_STEP / 8).astype(np.float32), _NUM_POLISHING)

    return jax.lax.map(lambda x: one(*x), (targets, starts, anchors, strengths))


@functools.partial(jax.jit, static_argnums=2)
def _energies(still: Still, targets: Target, weights: Weights, parameters):
    return jax.vmap(lambda t, p: energy(p, still, t, weights))(targets, parameters)


@functools.partial(jax.jit, static_argnums=2)
def _supports(still: Still, targets: Target, weights: Weights, parameters):
    return jax.vmap(lambda t, p: support(p, still, t, weights))(targets, parameters)


@functools.partial(jax.jit, static_argnums=2)
def _overlaps(still: Still, targets: Target, weights: Weights, parameters):
    return jax.vmap(lambda t, p: overlap(p, still, t).segments)(targets, parameters)
