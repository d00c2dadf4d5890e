"""What the tests of whole loops share."""

import jax.numpy as jnp
import numpy as np

from tpc_jax.animators.clip import clip_table, sample_clip
from tpc_jax.animators.encoding import ClipConditions
from tpc_jax.animators.references import ClipReferences
from tpc_jax.sampler.plms import PlmsTable


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


def token_conditions(shared, calibrated, pose) -> ClipConditions:
    """Return what a clip reads whose tokens are given: of the reference, perhaps of each frame."""
    per_frame = () if calibrated is None else ((jnp.asarray(calibrated),),)
    references = ClipReferences((jnp.asarray(shared),), per_frame, (None,))
    return ClipConditions(references, jnp.asarray(pose))


def run(animator, params, conditions, options, start, timesteps) -> np.ndarray:
    """Return the latents after every step of a run that visits the given timesteps."""
    np.testing.assert_array_equal(clip_table(animator, options).timestep, timesteps)
    steps = sample_clip(animator, params, conditions, options, jnp.asarray(start))
    return np.stack([np.asarray(latents) for latents in steps])


def solved_predictions(animator, options, start, latents) -> np.ndarray:
    """Solve every step of a run for the guided prediction that it took."""
    table = clip_table(animator, options)
    rows = [np.asarray(column, np.float64) for column in table[1:]]
    if isinstance(table, PlmsTable):
        ratio, gain, weights = rows
    else:
        ratio = rows[2] / rows[0]
        gain, weights = rows[3] - rows[1] * ratio, np.ones((len(ratio), 1))
    history: list[np.ndarray] = []
    before = np.concatenate([start[None], latents[:-1]]).astype(np.float64)
    for index, own in enumerate(weights):
        combined = (latents[index] - ratio[index] * before[index]) / gain[index]
        known = sum(w * old for w, old in zip(own[1:], history[::-1], strict=False))
        history.append((combined - known) / own[0])
    return np.stack(history)
