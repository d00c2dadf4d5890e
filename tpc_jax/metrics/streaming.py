"""Feature metrics over data sets of any size: compiled, in batches, in bounded memory."""

from collections.abc import Iterable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from tpc_jax.metrics.features import (
    fid_features,
    fid_vid_features,
    fvd_features,
    lpips_distance,
    synthetic_clip_features,
    synthetic_picture_features,
)
from tpc_jax.metrics.frechet import FeatureStatistics, feature_statistics, merge_statistics
from tpc_jax.metrics.modes import Mode, check_mode
from tpc_jax.model.params import Network, Params

FeatureMetric = Literal["lpips", "fid", "fid_vid", "fvd", "synthetic_pictures", "synthetic_clips"]

_FUNCTIONS = {
    "lpips": lpips_distance,
    "fid": fid_features,
    "fid_vid": fid_vid_features,
    "fvd": fvd_features,
    "synthetic_pictures": synthetic_picture_features,
    "synthetic_clips": synthetic_clip_features,
}
_RANK = {
    **{"lpips": 4, "fid": 4, "fid_vid": 5, "fvd": 5},
    **{"synthetic_pictures": 4, "synthetic_clips": 5},
}
# Rounding of decoders and resizers, not another scale.
_RANGE_SLACK = 0.02


class BatchedMetric:
    """A feature metric compiled for batches of one size.

    Attributes:
        label: Metric and mode, to stand beside every number that comes of it.
    """

    def __init__(
        self,
        metric: FeatureMetric,
        network: Network,
        params: Params,
        *,
        mode: Mode = "correct",
        batch_size: int = 8,
    ):
        """Prepare a metric.

        Args:
            metric: `lpips` takes two sets of pictures, `fid` and `synthetic_pictures` pictures,
                `fid_vid`, `fvd` and `synthetic_clips` clips.
            network: The feature network that belongs to it.
            params: Its parameters.
            mode: `correct` or `disco`.
            batch_size: Pictures or clips on the device at once; the last batch is padded.

        Raises:
            ValueError: An option is unknown or out of range.
        """
        if metric not in get_args(FeatureMetric):
            raise ValueError(f"metric must be one of {get_args(FeatureMetric)}, got {metric!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        check_mode(mode)
        function = _FUNCTIONS[metric]
        self.label = f"{metric} ({mode})"
        self._rank = _RANK[metric]
        self._num_inputs = 2 if metric == "lpips" else 1
        self._params = params
        self._batch_size = batch_size
        self._run = jax.jit(lambda params, *x: function(network, params, *x, mode=mode))

    def __call__(self, *sets: np.ndarray) -> Float[np.ndarray, "items ..."]:
        """Compute one value or feature vector per picture or clip, in float64.

        Args:
            sets: uint8, or floats in [0, 1]; `[items, height, width, 3]` for pictures,
                `[items, frames, height, width, 3]` for clips. LPIPS takes two.

        Raises:
            ValueError: Wrong number of sets, shape, type or scale.
        """
        self._check(sets)
        count = len(sets[0])
        results = []
        for start in range(0, count, self._batch_size):
            index = np.arange(start, start + self._batch_size)
            # Repeats fill the last batch, so that one program serves all.
            batch = [np.asarray(x)[np.minimum(index, count - 1)] for x in sets]
            result = self._run(self._params, *map(jnp.asarray, batch))
            results.append(np.asarray(result, np.float64)[: count - start])
        return np.concatenate(results)

    def statistics(
        self, batches: Iterable[np.ndarray], resumed: FeatureStatistics | None = None
    ) -> FeatureStatistics:
        """Gather the statistics of a data set, of which only one batch is held at a time.

        Args:
            batches: Pictures or clips, any number at a time; those of one shape share a program.
            resumed: Statistics of what was seen before.

        Raises:
            ValueError: No pictures at all, LPIPS (which has no statistics), or see `__call__`.
        """
        if self._num_inputs != 1:
            raise ValueError(f"{self.label} compares pairs; call it and average")
        found = resumed
        for batch in batches:
            fresh = feature_statistics(self(batch))
            found = fresh if found is None else merge_statistics(found, fresh)
        if found is None:
            raise ValueError("batches must hold at least one picture or clip, got none")
        return found

    def _check(self, sets: tuple[np.ndarray, ...]) -> None:
        if len(sets) != self._num_inputs:
            raise ValueError(f"{self.label} takes {self._num_inputs} sets, got {len(sets)}")
        for images in sets:
            if images.shape != sets[0].shape:
                raise ValueError(
                    f"both sets must have one shape, got {sets[0].shape} and {images.shape}"
                )
            if images.ndim != self._rank or images.shape[-1] != 3 or 0 in images.shape:
                kind = "(items, frames, height, width, 3)"
                kind = kind if self._rank == 5 else "(items, height, width, 3)"
                raise ValueError(f"{self.label} takes shape {kind}, got {images.shape}")
            if images.dtype == np.uint8:
                continue
            if not jnp.issubdtype(images.dtype, jnp.floating):
                raise ValueError(
                    f"{self.label} takes uint8 or floats in [0, 1], got {images.dtype}"
                )
            low, high = float(np.min(images)), float(np.max(images))
            if not (-_RANGE_SLACK <= low and high <= 1.0 + _RANGE_SLACK):
                raise ValueError(
                    f"{self.label} takes uint8 or floats in [0, 1], got floats in "
                    f"[{low:.3g}, {high:.3g}]; scale them"
                )
