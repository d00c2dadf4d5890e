"""The embedded networks of synthetic features: they know drawn people, and say what they are."""

from importlib import resources
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.errors import UserError
from tpc_jax.metrics.frechet import feature_statistics, frechet_distance
from tpc_jax.metrics.networks.synthetic import (
    MAKERS,
    load_synthetic_params,
    synthetic_network,
)
from tpc_jax.metrics.streaming import BatchedMetric
from tpc_jax.model.params import bind
from tpc_jax.studies.training.synthetic_features import STAGES, clip_batch, picture_batch

PARAMS = load_synthetic_params()
NETWORKS = {kind: bind(synthetic_network(kind), PARAMS[kind]) for kind in MAKERS}


@pytest.fixture(scope="module")
def pictures():
    return picture_batch(STAGES["pictures"], 0, split="test")


@pytest.fixture(scope="module")
def clips():
    return clip_batch(STAGES["clips"], 0, split="test")


def test_the_checkpoint_is_small():
    folder = Path(str(resources.files("tpc_jax") / "assets" / "synthetic_features"))
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 2_000_000
    with pytest.raises(UserError):
        load_synthetic_params(folder.parent / "missing")


def test_held_out_pictures_are_understood(pictures):
    logits, colors, joints = NETWORKS["pictures"](jnp.asarray(pictures.pictures, jnp.float32) / 255)
    is_person = pictures.parts > 0
    found = np.asarray(logits.argmax(-1))
    assert ((found > 0) == is_person).mean() > 0.85
    # Against answering the mean of all pictures.
    for answer, true, known in (
        (colors, pictures.colors, pictures.has_color),
        (joints, pictures.joints, pictures.is_seen),
    ):
        error = np.abs(answer - true)[known].mean()
        assert error < 0.8 * np.abs(true - true[known].mean(0))[known].mean()


def test_held_out_disturbances_are_told(clips):
    _, logits = NETWORKS["clips"](jnp.asarray(clips.clips, jnp.float32) / 255)
    assert (np.asarray(logits.argmax(-1)) == clips.disturbance).mean() > 0.6


def metric(kind):
    return BatchedMetric(f"synthetic_{kind}", synthetic_network(kind), PARAMS[kind], batch_size=6)


def distance(kind, a, b):
    return frechet_distance(*(feature_statistics(metric(kind)(x)) for x in (a, b)))


def test_blur_and_flicker_are_far_from_the_truth(pictures, clips):
    half = len(pictures.pictures) // 2
    first, second = pictures.pictures[:half], pictures.pictures[half:]
    small = second.reshape(half, 8, 8, 8, 8, 3).mean((2, 4))
    blurred = small.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)
    near, far = distance("pictures", first, second), distance("pictures", first, blurred)
    assert far > 1.2 * near
    assert distance("pictures", first, first) < 1e-6
    noise = np.random.default_rng(0).normal(0, 30, (*clips.clips.shape[:2], 1, 1, 3))
    flickering = np.clip(clips.clips + noise, 0, 255).astype(np.uint8)
    assert (
        distance("clips", clips.clips, flickering) > 0.1 * metric("clips")(clips.clips).var(0).sum()
    )


def test_pictures_of_any_size_and_scale(pictures):
    large = pictures.pictures[:2].repeat(2, axis=1).repeat(2, axis=2)
    ours, theirs = (metric("pictures")(x) for x in (large, pictures.pictures[:2]))
    np.testing.assert_allclose(ours, theirs, atol=0.05 * np.abs(theirs).max())
    floats = pictures.pictures[:2].astype(np.float32) / 255
    np.testing.assert_allclose(metric("pictures")(floats), theirs, atol=1e-4)
    assert metric("pictures").label == "synthetic_pictures (correct)"


def test_there_is_no_field_convention(pictures):
    bad = BatchedMetric(
        "synthetic_pictures", synthetic_network("pictures"), PARAMS["pictures"], mode="disco"
    )
    with pytest.raises(ValueError, match="mode 'correct' only"):
        bad(pictures.pictures[:1])


def test_features_ignore_their_batch(pictures):
    network = NETWORKS["pictures"]
    images = jnp.asarray(pictures.pictures[:5], jnp.float32) / 255
    one = jnp.concatenate([network.features(images[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(network.features(images), one, atol=1e-5)
