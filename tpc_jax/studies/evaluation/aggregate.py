"""From results per clip to means with intervals, differences and distances of whole sets."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tpc_jax.metrics.bootstrap import Interval, bootstrap_mean, bootstrap_ratio
from tpc_jax.metrics.frechet import feature_statistics, frechet_distance
from tpc_jax.studies.evaluation.networks import decode
from tpc_jax.studies.evaluation.scores import DISCO_SCORES, FAIR_WHEN_MOVED, PLACEMENT_ERRORS
from tpc_jax.studies.evaluation.study import TRUTH, LoadedSplit, Rows
from tpc_jax.studies.evaluation.variants import PLAIN, Variant

# Digest of the split, name of the pair.
ClipKey = tuple[str, str]
Scores = Mapping[str, Float[np.ndarray, " pairs"]]

SCORES = (
    *(f"{region}{score}" for region in ("", "foreground_", "background_", "face_")
      for score in ("psnr", "ssim", "mae")),
    *("motion_error", "foreground_motion_error", "background_motion_error", "flicker"),
    *("person_iou_before", "person_iou_after", *PLACEMENT_ERRORS, "person_found"),
    *(f"disco_{name}" for name in DISCO_SCORES),
    "lpips",
    *FAIR_WHEN_MOVED,
)  # fmt: skip
SET_SCORES = ("frechet_pictures", "frechet_clips")
HIGHER_IS_BETTER = frozenset(
    name for name in SCORES if name.endswith(("psnr", "ssim", "found")) or "iou" in name
)
SET_RESAMPLES = 50
_QUANTILES = (0.025, 0.975)
# Fewer clips give no covariance worth comparing.
_LEAST_CLIPS = 8


class Result(NamedTuple):
    """What a split says of a variant.

    Attributes:
        variant: Which one.
        scores: Numbers by score.
        gains: Paired differences from the model as it is, better is positive whatever the score.
    """

    variant: Variant
    scores: dict[str, Interval]
    gains: dict[str, Interval]


def keys_of(*splits: LoadedSplit) -> list[ClipKey]:
    """Return the pairs of one split, or of several together."""
    return [(s.split.digest, pair.name) for s in splits for pair in s.split.pairs]


def collect(rows: Rows, keys: Sequence[ClipKey], variant: str) -> Scores:
    """Return every score of a variant in the order of the pairs; NaN where it is unknown."""
    found = {name: np.full(len(keys), np.nan) for name in SCORES}
    for index, key in enumerate(keys):
        row = rows.get((*key, variant))
        for name, value in (row["scores"] if row else {}).items():
            found[name][index] = value
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def gain(better: Scores, worse: Scores, name: str) -> Interval | None:
    """Return the paired difference of two variants, positive where the first is better."""
    if name not in better or name not in worse:
        return None
    sign = 1 if name in HIGHER_IS_BETTER else -1
    return mean_interval(sign * (better[name] - worse[name]))


def won_back(
    without: Float[np.ndarray, " pairs"],
    calibrated: Float[np.ndarray, " pairs"],
    bound: Float[np.ndarray, " pairs"],
) -> Interval | None:
    """Return the share of the loss by misalignment that calibration wins back.

    `mean(calibrated - without) / mean(bound - without)`, both means over the same clips.

    Args:
        without: Scores of the misaligned reference as it is, higher is better.
        calibrated: Scores of the same clips with calibration.
        bound: Scores of the same clips with an aligned reference.

    Returns:
        Ratio with its paired interval; None where there is no clear loss.
    """
    clips = np.stack([calibrated - without, bound - without])
    gain, loss = clips[:, np.isfinite(clips).all(axis=0)]
    if len(loss) < 2 or bootstrap_mean(loss).low <= 0:
        return None
    return bootstrap_ratio(gain, loss)


def aggregate(
    rows: Rows,
    keys: Sequence[ClipKey],
    variants: Sequence[Variant],
    *,
    set_resamples: int = SET_RESAMPLES,
) -> list[Result]:
    """Summarise all variants over the same pairs.

    Args:
        rows: Results of `run_study`.
        keys: The pairs.
        variants: How they were animated.
        set_resamples: Draws behind the intervals of distances of sets, which take long.
    """
    tables = {variant: collect(rows, keys, variant.name) for variant in variants}
    plain = tables.get(PLAIN, {})
    results = []
    for variant, table in tables.items():
        scores = {n: i for n, values in table.items() if (i := mean_interval(values))}
        gains = {}
        if variant != PLAIN:
            gains = {name: i for name in table if (i := gain(table, plain, name))}
        if not variant.moves_pose:
            scores |= set_scores(rows, keys, variant.name, set_resamples)
        results.append(Result(variant, scores, gains))
    return results


def mean_interval(values: Float[np.ndarray, " pairs"]) -> Interval | None:
    """Return the mean of the known values; None for fewer than two."""
    known = values[np.isfinite(values)]
    return bootstrap_mean(known) if len(known) > 1 else None


def set_scores(
    rows: Rows, keys: Sequence[ClipKey], variant: str, num_resamples: int = SET_RESAMPLES
) -> dict[str, Interval]:
    """Return Frechet distances of synthetic features between a variant's set and the truth's.

    Resampled sets lie farther apart than whole ones, as they hold fewer different clips; the
    interval is that of the resamples moved back by how much they do on average.
    """
    pairs = [
        (rows[*key, variant]["features"], rows[*key, TRUTH]["features"])
        for key in keys
        if (*key, variant) in rows and (*key, TRUTH) in rows
    ]
    if len(pairs) < _LEAST_CLIPS:
        return {}
    found = {}
    for kind in ("pictures", "clips"):
        sets = [
            np.stack([decode(side[kind]) for side in column]) for column in zip(*pairs, strict=True)
        ]
        value = _distance(sets, np.arange(len(pairs)))
        rng = np.random.default_rng(0)
        draws = rng.integers(len(pairs), size=(num_resamples, len(pairs)))
        resampled = np.array([_distance(sets, draw) for draw in draws])
        low, high = np.quantile(resampled - resampled.mean(), _QUANTILES)
        found[f"frechet_{kind}"] = Interval(value, max(value + low, 0), value + high, len(pairs))
    return found


def _distance(sets: Sequence[np.ndarray], chosen: np.ndarray) -> float:
    stats = [feature_statistics(x[chosen].reshape(-1, x.shape[-1])) for x in sets]
    return float(frechet_distance(*stats))
