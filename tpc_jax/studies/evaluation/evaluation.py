"""Animate the pairs of splits in several ways and score every clip; a stopped run goes on.

What variants have in common is made once: drawings, calibrations and compiled programs.
"""

import base64
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tpc_jax import __version__
from tpc_jax._types import Keypoints
from tpc_jax.animate import CalibratedClip, animate_clip, calibrate_clip
from tpc_jax.animators.interface import Animator
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.conditioning.canvas import (
    crop_to_content,
    fit_images,
    fit_masks,
    fit_parts,
    placement_on,
)
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.errors import UserError
from tpc_jax.io.video import write_video
from tpc_jax.metrics.networks import load_feature_network
from tpc_jax.metrics.networks.synthetic import MAKERS, load_synthetic_params, synthetic_network
from tpc_jax.metrics.streaming import BatchedMetric
from tpc_jax.model.params import Params
from tpc_jax.pose.reading import Motion
from tpc_jax.report.calibration import calibration_report
from tpc_jax.report.sheets import enlarge
from tpc_jax.studies.datasets import DataSet, Pair, Split
from tpc_jax.studies.datasets.splits import load_pair
from tpc_jax.studies.evaluation.clip_scores import Truth, score_frames
from tpc_jax.studies.evaluation.records import Records, open_records, params_digest
from tpc_jax.studies.evaluation.retarget import retarget_limbs, shift_and_scale
from tpc_jax.studies.evaluation.variants import SHIFT, Variant

RESULTS_FILE, VIDEO_FOLDER = "results.jsonl", "videos"
TRUTH = "truth"
# The synthetic features of the true clips stand under this name, as those of a variant.
SHOWN = ("reference", "pose", TRUTH)
_VIDEO_QUALITY = 24


class LoadedSplit(NamedTuple):
    """A split with its name and data.

    Attributes:
        name: What tables call it.
        split: The pairs.
        data: Where they come from.
    """

    name: str
    split: Split
    data: DataSet


class FeatureMetrics:
    """The synthetic features of frames and clips, for scores over whole splits."""

    def __init__(self):
        params = load_synthetic_params()
        self.digest = params_digest(params)
        self._metrics = {
            kind: BatchedMetric(f"synthetic_{kind}", synthetic_network(kind), params[kind])
            for kind in MAKERS
        }

    def __call__(self, frames: np.ndarray) -> dict[str, str]:
        """Return the features of all frames, and of the clip, as base64 of float32."""
        inputs = {"pictures": frames, "clips": frames[None]}
        return {kind: _encoded(metric(inputs[kind])) for kind, metric in self._metrics.items()}


class Lpips:
    """LPIPS by a converted network, averaged over the frames of a clip."""

    def __init__(self, folder: Path):
        """Load the network.

        Args:
            folder: Made by `tpc-jax convert lpips-vgg` or `lpips-alex`.

        Raises:
            UserError: The folder holds no such network.
        """
        loaded = load_feature_network(folder)
        if not loaded.name.startswith("lpips"):
            raise UserError(f"--lpips {folder}: holds {loaded.name}; give lpips-vgg or lpips-alex")
        self.identity = f"{loaded.name} {params_digest(loaded.params)}"
        self._metric = BatchedMetric("lpips", loaded.network, loaded.params)

    def __call__(self, frames: np.ndarray, truth: np.ndarray) -> float:
        """Return the mean distance of the frames, given in [-1, 1] as the network wants them."""
        return float(self._metric(frames, truth).mean())


def _encoded(features: np.ndarray) -> str:
    return base64.b64encode(features.astype("<f4").tobytes()).decode()


def evaluate(
    animator: Animator,
    params: Params,
    splits: Sequence[LoadedSplit],
    variants: Sequence[Variant],
    out: Path,
    options: AnimateOptions,
    *,
    num_videos: int = 3,
    use_disco: bool = False,
    lpips: Lpips | None = None,
    progress: Callable[[], object] = lambda: None,
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Measure whatever is missing in `out`, and return all results.

    Args:
        animator: The model's functions.
        params: The model's parameters.
        splits: What to animate.
        variants: How.
        out: Folder with `results.jsonl`, to which results are appended, and `videos`.
        options: Steps, guidance and seed, which all variants share.
        num_videos: Pairs per split of which videos are kept.
        use_disco: Whether to score by the field's convention too.
        lpips: The network of LPIPS, which is left out without one.
        progress: Called after each clip of each variant, known ones too.

    Returns:
        Rows by (split digest, pair, variant).

    Raises:
        UserError: `out` holds results of another model or other options, a file is damaged, or a
            pair lacks what a variant needs.
    """
    features = FeatureMetrics()
    options = options.resolve(animator)
    shared = {k: v for k, v in dataclasses.asdict(options).items() if k not in _VARIED}
    study = {
        "version": __version__,
        "model": params_digest(params),
        "synthetic_features": features.digest,
        "disco": use_disco,
        "lpips": lpips and lpips.identity,
        **shared,
    }
    with open_records(out / RESULTS_FILE, study) as records:
        for loaded in splits:
            for index, pair in enumerate(loaded.split.pairs):
                known = {
                    v for s, p, v in records.rows if (s, p) == (loaded.split.digest, pair.name)
                }
                missing = [variant for variant in variants if variant.name not in known]
                if missing or TRUTH not in known:
                    folder = video_folder(out, loaded.name) if index < num_videos else None
                    tools = _Tools(animator, params, options, features, use_disco, lpips)
                    job = _Job(tools, loaded, pair, records, folder)
                    job.run(missing, has_truth=TRUTH in known, progress=progress)
                for _ in range(len(variants) - len(missing)):
                    progress()
        return records.rows


_VARIED = ("routing", "policy", "group_size")


def video_folder(out: Path, split: str) -> Path:
    """Return where the videos of a split are kept."""
    return out / VIDEO_FOLDER / split


class _Tools(NamedTuple):
    """What all clips share."""

    animator: Animator
    params: Params
    options: AnimateOptions
    features: FeatureMetrics
    use_disco: bool
    lpips: Lpips | None


class _Job:
    """One pair, animated in several ways."""

    def __init__(
        self, tools: _Tools, loaded: LoadedSplit, pair: Pair, records: Records, folder: Path | None
    ):
        self.tools, self.animator = tools, tools.animator
        self.split, self.pair, self.records = loaded.split.digest, pair, records
        self.folder = folder
        self.reference, self.motion = load_pair(loaded.data, pair)
        self.truth = _truth(self.animator, self.motion)
        self._calibrated: dict[tuple, CalibratedClip] = {}

    def run(self, variants: Sequence[Variant], *, has_truth: bool, progress) -> None:
        """Animate, score and note down; videos are written first, so that notes are the end."""
        if not has_truth:
            frames = self.truth.frames
            still = crop_to_content(
                fit_images(self.reference.image[None], self.animator.image_size),
                self.reference.image.shape[:2], self.animator.image_size,
            )  # fmt: skip
            self._keep_video("reference", np.repeat(still, len(frames), axis=0))
            self._keep_video("pose", self._pose(self.motion))
            self._note(TRUTH, frames, {})
        for variant in variants:
            self._measure(variant)
            progress()

    def _measure(self, variant: Variant) -> None:
        motion = self._moved(variant)
        calibrated = self._calibrate(variant, motion)
        frames = animate_clip(
            self.animator, self.tools.params, self.reference, motion, calibrated,
            variant.options(self.tools.options),
        )  # fmt: skip
        parts = _placed_parts(motion, self.animator) if variant.moves_pose else None
        scores = score_frames(
            frames, self.truth, parts, is_moved=variant.moves_pose, use_disco=self.tools.use_disco
        )
        if self.tools.lpips is not None and not variant.moves_pose:
            scores["lpips"] = self.tools.lpips(frames, self.truth.frames)
        if calibrated is not None and not variant.moves_pose:
            report = calibration_report(self.reference, calibrated, {})
            for when in ("before", "after"):
                if report[f"mean_iou_{when}"] is not None:
                    scores[f"person_iou_{when}"] = report[f"mean_iou_{when}"]
        self._note(variant.name, frames, scores, has_features=not variant.moves_pose)

    def _note(self, name: str, frames, scores: dict, *, has_features: bool = True) -> None:
        values: dict[str, Any] = {"scores": scores}
        if has_features:
            values["features"] = self.tools.features(frames)
        self._keep_video(name, frames)
        self.records.add(self.split, self.pair.name, name, values)

    def _keep_video(self, name: str, frames: np.ndarray) -> None:
        if self.folder is not None:
            path = self.folder / f"{self.pair.name} {name}.mp4"
            write_video(path, enlarge(frames), self.motion.fps, quality=_VIDEO_QUALITY)

    def _moved(self, variant: Variant) -> Motion:
        if not variant.moves_pose:
            return self.motion
        self._require_people(variant)
        move = shift_and_scale if variant.method == SHIFT else retarget_limbs
        return move(self.motion, self.reference.keypoints)

    def _calibrate(self, variant: Variant, motion: Motion) -> CalibratedClip | None:
        method = variant.fit_method
        if method is None:
            return None
        self._require_people(variant)
        key = (variant.moves_pose, method, variant.transform)
        if key not in self._calibrated:
            self._calibrated[key] = calibrate_clip(
                self.reference, motion, method=method, transform=variant.transform
            )
        return self._calibrated[key]

    def _require_people(self, variant: Variant) -> None:
        if 0 in (len(self.reference.keypoints.xy), len(self.motion.keypoints.xy)):
            raise UserError(
                f"{self.pair.name}: has no keypoints, which method {variant.method} needs; leave "
                "it out, or add keypoints or a DensePose rendering to the data"
            )

    def _pose(self, motion: Motion) -> np.ndarray:
        size = self.animator.image_size
        pose = pose_pictures(motion, size, self.animator.pose_kind)
        return crop_to_content(pose, motion.frames.shape[1:3], size)


def _truth(animator: Animator, clip: Motion) -> Truth:
    """Bring everything known of the clip to the size of the animated frames."""
    size, original = animator.image_size, clip.frames.shape[1:3]

    def cut(x: np.ndarray) -> np.ndarray:
        return crop_to_content(x, original, size)

    frames = cut(fit_images(clip.frames, size))
    masks = None if clip.masks is None else cut(fit_masks(clip.masks.any(0), size) > 127)
    parts = None if clip.parts is None else cut(fit_parts(clip.parts, size))
    keypoints = None
    if len(clip.keypoints.conf):
        placement = placement_on(original, size)
        low = np.ceil(placement.apply(np.array([-0.5, -0.5])))
        xy = placement.apply(np.asarray(clip.keypoints.xy, float)) - low
        keypoints = Keypoints(xy.astype(np.float32), clip.keypoints.conf)
    return Truth(frames, masks, keypoints, parts)


def _placed_parts(motion: Motion, animator: Animator) -> np.ndarray | None:
    if motion.parts is None:
        return None
    size = animator.image_size
    return crop_to_content(fit_parts(motion.parts, size), motion.frames.shape[1:3], size)
