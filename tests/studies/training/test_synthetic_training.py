"""The recipe of the synthetic features, at its smallest."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.metrics.networks.synthetic import load_synthetic_params, synthetic_network
from tpc_jax.model import params as P
from tpc_jax.studies.training import synthetic_features
from tpc_jax.studies.training.synthetic_features import (
    STAGES,
    clip_batch,
    clip_loss,
    picture_batch,
    picture_loss,
    train_synthetic_features,
)

# AdamW alone compiles several times as fast as with Muon.
SMALL = {
    kind: dataclasses.replace(s, clips=2, frames=2, steps=3, matrix_learning_rate=None)
    for kind, s in STAGES.items()
}


@pytest.mark.slow
def test_training_goes_on_and_is_stored(tmp_path, monkeypatch):
    shorter = {kind: dataclasses.replace(s, steps=2) for kind, s in SMALL.items()}
    monkeypatch.setattr(synthetic_features, "_NUM_BATCHES", 2)
    train_synthetic_features(tmp_path / "two", tmp_path / "runs", shorter)
    train_synthetic_features(tmp_path / "three", tmp_path / "runs", SMALL)
    two, three = (load_synthetic_params(tmp_path / name) for name in ("two", "three"))
    for kind in SMALL:
        pairs = zip(jax.tree.leaves(two[kind]), jax.tree.leaves(three[kind]), strict=True)
        assert any(np.abs(a - b).max() > 0 for a, b in pairs)
    assert "synthetic features" in (tmp_path / "three" / "CARD.md").read_text()


def test_labels_of_pictures():
    batch = picture_batch(SMALL["pictures"], 5)
    again = picture_batch(SMALL["pictures"], 5)
    for ours, theirs in zip(batch, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert batch.pictures.shape == (4, 64, 64, 3)
    assert (picture_batch(SMALL["pictures"], 5, "test").pictures != batch.pictures).mean() > 0.3
    # A seen joint lies on the person, at a quarter of the size.
    cells = np.clip(((batch.joints + 0.5) * 16).astype(int), 0, 15)
    rows = np.arange(4)[:, None]
    on_person = batch.parts[rows, cells[..., 1], cells[..., 0]] > 0
    assert on_person[batch.is_seen].mean() > 0.6
    assert ((batch.colors >= 0) & (batch.colors <= 1)).all()


def test_labels_of_clips():
    stage = dataclasses.replace(SMALL["clips"], clips=12, frames=5)
    batch = clip_batch(stage, 0)
    assert set(batch.disturbance.tolist()) == {0, 1, 2}
    shuffled = batch.disturbance == 1
    assert not batch.is_seen[shuffled].any()
    assert batch.is_seen[~shuffled].any()
    change = np.abs(np.diff(batch.clips.astype(float), axis=1)).mean((1, 2, 3, 4))
    assert change[batch.disturbance == 2].mean() > 1.5 * change[batch.disturbance == 0].mean()


@pytest.mark.parametrize(
    ("kind", "make", "loss"),
    [("pictures", picture_batch, picture_loss), ("clips", clip_batch, clip_loss)],
)
def test_losses_learn_from_everything(kind, make, loss):
    network = synthetic_network(kind)
    params = P.initialize(synthetic_features.MAKERS[kind], key=jax.random.key(0))
    stage = dataclasses.replace(SMALL[kind], clips=12, frames=3)
    batch = jax.tree.map(jnp.asarray, make(stage, 0))
    gradient = jax.jit(jax.grad(lambda p: loss(P.bind(network, p), batch)))(params)
    for path, leaf in P.flatten(gradient).items():
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path
