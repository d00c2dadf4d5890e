"""Animate the pairs of splits in several ways and score every clip; a stopped study goes on.

What variants have in common is made once: drawings, calibrations and compiled programs.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tpc_jax import __version__
from tpc_jax.animation import animate
from tpc_jax.animators.load import Model
from tpc_jax.animators.plan import plan_run
from tpc_jax.calibrated_clip import CalibratedClip, calibrate_clip
from tpc_jax.conditioning.pose_pictures import pose_pictures, show_pose
from tpc_jax.errors import UserError
from tpc_jax.io.video import write_video
from tpc_jax.options import Options
from tpc_jax.pose.cast import choose_people
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.report.calibration import person_overlaps
from tpc_jax.report.sheets import enlarge
from tpc_jax.studies.datasets import DataSet, Pair, Split
from tpc_jax.studies.datasets.splits import LoadedPair, load_pair
from tpc_jax.studies.evaluation.networks import FeatureMetrics, Lpips
from tpc_jax.studies.evaluation.pairs import without_parts
from tpc_jax.studies.evaluation.records import Key, Records, open_records, params_digest
from tpc_jax.studies.evaluation.retarget import retarget_limbs, shift_and_scale
from tpc_jax.studies.evaluation.scores import score_frames
from tpc_jax.studies.evaluation.truth import View, true_clip
from tpc_jax.studies.evaluation.variants import SHIFT, Variant

RESULTS_FILE, VIDEO_FOLDER = "results.jsonl", "videos"
# The features of the true clips stand under this name, as those of a variant.
TRUTH = "truth"
# Videos that are kept of every pair beside those of its variants.
SHOWN_INPUTS = ("reference", "pose", TRUTH)
_VIDEO_QUALITY = 24
_VARIED = ("tpc", "routing", "propagation", "group_size")

Rows = Mapping[Key, Mapping[str, Any]]


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


class Task(NamedTuple):
    """A split and the ways in which its pairs are animated."""

    loaded: LoadedSplit
    variants: Sequence[Variant]

    @property
    def num_clips(self) -> int:
        """Number of clips to animate."""
        return len(self.variants) * len(self.loaded.split.pairs)


class Study(NamedTuple):
    """What all clips have in common.

    Attributes:
        model: The animator with its parameters.
        options: Steps, guidance, seed and the like, which all variants share.
        features: The networks of Frechet distances, which are left out without them.
        lpips: The network of LPIPS, which is left out without one.
        use_disco: Whether to score by the field's convention too.
        num_videos: Pairs per split of which videos are kept.
    """

    model: Model
    options: Options
    features: FeatureMetrics | None = None
    lpips: Lpips | None = None
    use_disco: bool = False
    num_videos: int = 0

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that all results depend on, as plain values; defaults are spelled out.

        Raises:
            UserError: The options mean nothing to the model.
        """
        plan = plan_run(self.model.animator, 1, self.options)
        return {
            "version": __version__,
            "model": params_digest(self.model.params),
            "synthetic_features": self.features and self.features.digest,
            "disco": self.use_disco,
            "lpips": self.lpips and self.lpips.identity,
            **{k: v for k, v in dataclasses.asdict(self.options).items() if k not in _VARIED},
            "steps": plan.num_steps,
            "guidance_scale": plan.scales.tolist(),
        }


def run_study(
    study: Study,
    tasks: Sequence[Task],
    out: Path,
    progress: Callable[[], object] = lambda: None,
) -> Rows:
    """Measure whatever is missing in `out`, and return all results.

    Args:
        study: Model, options and judges.
        tasks: What to animate, and how.
        out: Folder with `results.jsonl`, to which results are appended, and `videos`.
        progress: Called after each clip of each variant, known ones too.

    Returns:
        Rows by (split digest, pair, variant).

    Raises:
        UserError: `out` holds results of another model or other options, a file is damaged, or a
            pair lacks what a variant needs.
    """
    with open_records(out / RESULTS_FILE, study.identity) as records:
        for loaded, variants in tasks:
            for index, pair in enumerate(loaded.split.pairs):
                known = records.variants_of(loaded.split.digest, pair.name)
                missing = [variant for variant in variants if variant.name not in known]
                needs_truth = study.features is not None and TRUTH not in known
                if missing or needs_truth:
                    folder = video_folder(out, loaded.name) if index < study.num_videos else None
                    job = _Job(study, loaded, pair, records, folder)
                    if needs_truth:
                        job.note_truth()
                    for variant in missing:
                        job.measure(variant)
                        progress()
                for _ in range(len(variants) - len(missing)):
                    progress()
        return records.rows


def video_folder(out: Path, split: str) -> Path:
    """Return where the videos of a split are kept."""
    return out / VIDEO_FOLDER / split


class _Job:
    """One pair, animated in several ways; videos are written first, so that notes are the end."""

    def __init__(
        self, study: Study, loaded: LoadedSplit, pair: Pair, records: Records, folder: Path | None
    ):
        self.study, self.records, self.folder = study, records, folder
        self.split, self.name = loaded.split.digest, pair.name
        self.reference, motion = load_pair(loaded.data, pair)
        self.motion = choose_people(self.reference, motion)
        self.canvas = study.model.animator.canvas
        self.truth = true_clip(self.motion, self.canvas)
        self._calibrated: dict[tuple, CalibratedClip] = {}

    def note_truth(self) -> None:
        """Note down the features of the true clip, and keep it with what it is made from."""
        frames, image = self.truth.frames, self.reference.image
        still = View(self.canvas, image.shape[:2]).pictures(image[None])
        self._keep_video("reference", np.repeat(still, len(frames), axis=0))
        pose = pose_pictures(self.motion, self.canvas, self.study.model.animator.pose_kind)
        self._keep_video("pose", self._view.cut(show_pose(pose)))
        self._note(TRUTH, frames, {})

    def measure(self, variant: Variant) -> None:
        """Animate, score and note down.

        Raises:
            UserError: The pair lacks what the variant needs.
        """
        reference, motion = self._inputs(variant)
        calibrated = self._calibrate(variant, reference, motion)
        options = variant.options(self.study.options)
        frames = animate(self.study.model, reference, motion, options, calibrated=calibrated)
        parts = None
        if variant.moves_pose and motion.parts is not None:
            parts = self._view.parts(motion.parts)
        scores = score_frames(
            frames, self.truth, parts, is_moved=variant.moves_pose, use_disco=self.study.use_disco
        )
        if not variant.moves_pose:
            if self.study.lpips is not None:
                scores["lpips"] = self.study.lpips(frames, self.truth.frames)
            if calibrated is not None:
                scores |= overlaps(calibrated)
        self._note(variant.name, frames, scores, has_features=not variant.moves_pose)

    @property
    def _view(self) -> View:
        return View(self.canvas, self.motion.frames.shape[1:3])

    def _note(self, name: str, frames, scores: dict, *, has_features: bool = True) -> None:
        values: dict[str, Any] = {"scores": scores}
        if has_features and self.study.features is not None:
            values["features"] = self.study.features(frames)
        self._keep_video(name, frames)
        self.records.add(self.split, self.name, name, values)

    def _keep_video(self, name: str, frames: np.ndarray) -> None:
        if self.folder is not None:
            path = self.folder / f"{self.name} {name}.mp4"
            write_video(path, enlarge(frames), self.motion.fps, quality=_VIDEO_QUALITY)

    def _inputs(self, variant: Variant) -> LoadedPair:
        pair = LoadedPair(self.reference, self.motion)
        if variant.pose == "skeleton":
            pair = without_parts(*pair)
        if not variant.moves_pose:
            return pair
        self._require_people(variant)
        move = shift_and_scale if variant.method == SHIFT else retarget_limbs
        return pair._replace(motion=move(pair.motion, pair.reference.keypoints))

    def _calibrate(
        self, variant: Variant, reference: Reference, motion: Motion
    ) -> CalibratedClip | None:
        calibrating = variant.calibrating
        if calibrating is None:
            return None
        self._require_people(variant)
        # Part maps are nothing to a fit that is not refined.
        key = (variant.moves_pose, calibrating, calibrating.is_refined and variant.pose)
        if key not in self._calibrated:
            self._calibrated[key] = calibrate_clip(reference, motion, calibrating)
        return self._calibrated[key]

    def _require_people(self, variant: Variant) -> None:
        if 0 in (len(self.reference.keypoints.xy), len(self.motion.keypoints.xy)):
            raise UserError(
                f"{self.name}: has no keypoints, which method {variant.method} needs; leave "
                "it out, or add keypoints or a DensePose rendering to the data"
            )


def overlaps(calibrated: CalibratedClip) -> dict[str, float]:
    """Return how well the reference's people lie on the motion's, before and after calibration.

    Returns:
        `person_iou_before` and `person_iou_after`, averaged over the people who are there at all.
    """
    masks = np.stack([calibrated.warped(i).masks for i in range(calibrated.num_people)])
    found = zip(("before", "after"), person_overlaps(calibrated, masks), strict=True)
    return {
        f"person_iou_{when}": float(np.nanmean(iou))
        for when, iou in found
        if np.isfinite(iou).any()
    }
