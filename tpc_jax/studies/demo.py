"""The built-in demonstration: one misaligned case, animated with and without calibration."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tpc_jax.animate import CalibratedClip
from tpc_jax.animators.interface import Animator
from tpc_jax.animators.load import LoadedModel
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.io.atomic import atomic_path, write_json
from tpc_jax.io.images import write_image
from tpc_jax.io.video import write_video
from tpc_jax.report.calibration import write_calibration
from tpc_jax.report.sheets import contact_sheet, enlarge, side_by_side
from tpc_jax.studies.datasets.interface import ALIGNED, Misalignment
from tpc_jax.studies.evaluation.pairs import DrivenPair, animate_pair, calibrate_pair, drawn_pair
from tpc_jax.studies.evaluation.scores import score_frames
from tpc_jax.studies.evaluation.truth import View, true_clip

# The reference's person is turned by 60 degrees and shrunk to 0.7.
MISALIGNMENT: Misalignment = (np.pi / 3, 0.7, (0.0, 0.0))
_PERSON = 3
_MEASURES = ("foreground_psnr", "psnr", "ssim", "flicker")


def demo_pair(size: int, num_frames: int = 16, misalignment: Misalignment = MISALIGNMENT):
    """Return the built-in person on a square canvas, misaligned unless said otherwise."""
    return drawn_pair(_PERSON, size, num_frames=num_frames, misalignment=misalignment)


def run_demo(
    model: LoadedModel,
    out: Path,
    options: AnimateOptions,
    *,
    num_frames: int = 16,
    progress: Callable[[str, int], None] = lambda name, step: None,
) -> dict[str, Any]:
    """Animate a held-out person three ways and score each against the truth.

    Args:
        model: The animator with its parameters.
        out: Output folder.
        options: Denoising options of the run with calibration.
        num_frames: Frames of the motion.
        progress: Called with the name of the run and the number of each finished step.

    Returns:
        The report, which is also written.
    """
    canvas = model.animator.image_size
    options = options.resolve(model.animator)
    aligned = demo_pair(canvas[0], num_frames, ALIGNED)
    pair = demo_pair(canvas[0], num_frames)
    plain = dataclasses.replace(options, routing=None)
    seconds: dict[str, float] = {}

    def timed(name: str, function, *args):
        began = time.perf_counter()
        result = function(*args)
        seconds[name] = round(time.perf_counter() - began, 2)
        return result

    def animate(name: str, pair: DrivenPair, clip: CalibratedClip | None, options: AnimateOptions):
        def report_step(step: int) -> None:
            progress(name, step)

        return timed(name, animate_pair, model, pair, clip, options, report_step)

    clip = timed("calibrate", calibrate_pair, pair)
    videos = {
        "aligned": animate("aligned", aligned, None, plain),
        "without_tpc": animate("without_tpc", pair, None, plain),
        "with_tpc": animate("with_tpc", pair, clip, options),
    }
    truth = true_clip(pair.driving, View(canvas, pair.driving.frames.shape[1:3]))
    scores = {name: score_frames(video, truth) for name, video in videos.items()}
    report: dict[str, Any] = {
        measure: {name: round(score[measure], 4) for name, score in scores.items()}
        for measure in _MEASURES
    }
    report["seconds"] = seconds
    report["settings"] = dataclasses.asdict(options)
    _write(out, pair, clip, videos, report, model.animator)
    return report


def _write(
    out: Path, pair: DrivenPair, clip: CalibratedClip, videos, report, animator: Animator
) -> None:
    reference, driving = pair
    pose = pose_pictures(driving, animator.image_size, animator.pose_kind)
    with atomic_path(out, directory=True) as partial:
        for name, video in videos.items():
            write_video(partial / f"{name}.mp4", enlarge(video), driving.fps)
        still = np.broadcast_to(reference.image, driving.frames.shape)
        columns = [still, pose, videos["without_tpc"], videos["with_tpc"]]
        write_video(partial / "comparison.mp4", enlarge(side_by_side(columns)), driving.fps)
        rows = {
            "reference": still,
            "calibrated": clip.images[0],
            "pose": pose,
            "truth": driving.frames,
            "without TPC": videos["without_tpc"],
            "with TPC": videos["with_tpc"],
            "aligned": videos["aligned"],
        }
        write_image(partial / "contact_sheet.png", contact_sheet(rows))
        write_image(partial / "reference.png", reference.image)
        write_calibration(partial / "calibration", reference, driving, clip, {"method": "lts"})
        write_json(partial / "report.json", report)
