"""Scores by networks: features of sets for Frechet distances, and LPIPS of a clip."""

import base64
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax.errors import UserError
from tpc_jax.metrics.networks import load_feature_network
from tpc_jax.metrics.networks.synthetic import (
    SyntheticKind,
    load_synthetic_params,
    synthetic_network,
)
from tpc_jax.metrics.streaming import BatchedMetric, FeatureMetric
from tpc_jax.studies.evaluation.records import params_digest

_METRICS: dict[SyntheticKind, FeatureMetric] = {
    "pictures": "synthetic_pictures",
    "clips": "synthetic_clips",
}

Frames = UInt8[np.ndarray, "frames height width 3"]


class FeatureMetrics:
    """The synthetic features of frames and clips, for scores over whole splits."""

    def __init__(self):
        params = load_synthetic_params()
        self.digest = params_digest(params)
        self._metrics = {
            kind: BatchedMetric(metric, synthetic_network(kind), params[kind])
            for kind, metric in _METRICS.items()
        }

    def __call__(self, frames: Frames) -> dict[str, str]:
        """Return the features of all frames, and of the clip, as base64 of float32."""
        inputs = {"pictures": frames, "clips": frames[None]}
        return {kind: _encoded(metric(inputs[kind])) for kind, metric in self._metrics.items()}


def _encoded(features: np.ndarray) -> str:
    return base64.b64encode(features.astype("<f4").tobytes()).decode()


def decode(text: str) -> Float[np.ndarray, "vectors features"]:
    """Return stored features, 64 numbers each."""
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, 64).astype(np.float64)


class Lpips:
    """LPIPS by a converted network, averaged over the frames of a clip."""

    def __init__(self, folder: Path):
        """Load the network.

        Args:
            folder: Made by `python -m convert lpips-vgg` or `lpips-alex`.

        Raises:
            UserError: The folder holds no such network.
        """
        loaded = load_feature_network(folder)
        if not loaded.name.startswith("lpips"):
            raise UserError(f"--lpips {folder}: holds {loaded.name}; give lpips-vgg or lpips-alex")
        self.identity = f"{loaded.name} {params_digest(loaded.params)}"
        self._metric = BatchedMetric("lpips", loaded.network, loaded.params)

    def __call__(self, frames: Frames, truth: Frames) -> float:
        """Return the mean distance of the frames."""
        return float(self._metric(frames, truth).mean())
