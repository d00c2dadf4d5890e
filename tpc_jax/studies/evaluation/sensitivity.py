"""How quality depends on the reference's rotation and scale, with and without calibration.

Every held-out person is animated under every condition. Results are appended to a file as they
come, so that a stopped study goes on where it was.
"""

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import numpy as np

from tpc_jax.animate import animate_clip, calibrate_clip
from tpc_jax.animators.interface import Animator
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.calibrate import Method
from tpc_jax.errors import UserError
from tpc_jax.model.params import Params
from tpc_jax.options import TransformKind
from tpc_jax.report.calibration import calibration_report
from tpc_jax.studies.datasets.splits import LoadedPair
from tpc_jax.studies.evaluation.cases import lower_resolution, make_case
from tpc_jax.studies.evaluation.records import params_digest
from tpc_jax.studies.evaluation.scores import score_clip

ROTATIONS = (0.0, 30.0, 60.0, 90.0, 120.0, 180.0)
SCALES = (0.4, 0.5, 0.6, 0.8, 1.25, 1.5, 2.0)
ROUTINGS = ("open", "masked", "union", "replace", "composite")
SCORES = ("foreground_psnr", "psnr", "ssim", "flicker", "person_iou")
COLUMNS = ("study", "condition", "clip", *SCORES)


@dataclasses.dataclass(frozen=True)
class Condition:
    """One way of animating one misaligned reference.

    Attributes:
        rotation: Turn of the reference's person in degrees.
        scale: Size of the reference's person relative to the motion's.
        routing: None leaves TPC out.
        method: Fit method.
        transform: Kind of transform.
        group_size: Frames per propagation group; 1 turns propagation off.
        policy: How a group's picture is chosen.
        pose: "parts" or "skeleton".
        degrade: Instead of misaligning, lower an aligned reference's resolution by `scale`: the
            bound on what a small reference allows.
    """

    rotation: float = 0.0
    scale: float = 1.0
    routing: str = "none"
    method: Method = "lts"
    transform: TransformKind = "similarity"
    group_size: int = 4
    policy: str = "random"
    pose: str = "parts"
    degrade: bool = False

    @property
    def name(self) -> str:
        """Identify the condition in the results file."""
        return " ".join(f"{value}" for value in dataclasses.astuple(self))


def study_conditions() -> list[Condition]:
    """Return all conditions of the study, each once."""
    turned = [Condition(rotation=angle) for angle in ROTATIONS]
    scaled = [Condition(scale=scale) for scale in SCALES]
    both = [Condition(rotation=90.0, scale=0.6)]
    named = [turned[0], turned[2], turned[-1], scaled[1], *both]
    replace = dataclasses.replace
    conditions = [*turned, *scaled, *both]
    conditions += [replace(c, routing="composite") for c in conditions]
    conditions += [replace(c, routing=routing) for c in named for routing in ROUTINGS]
    conditions += [replace(c, routing="composite", group_size=1) for c in (*turned, *scaled)]
    conditions += [
        replace(c, routing="composite", group_size=size, policy=policy)
        for c in named[1:2]
        for size, policy in ((8, "random"), (16, "random"), (4, "first"))
    ]
    conditions += [
        replace(c, routing="composite", method=method)
        for c in named
        for method in ("all", "face", "clip")
    ]
    conditions += [
        replace(c, routing="composite", transform=transform)
        for c in named
        for transform in ("affine", "translation_scale")
    ]
    conditions += [
        replace(c, routing=routing, pose="skeleton")
        for c in named
        for routing in ("none", "composite")
    ]
    conditions += [Condition(scale=scale, degrade=True) for scale in SCALES[:3]]
    return list(dict.fromkeys(conditions))


@dataclasses.dataclass(frozen=True)
class StudyOptions:
    """What all conditions of a study share.

    Attributes:
        num_clips: Held-out people.
        num_frames: Frames per person.
        steps: Denoising steps.
        seed: Seed of the people, the start noise and the propagation's draws.
    """

    num_clips: int = 64
    num_frames: int = 8
    steps: int = 1
    seed: int = 0


def run_study(
    animator: Animator,
    params: Params,
    results: Path,
    options: StudyOptions | None = None,
    *,
    conditions: list[Condition] | None = None,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Animate every clip under every condition and append the scores to a CSV file.

    Args:
        animator: The model's functions.
        params: The model's parameters.
        results: CSV file; clips and conditions it already holds are skipped.
        options: Number of clips and the like.
        conditions: All of `study_conditions` by default.
        progress: Called after each clip of each condition, skipped ones too.

    Raises:
        UserError: The file holds results of another model or of other options.
    """
    options = options or StudyOptions()
    label = study_label(params, options)
    rows = read_results(results)
    others = {row["study"] for row in rows} - {label}
    if others:
        raise UserError(
            f"{results}: holds results of another study ({', '.join(sorted(others))}, now "
            f"{label}); remove it or choose another file"
        )
    done = {(row["condition"], int(row["clip"])) for row in rows}
    with _open_to_append(results) as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        for condition in conditions or study_conditions():
            for clip in range(options.num_clips):
                if (condition.name, clip) not in done:
                    scores = run_one(animator, params, condition, clip, options)
                    values = [f"{scores[name]:.5f}" for name in SCORES]
                    writer.writerow((label, condition.name, clip, *values))
                    file.flush()
                progress()


def _open_to_append(results: Path) -> TextIO:
    try:
        results.parent.mkdir(parents=True, exist_ok=True)
        return results.open("a", newline="")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{results}: cannot be written ({reason}); choose another file") from error


def study_label(params: Params, options: StudyOptions) -> str:
    """Identify a model and the options that its scores depend on."""
    return (
        f"model {params_digest(params)}, {options.num_frames} frames, {options.steps} steps, "
        f"seed {options.seed}"
    )


def run_one(
    animator: Animator, params: Params, condition: Condition, clip: int, options: StudyOptions
) -> dict[str, float]:
    """Animate one person under one condition and score the result; NaN where there is no score."""
    case = _case(condition, clip, animator.image_size[0], options)
    routing = None if condition.routing == "none" else condition.routing
    calibrated = calibrate_clip(
        case.reference, case.motion, method=condition.method, transform=condition.transform
    )
    animate_options = AnimateOptions(
        routing=routing,
        group_size=condition.group_size,
        policy=condition.policy,
        steps=options.steps,
        seed=options.seed,
    )
    frames = animate_clip(
        animator, params, case.reference, case.motion, calibrated, animate_options
    )
    report = calibration_report(case.reference, calibrated, {})
    iou = report["mean_iou_before" if routing is None else "mean_iou_after"]
    scores = score_clip(frames, case.motion.frames, case.motion.masks[0])
    return {**scores, "person_iou": np.nan if iou is None else iou}


def _case(condition: Condition, clip: int, size: int, options: StudyOptions) -> LoadedPair:
    common = {
        "num_frames": options.num_frames,
        "use_parts": condition.pose == "parts",
        "seed": options.seed,
    }
    if condition.degrade:
        case = make_case(clip, size, **common)
        return case._replace(reference=lower_resolution(case.reference, condition.scale))
    misalignment = (np.radians(condition.rotation), condition.scale, (0.0, 0.0))
    return make_case(clip, size, misalignment=misalignment, **common)


def read_results(path: Path) -> list[dict[str, str]]:
    """Read the rows of a results file; none if it does not exist.

    Raises:
        UserError: The file holds something else.
    """
    if not path.exists():
        return []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(f"{path}: is no results file of a study; choose another file")
        return list(reader)
