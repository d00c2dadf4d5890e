"""What the feature metrics feed their networks, and how they run over data sets.

The networks themselves are compared with torch in `tests/parity/test_feature_networks.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from PIL import Image

from tpc_jax.metrics import feature_statistics, frechet_distance
from tpc_jax.metrics.features import (
    fid_features,
    fid_input,
    fid_vid_features,
    fid_vid_input,
    fvd_features,
    fvd_input,
    lpips_distance,
)
from tpc_jax.metrics.networks import feature_network
from tpc_jax.metrics.streaming import BatchedMetric
from tpc_jax.model import params as P


class Probe(nnx.Module):
    """Stands in for a network: a random projection of coarse averages of its input."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.project = nnx.Linear(3, 5, rngs=rngs)

    def __call__(self, x):
        return jnp.tanh(
            jnp.mean(self.project(x[..., ::7, ::7, :]), axis=tuple(range(1, x.ndim - 1)))
        )


class Sum(nnx.Module):
    """Stands in for a network that adds up its input."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.unused = nnx.Param(jnp.zeros(1))

    def __call__(self, x):
        return jnp.stack([jnp.mean(x, axis=tuple(range(1, x.ndim)))] * 2, axis=-1)


def probe(make=Probe):
    return P.abstract(make), P.initialize(make, key=jax.random.key(0))


def frames(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def pillow(frame: np.ndarray, size: int) -> np.ndarray:
    """Resize each channel as a float picture."""
    planes = [Image.fromarray(frame[..., c].astype(np.float32)) for c in range(3)]
    resized = [p.resize((size, size), Image.Resampling.BICUBIC) for p in planes]
    return np.stack(resized, axis=-1)


@pytest.mark.torch
def test_fid_input_of_mode_disco_is_pytorch_fids():
    """A trap: it resizes without anti-aliasing, and scales to [-1, 1]."""
    images = frames(0, 2, 40, 333)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    x = torch.nn.functional.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
    ours = fid_input(jnp.asarray(images), "disco")
    # Torch computes positions in float32, 3e-5 of a pixel off at the right edge.
    np.testing.assert_allclose(ours, (2 * x - 1).permute(0, 2, 3, 1), atol=2e-4)


def test_fid_input_of_mode_correct_is_clean_fids():
    images = frames(1, 2, 40, 333)
    expected = [(pillow(image, 299) - 128) / 128 for image in images]
    np.testing.assert_allclose(fid_input(jnp.asarray(images), "correct"), expected, atol=1e-5)


def test_fid_vid_input():
    """A trap: grey levels minus a mean, no division; a short segment repeats its last frame."""
    clips = frames(2, 2, 19, 24, 30)
    found = fid_vid_input(jnp.asarray(clips), "disco")
    assert found.shape == (4, 16, 112, 112, 3)
    mean = np.array([114.7748, 107.7354, 99.4750])
    for segment, position, clip, frame in (
        (0, 5, 0, 5),
        (1, 2, 0, 18),
        (1, 15, 0, 18),
        (2, 0, 1, 0),
    ):
        expected = pillow(clips[clip, frame], 112) - mean
        np.testing.assert_allclose(found[segment, position], expected, atol=1e-3)


def test_segments_of_a_clip_are_averaged_before_the_statistics():
    network, params = probe()
    clips = frames(3, 2, 32, 20, 20)
    found = fid_vid_features(network, params, jnp.asarray(clips))
    halves = [fid_vid_features(network, params, jnp.asarray(clips[:, i : i + 16])) for i in (0, 16)]
    np.testing.assert_allclose(found, np.mean(halves, axis=0), atol=1e-5)


def test_fvd_input():
    clips = frames(4, 1, 3, 24, 30)
    expected = np.stack([pillow(frame, 224) for frame in clips[0]]) / 127.5 - 1
    found = np.asarray(fvd_input(jnp.asarray(clips), "disco"))
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert found.min() < -1.02  # bicubic overshoots, and is not clipped


def test_a_clip_goes_through_fvd_whole_and_without_padding():
    network, params = probe(Sum)
    clips = frames(6, 1, 5, 24, 24)
    found = fvd_features(network, params, jnp.asarray(clips))
    expected = np.mean(fvd_input(jnp.asarray(clips)))
    np.testing.assert_allclose(found, [[expected, expected]], rtol=1e-4)


@pytest.mark.parametrize("prepare", [fid_input, fid_vid_input, fvd_input])
def test_8bit_frames_are_the_same_in_floats_and_mode_disco_rounds(prepare):
    images = frames(7, 2, 20, 20) if prepare is fid_input else frames(7, 1, 2, 20, 20)
    exact = jnp.asarray(images, jnp.float32) / 255
    moved = exact + 0.3 / 255 * jnp.where(jnp.arange(3) == 0, 1.0, -1.0)
    for mode in ("correct", "disco"):
        expected = prepare(jnp.asarray(images), mode)
        np.testing.assert_allclose(prepare(exact, mode), expected, atol=1e-4)
    np.testing.assert_allclose(prepare(jnp.clip(moved, 0, 1), "disco"), expected, atol=1e-4)
    correct = prepare(jnp.asarray(images), "correct")
    assert jnp.abs(prepare(moved, "correct") - correct).mean() > 1e-3


@pytest.fixture(scope="module")
def alexnet():
    network = feature_network("lpips_alex", 16)
    rng = np.random.default_rng(1)
    flat = {
        path: jnp.asarray(rng.normal(size=leaf.shape) / leaf.size**0.3, jnp.float32)
        for path, leaf in P.flatten(network.spec).items()
    }
    flat = {path: jnp.abs(x) if path.startswith("lins") else x for path, x in flat.items()}
    params = P.unflatten(network, flat)
    return network, params


def test_lpips_sees_another_range_in_mode_disco(alexnet):
    """A trap: DisCo gives pictures in [0, 1] to a network that expects [-1, 1]."""
    network, params = alexnet
    pred, target = (jnp.asarray(frames(seed, 2, 64, 64), jnp.float32) / 255 for seed in (8, 9))
    model = P.bind(network, params)
    correct = lpips_distance(network, params, pred, target)
    disco = lpips_distance(network, params, pred, target, mode="disco")
    np.testing.assert_allclose(correct, model(2 * pred - 1, 2 * target - 1), rtol=1e-4)
    np.testing.assert_allclose(disco, model(pred, target), rtol=1e-4)
    assert np.abs(correct / disco - 1).min() > 0.01
    same = lpips_distance(network, params, pred, pred)
    np.testing.assert_array_equal(same, 0.0)


def test_lpips_in_batches(alexnet):
    network, params = alexnet
    pred, target = frames(10, 5, 64, 64), frames(11, 5, 64, 64)
    metric = BatchedMetric("lpips", network, params, mode="disco", batch_size=2)
    assert metric.label == "lpips (disco)"
    whole = lpips_distance(network, params, jnp.asarray(pred), jnp.asarray(target), mode="disco")
    found = metric(pred, target)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, whole, rtol=1e-4)
    with pytest.raises(ValueError, match="takes 2 sets, got 1"):
        metric(pred)
    with pytest.raises(ValueError, match="compares pairs"):
        metric.statistics([pred])


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_batches_and_their_order_do_not_change_the_score(batch_size):
    network, params = probe()
    metric = BatchedMetric("fid", network, params, batch_size=batch_size)
    images = frames(12, 9, 24, 24)
    features = fid_features(network, params, jnp.asarray(images))
    whole = feature_statistics(np.asarray(features, np.float64))
    portions = iter([images[4:9], images[:1], images[1:4]])
    found = metric.statistics(portions)
    assert found.num_samples == 9
    np.testing.assert_allclose(found.mean, whole.mean, atol=1e-6)
    np.testing.assert_allclose(found.covariance, whole.covariance, atol=1e-7)
    assert frechet_distance(found, whole) < 1e-8


def test_statistics_can_be_resumed():
    network, params = probe()
    metric = BatchedMetric("fvd", network, params, batch_size=2)
    clips = frames(13, 6, 3, 24, 24)
    whole = metric.statistics([clips])
    first = metric.statistics([clips[:2]])
    resumed = metric.statistics([clips[2:]], resumed=first)
    np.testing.assert_allclose(resumed.scatter, whole.scatter, atol=1e-9)


def test_one_program_serves_every_batch(monkeypatch):
    traces = []

    class Counting(Probe):
        def __call__(self, x):
            traces.append(x.shape)
            return super().__call__(x)

    network, params = probe(Counting)
    metric = BatchedMetric("fid", network, params, batch_size=4)
    metric.statistics([frames(14, 4, 24, 24), frames(15, 3, 24, 24), frames(16, 9, 24, 24)])
    assert traces == [(4, 299, 299, 3)]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.float32) + 200, r"floats in \[200, 200\]; scale them"),
        (np.zeros((2, 8, 8, 3), np.float32) - 1, r"floats in \[-1, -1\]"),
        (np.full((2, 8, 8, 3), np.nan, np.float32), "scale them"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"\(items, height, width, 3\), got \(2, 8, 8, 4\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"got \(0, 8, 8, 3\)"),
        (np.zeros((8, 8, 3), np.uint8), r"got \(8, 8, 3\)"),
        (np.zeros((2, 8, 8, 3), np.int32), r"uint8 or floats in \[0, 1\], got int32"),
    ],
)
def test_pictures_of_another_scale_or_shape_are_refused(images, message):
    metric = BatchedMetric("fid", *probe())
    with pytest.raises(ValueError, match=message):
        metric(images)


def test_nothing_to_score_is_refused():
    with pytest.raises(ValueError, match="got none"):
        BatchedMetric("fid", *probe()).statistics([])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        BatchedMetric("fid", *probe(), batch_size=0)


def test_the_pixel_metrics_do_not_load_flax(run_python):
    code = "import sys, tpc_jax.metrics; print('flax' in sys.modules)"
    assert run_python(code).strip() == "False"
