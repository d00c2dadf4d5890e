"""What the tests of whole loops share."""

import jax.numpy as jnp
import numpy as np

from tpc_jax.animators.plan import Plan, plan_run
from tpc_jax.animators.reading import ClipConditions
from tpc_jax.animators.references import ClipReferences
from tpc_jax.animators.run import sample


def last(array):
    """Return pictures [..., channels, h, w] with channels last."""
    return np.moveaxis(array, -3, -1)


def close(ours, theirs, what: str, tolerance=1e-3) -> None:
    """Compare relative to the largest magnitude."""
    ours, size = np.asarray(ours), np.abs(theirs).max()
    assert ours.shape == theirs.shape
    error = np.abs(ours - theirs).max() / size
    print(f"{what}: {error:.1e} of {size:.2g}")
    assert error <= tolerance, what


def token_conditions(reading, shared, calibrated, pose) -> ClipConditions:
    """Return what a clip reads whose tokens are given: of the reference, perhaps of each frame."""
    per_frame = () if calibrated is None else ((jnp.asarray(calibrated),),)
    references = ClipReferences((jnp.asarray(shared),), per_frame, (None,))
    return ClipConditions(reading, references, jnp.asarray(pose))


def plan_steps(animator, start, options, timesteps) -> Plan:
    """Plan a run that must visit the given timesteps."""
    plan = plan_run(animator, len(start), options)
    np.testing.assert_array_equal(plan.table.timestep, timesteps)
    return plan


def run(plan, params, conditions, start) -> np.ndarray:
    """Return the latents after every step."""
    steps = sample(plan, params, conditions, jnp.array(start))
    return np.stack([np.asarray(latents) for latents in steps])


def solved_predictions(plan, start, latents) -> np.ndarray:
    """Solve every step of a run for the guided prediction that it took."""
    keep, gain, weights = (np.asarray(column, np.float64) for column in plan.table[2:])
    history: list[np.ndarray] = []
    before = np.concatenate([np.asarray(start)[None], latents[:-1]]).astype(np.float64)
    for index, own in enumerate(weights):
        combined = (latents[index] - keep[index] * before[index]) / gain[index]
        known = sum(w * old for w, old in zip(own[1:], history[::-1], strict=False))
        history.append((combined - known) / own[0])
    return np.stack(history)
