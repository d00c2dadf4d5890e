"""Commands that calibrate or animate one reference."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tqdm import tqdm

from tpc_jax.commands.options import Denoising, Fit, GivenInputs, Inputs
from tpc_jax.commands.shared import choose_dtype, fit_clip, parse_size, read_inputs, stage, step_bar
from tpc_jax.errors import UserError


def calibrate(
    inputs: Annotated[Inputs, tyro.conf.OmitArgPrefixes],
    fit: Annotated[Fit, tyro.conf.OmitArgPrefixes],
    out: Path,
) -> None:
    """Warp the reference onto every frame of a motion; needs no network weights.

    Args:
        inputs: A reference picture and a motion.
        fit: How the reference is fitted.
        out: Folder for calibrated.mp4, calibrated_mask.mp4, overlay.mp4, transforms.json and
            report.json.
    """
    from tpc_jax.report.calibration import write_calibration

    with stage("reading"):
        reference, driving = read_inputs(inputs)
    with stage("calibrating"):
        clip = fit_clip(reference, driving, fit)
    with stage("writing"):
        report = write_calibration(out, reference, driving, clip, dataclasses.asdict(fit))
    before, after = report["mean_iou_before"], report["mean_iou_after"]
    if before is not None:
        print(f"mean IoU of reference and target person: {before:.3f} before, {after:.3f} after")
    filled = sum(person["num_filled_frames"] for person in report["people"])
    if filled:
        print(f"{filled} frames had no fit of their own and borrowed one; see transforms.json")
    print(f"wrote {out}")


def animate(
    inputs: Annotated[Inputs, tyro.conf.OmitArgPrefixes],
    fit: Annotated[Fit, tyro.conf.OmitArgPrefixes],
    denoising: Annotated[Denoising, tyro.conf.OmitArgPrefixes],
    out: Path,
    model: str = "tiny",
    prompt: str | None = None,
    size: str | None = None,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    compare: bool = False,
) -> None:
    """Animate the reference by a motion.

    Args:
        inputs: A reference picture and a motion.
        fit: How the reference is fitted.
        denoising: How the clip is denoised.
        out: Video to write, mp4 or gif.
        model: "tiny", the embedded model, or the folder of a trained or converted one.
        prompt: Text for models that read one; empty if left out.
        size: Size of the pictures as WIDTHxHEIGHT, for models that allow several.
        dtype: Type to compute in; auto takes bfloat16 on accelerators.
        compare: Write reference, pose, result without and result with TPC side by side.
    """
    import numpy as np

    from tpc_jax.animate import animate_clip
    from tpc_jax.animators.clip import clip_table
    from tpc_jax.animators.cost import estimate_clip
    from tpc_jax.animators.load import load_animator
    from tpc_jax.conditioning.pose_pictures import pose_pictures, show_pose
    from tpc_jax.io.video import write_video
    from tpc_jax.report.sheets import enlarge, side_by_side

    options = denoising.options()
    if compare and options.routing is None:
        raise UserError("--compare shows both results; leave out --no-tpc")
    with stage("reading"):
        reference, driving = read_inputs(inputs)
        animator, params = load_animator(model, choose_dtype(dtype), prompt, parse_size(size))
        people = max(1, len(reference.masks))
        size_and_kind = (animator.image_size, animator.pose_kind)
        pose = pose_pictures(driving, *size_and_kind, people, fit=animator.fit)
    options = options.resolve(animator)
    try:
        table = clip_table(animator, options)
    except ValueError as error:
        raise UserError(f"--steps: {error}") from error
    clip = None
    if options.routing is not None or options.blend_background:
        with stage("calibrating"):
            clip = fit_clip(reference, driving, fit)
    people = 0 if clip is None else len(clip.images)
    estimate = estimate_clip(animator, params, len(driving.frames), people, options)
    print(estimate, file=sys.stderr)

    def run(name: str, options):
        with step_bar(name, len(table.timestep)) as update:
            return animate_clip(animator, params, reference, driving, clip, options, update)

    video = run("denoising", options)
    if compare:
        plain = run("denoising without TPC", dataclasses.replace(options, routing=None))
        still = np.broadcast_to(reference.image, (len(video), *reference.image.shape))
        pose = show_pose(pose[np.arange(len(video)) // options.interpolate])
        video = side_by_side([still, pose, plain, video])
    write_video(out, enlarge(video), driving.fps * options.interpolate)
    print(f"wrote {out}")


def inspect_attention(
    inputs: Annotated[GivenInputs, tyro.conf.OmitArgPrefixes],
    fit: Annotated[Fit, tyro.conf.OmitArgPrefixes],
    denoising: Annotated[Denoising, tyro.conf.OmitArgPrefixes],
    out: Path = Path("attention.png"),
    model: str = "tiny",
    size: str | None = None,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    keypoints: tuple[str, ...] = ("left_shoulder", "right_wrist", "left_knee"),
    frame: int = 0,
    step: int = 0,
) -> None:
    """Show what body parts of one frame attend to in the reference, without and with TPC.

    Args:
        inputs: A reference picture and a motion; a built-in misaligned person if both are left
            out.
        fit: How the reference is fitted.
        denoising: How the clip is denoised; each frame reads its own calibrated picture.
        out: Picture to write.
        model: "tiny", the embedded model, or the folder of a trained or converted one that reads
            its reference by self-attention.
        size: Size of the pictures as WIDTHxHEIGHT, for models that allow several.
        dtype: Type to compute in; auto takes bfloat16 on accelerators.
        keypoints: COCO names of the body parts.
        frame: Number of the frame, from 0.
        step: Number of the denoising step, from 0.
    """
    from tpc_jax.animators.interface import ReferenceReader
    from tpc_jax.animators.load import load_animator
    from tpc_jax.studies import attention
    from tpc_jax.studies.demo import demo_pair

    if (inputs.reference is None) != (inputs.driving is None):
        raise UserError("give both --reference and --driving, or neither for a built-in person")
    options = denoising.options()
    if options.routing is None:
        raise UserError("both runs are shown; leave out --no-tpc")
    with stage("reading"):
        animator, params = load_animator(model, choose_dtype(dtype), size=parse_size(size))
        if not isinstance(animator, ReferenceReader):
            raise UserError(f"{model}: does not read its reference by self-attention")
        if inputs.reference is None:
            reference, driving = demo_pair(animator.image_size[0])
        else:
            reference, driving = read_inputs(inputs)
    with stage("calibrating"):
        clip = fit_clip(reference, driving, fit)
    with stage("looking"):
        inspection = attention.inspect_attention(
            animator, params, reference, driving, clip, options,
            keypoints=keypoints, frame=frame, step=step,
        )  # fmt: skip
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
    from tpc_jax.animators.load import load_animator
    from tpc_jax.animators.options import AnimateOptions
    from tpc_jax.studies.demo import run_demo

    with stage("loading"):
        loaded = load_animator(model)
    options = AnimateOptions().resolve(loaded.animator)
    with tqdm(total=3 * options.steps, desc="denoising", unit="step") as bar:
        report = run_demo(
            loaded, out, options, num_frames=8 if quick else 16,
            progress=lambda name, step: bar.set_postfix(clip=name, refresh=False) or bar.update(),
        )  # fmt: skip
    print(f"{'':14}{'person PSNR':>12}{'PSNR':>8}{'SSIM':>8}")
    for name in ("aligned", "without_tpc", "with_tpc"):
        row = [report[measure][name] for measure in ("foreground_psnr", "psnr", "ssim")]
        print(f"{name:14}{row[0]:12.2f}{row[1]:8.2f}{row[2]:8.3f}")
    print(f"wrote {out}")
