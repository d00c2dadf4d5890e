"""The built-in demonstration: one misaligned case, animated with and without calibration."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tpc_jax.animation import animate
from tpc_jax.animators.base import Animator
from tpc_jax.animators.load import Model
from tpc_jax.calibrated_clip import CalibratedClip, calibrate_clip
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.io.atomic import atomic_path, write_json
from tpc_jax.io.images import write_image
from tpc_jax.io.video import write_video
from tpc_jax.options import Calibrating, Options
from tpc_jax.report.calibration import write_calibration
from tpc_jax.report.sheets import contact_sheet, enlarge, side_by_side
from tpc_jax.studies.datasets.interface import ALIGNED, Misalignment
from tpc_jax.studies.datasets.splits import LoadedPair
from tpc_jax.studies.evaluation.pairs import drawn_pair
from tpc_jax.studies.evaluation.scores import score_frames
from tpc_jax.studies.evaluation.truth import true_clip

# The reference's person is turned by 60 degrees and shrunk to 0.7.
MISALIGNMENT: Misalignment = (np.pi / 3, 0.7, (0.0, 0.0))
_PERSON = 3
_MEASURES = ("foreground_psnr", "psnr", "ssim", "flicker")


def demo_pair(
    size: tuple[int, int], num_frames: int = 16, misalignment: Misalignment = MISALIGNMENT
) -> LoadedPair:
    """Return the built-in person on a canvas, misaligned unless said otherwise."""
    return drawn_pair(_PERSON, size, num_frames=num_frames, misalignment=misalignment)


def run_demo(
    model: Model,
    out: Path,
    options: Options,
    *,
    num_frames: int = 16,
    progress: Callable[[str, int], object] = lambda name, step: None,
) -> dict[str, Any]:
    """Animate a held-out person three ways and score each against the truth.

    Args:
        model: The model.
        out: Output folder.
        options: Denoising options of the run with calibration.
        num_frames: Frames of the motion.
        progress: Called with the name of the run and the number of each finished step.

    Returns:
        The report, which is also written.
    """
    canvas = model.animator.canvas
    aligned = demo_pair(canvas.size, num_frames, ALIGNED)
    pair = demo_pair(canvas.size, num_frames)
    plain = dataclasses.replace(options, tpc=False)
    seconds: dict[str, float] = {}

    def timed(name: str, function, *args, **options):
        began = time.perf_counter()
        result = function(*args, **options)
        seconds[name] = round(time.perf_counter() - began, 2)
        return result

    def run(name: str, pair: LoadedPair, options: Options, clip: CalibratedClip | None = None):
        return timed(
            name, animate, model, *pair, options, calibrated=clip,
            progress=lambda step: progress(name, step),
        )  # fmt: skip

    clip = timed("calibrate", calibrate_clip, *pair)
    videos = {
        "aligned": run("aligned", aligned, plain),
        "without_tpc": run("without_tpc", pair, plain),
        "with_tpc": run("with_tpc", pair, options, clip),
    }
    truth = true_clip(pair.motion, canvas)
    scores = {name: score_frames(video, truth) for name, video in videos.items()}
    report: dict[str, Any] = {
        measure: {name: round(score[measure], 4) for name, score in scores.items()}
        for measure in _MEASURES
    }
    report["seconds"] = seconds
    report["settings"] = dataclasses.asdict(options)
    _write(out, clip, videos, report, model.animator)
    return report


def _write(out: Path, clip: CalibratedClip, videos, report, animator: Animator) -> None:
    reference, motion = clip.reference, clip.motion
    pose = pose_pictures(motion, animator.canvas, animator.pose_kind)
    with atomic_path(out, directory=True) as partial:
        for name, video in videos.items():
            write_video(partial / f"{name}.mp4", enlarge(video), motion.fps)
        still = np.broadcast_to(reference.image, motion.frames.shape)
        columns = [still, pose, videos["without_tpc"], videos["with_tpc"]]
        write_video(partial / "comparison.mp4", enlarge(side_by_side(columns)), motion.fps)
        rows = {
            "reference": still,
            "calibrated": clip.warped(0).images,
            "pose": pose,
            "truth": motion.frames,
            "without TPC": videos["without_tpc"],
            "with TPC": videos["with_tpc"],
            "aligned": videos["aligned"],
        }
        write_image(partial / "contact_sheet.png", contact_sheet(rows))
        write_image(partial / "reference.png", reference.image)
        write_calibration(partial / "calibration", clip, dataclasses.asdict(Calibrating()))
        write_json(partial / "report.json", report)
