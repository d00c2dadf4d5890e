"""Commands that calibrate or animate one reference."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from tpc_jax.commands.options import Inputs, ModelChoice
from tpc_jax.commands.shared import load_model, read_inputs, show_people, stage, step_bar
from tpc_jax.errors import UserError
from tpc_jax.options import Calibrating, Options


def calibrate(
    inputs: Annotated[Inputs, tyro.conf.OmitArgPrefixes],
    calibrating: Annotated[Calibrating, tyro.conf.OmitArgPrefixes],
    out: Path,
) -> None:
    """Warp the reference onto every frame of a motion; needs no network weights.

    Args:
        inputs: A reference picture and a motion.
        calibrating: How the reference is fitted.
        out: Folder for calibrated.mp4, calibrated_mask.mp4, overlay.mp4, transforms.json and
            report.json.
    """
    from tpc_jax.calibrated_clip import calibrate_clip
    from tpc_jax.io.atomic import require_writable
    from tpc_jax.report.calibration import explain, write_calibration

    require_writable(out, directory=True)
    with stage("reading"):
        reference, motion = read_inputs(inputs)
    show_people(motion)
    with stage("calibrating"):
        clip = calibrate_clip(reference, motion, calibrating)
    if len(clip.people_without_fit) == clip.num_people:
        raise UserError(
            f"{inputs.title}: no frame has a fit of its own to the reference; too few "
            "keypoints are common to both, or they lie too close together; give better ones"
        )
    with stage("writing"):
        report = write_calibration(out, clip, dataclasses.asdict(calibrating))
    before, after = report["mean_iou_before"], report["mean_iou_after"]
    if before is not None:
        print(f"mean IoU of reference and target person: {before:.3f} before, {after:.3f} after")
    print("\n".join(explain(clip)))
    print(f"wrote {out}")


def animate(
    inputs: Annotated[Inputs, tyro.conf.OmitArgPrefixes],
    calibrating: Annotated[Calibrating, tyro.conf.OmitArgPrefixes],
    denoising: Annotated[Options, tyro.conf.OmitArgPrefixes],
    loading: Annotated[ModelChoice, tyro.conf.OmitArgPrefixes],
    out: Path,
    compare: bool = False,
) -> None:
    """Animate the reference by a motion.

    Args:
        inputs: A reference picture and a motion.
        calibrating: How the reference is fitted.
        denoising: How the clip is denoised.
        loading: Which model animates.
        out: Video to write, mp4 or gif.
        compare: Write reference, pose, result without and result with TPC side by side.
    """
    import numpy as np

    from tpc_jax.animation import run_plan
    from tpc_jax.animators.cost import estimate_run
    from tpc_jax.animators.plan import plan_run
    from tpc_jax.calibrated_clip import calibrate_clip
    from tpc_jax.conditioning.pose_pictures import pose_pictures, show_pose
    from tpc_jax.io.video import require_video_output, write_video
    from tpc_jax.report.calibration import explain
    from tpc_jax.report.sheets import compare_runs, enlarge

    require_video_output(out)
    if compare and not denoising.tpc:
        raise UserError("--compare shows both results; leave out --no-tpc")
    with stage("reading"):
        reference, motion = read_inputs(inputs, needs_people=denoising.tpc)
        model = load_model(loading)
    show_people(motion)
    animator, num_people = model.animator, len(reference.masks)
    # Made before anything is computed: a motion of the wrong kind ends here.
    pose = pose_pictures(motion, animator.canvas, animator.pose_kind)
    plan = plan_run(animator, len(motion.frames), denoising)
    clip = None
    if plan.needs_calibration:
        with stage("calibrating"):
            clip = calibrate_clip(reference, motion, calibrating)
        print("\n".join(explain(clip)), file=sys.stderr)
    print(estimate_run(plan, model.params, num_people), file=sys.stderr)

    def run(name: str, plan):
        with step_bar(name, plan.num_steps) as update:
            return run_plan(plan, model, reference, motion, clip, update)

    video = run("denoising", plan)
    if compare:
        without = plan_run(animator, len(motion.frames), dataclasses.replace(denoising, tpc=False))
        plain = run("denoising without TPC", without)
        poses = show_pose(pose[np.arange(len(video)) // denoising.interpolate])
        size = motion.frames.shape[1:3]
        video = compare_runs(animator.canvas, reference.image, poses, plain, video, size)
    write_video(out, enlarge(video), motion.fps * denoising.interpolate)
    print(f"wrote {out}")


def inspect_attention(
    inputs: Annotated[Inputs, tyro.conf.OmitArgPrefixes],
    calibrating: Annotated[Calibrating, tyro.conf.OmitArgPrefixes],
    denoising: Annotated[Options, tyro.conf.OmitArgPrefixes],
    loading: Annotated[ModelChoice, tyro.conf.OmitArgPrefixes],
    out: Path = Path("attention.png"),
    keypoints: tuple[str, ...] = ("left_shoulder", "right_wrist", "left_knee"),
    frame: int = 0,
    step: int = 0,
) -> None:
    """Show what body parts of one frame attend to in the reference, without and with TPC.

    Args:
        inputs: A reference picture and a motion; a built-in misaligned person if both are left
            out.
        calibrating: How the reference is fitted.
        denoising: How the clip is denoised; each frame reads its own calibrated picture.
        loading: Which model animates; one that reads its reference by self-attention.
        out: Picture to write.
        keypoints: COCO names of the body parts.
        frame: Number of the frame, from 0.
        step: Number of the denoising step, from 0.
    """
    from tpc_jax.animators.base import ReferenceAttentionAnimator
    from tpc_jax.calibrated_clip import calibrate_clip
    from tpc_jax.io.images import require_image_output
    from tpc_jax.studies import attention
    from tpc_jax.studies.demo import demo_pair

    require_image_output(out)
    if not denoising.tpc:
        raise UserError("both runs are shown; leave out --no-tpc")
    with stage("reading"):
        model = load_model(loading)
        if not isinstance(model.animator, ReferenceAttentionAnimator):
            raise UserError(f"{loading.model}: does not read its reference by self-attention")
        if inputs.is_empty:
            reference, motion = demo_pair(model.animator.canvas.size)
        else:
            reference, motion = read_inputs(inputs)
    with stage("calibrating"):
        clip = calibrate_clip(reference, motion, calibrating)
    with stage("looking"):
        inspection = attention.inspect_attention(
            model, clip, denoising, keypoints=keypoints, frame=frame, step=step
        )
        attention.write_inspection(out, inspection)
    without = attention.near_match(inspection.without_tpc)
    with_tpc = [attention.near_match(look) for look in inspection.with_tpc]
    print(f"{'attention at its own body part':32}{'without TPC':>12}{'with TPC':>10}")
    for name, before, *after in zip(keypoints, without, *with_tpc, strict=True):
        print(f"{name:32}{before:>12.1%}{sum(after):>10.1%}")
    print(f"wrote {out}")


def demo(out: Path = Path("out/demo"), model: str = "tiny", quick: bool = False) -> None:
    """Animate a built-in misaligned person with and without calibration and score both.

    Args:
        out: Folder for the videos, contact_sheet.png and report.json.
        model: "tiny" or the folder of another model of its kind.
        quick: Fewer frames.
    """
    from tpc_jax.animators.load import load
    from tpc_jax.animators.plan import plan_run
    from tpc_jax.io.atomic import require_writable
    from tpc_jax.studies.demo import run_demo

    require_writable(out, directory=True)
    with stage("loading"):
        loaded = load(model)
    options, num_frames = Options(), 8 if quick else 16
    steps = plan_run(loaded.animator, num_frames, options).num_steps
    with tqdm(total=3 * steps, desc="denoising", unit="step") as bar:
        report = run_demo(
            loaded, out, options, num_frames=num_frames,
            progress=lambda name, step: bar.set_postfix(clip=name, refresh=False) or bar.update(),
        )  # fmt: skip
    print(f"{'':14}{'person PSNR':>12}{'PSNR':>8}{'SSIM':>8}")
    for name in ("aligned", "without_tpc", "with_tpc"):
        row = [report[measure][name] for measure in ("foreground_psnr", "psnr", "ssim")]
        print(f"{name:14}{row[0]:12.2f}{row[1]:8.2f}{row[2]:8.3f}")
    print(f"wrote {out}")
