"""How quality depends on the reference's rotation and scale, with and without calibration.

Every held-out person is animated under every condition. Results are appended to a file as they
come, so that a stopped study goes on where it was.
"""

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tpc_jax.animators.tiny import TinyAnimator
from tpc_jax.calibrate import Method, Model
from tpc_jax.evaluate.cases import Case, lower_resolution, make_case
from tpc_jax.evaluate.scores import score_clip
from tpc_jax.model.params import Params
from tpc_jax.pipeline import AnimateOptions, animate_clip, calibrate_clip
from tpc_jax.report.calibration import calibration_report

ROTATIONS = (0.0, 30.0, 60.0, 90.0, 120.0, 180.0)
SCALES = (0.4, 0.5, 0.6, 0.8, 1.25, 1.5, 2.0)
ROUTINGS = ("open", "masked", "union", "replace", "composite")
SCORES = ("foreground_psnr", "psnr", "ssim", "flicker", "person_iou")


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
    transform: Model = "similarity"
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


def run_study(
    animator: TinyAnimator,
    params: Params,
    results: Path,
    *,
    num_clips: int = 64,
    num_frames: int = 8,
    steps: int = 10,
    conditions: list[Condition] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Animate every clip under every condition and append the scores to a CSV file.

    Args:
        animator: The model's functions.
        params: The model's parameters.
        results: CSV file; clips and conditions it already holds are skipped.
        num_clips: Held-out people.
        num_frames: Frames per person.
        steps: Denoising steps.
        conditions: All of `study_conditions` by default.
        progress: Called after each clip of each condition, skipped ones too.
    """
    done = {(row["condition"], int(row["clip"])) for row in read_results(results)}
    results.parent.mkdir(parents=True, exist_ok=True)
    is_new = not results.exists()
    with results.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(("condition", "clip", *SCORES))
        for condition in conditions or study_conditions():
            for clip in range(num_clips):
                if (condition.name, clip) not in done:
                    scores = run_one(animator, params, condition, clip, num_frames, steps)
                    values = [f"{scores[name]:.5f}" for name in SCORES]
                    writer.writerow((condition.name, clip, *values))
                    file.flush()
                progress()


def run_one(
    animator: TinyAnimator,
    params: Params,
    condition: Condition,
    clip: int,
    num_frames: int,
    steps: int,
) -> dict[str, float]:
    """Animate one person under one condition and score the result."""
    case = _case(condition, clip, animator.image_size[0], num_frames)
    routing = None if condition.routing == "none" else condition.routing
    options = AnimateOptions(
        routing=routing, group_size=condition.group_size, policy=condition.policy, steps=steps
    )
    calibrated = calibrate_clip(
        case.reference, case.driving, method=condition.method, model=condition.transform
    )
    frames = animate_clip(animator, params, case.reference, case.driving, calibrated, options)
    report = calibration_report(case.reference, calibrated, {})
    when = "before" if routing is None else "after"
    return {
        **score_clip(frames, case.truth, case.masks),
        "person_iou": report[f"mean_iou_{when}"],
    }


def _case(condition: Condition, clip: int, size: int, num_frames: int) -> Case:
    use_parts = condition.pose == "parts"
    if condition.degrade:
        case = make_case(clip, size, num_frames=num_frames, use_parts=use_parts)
        return case._replace(reference=lower_resolution(case.reference, condition.scale))
    misalignment = (np.radians(condition.rotation), condition.scale, (0.0, 0.0))
    return make_case(
        clip, size, num_frames=num_frames, misalignment=misalignment, use_parts=use_parts
    )


def read_results(path: Path) -> list[dict[str, str]]:
    """Read the rows of a results file; none if it does not exist."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
