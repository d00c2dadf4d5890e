"""The `tpc-jax` command: arguments to function calls, progress, error text."""

import contextlib
import dataclasses
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro
from tqdm import tqdm

from tpc_jax.errors import UserError

# The heavy imports (JAX, Flax, OpenCV) are in the commands, so that --help is quick.

Method = Literal["lts", "all", "face", "clip"]
Transform = Literal["similarity", "affine", "translation_scale", "rigid"]
RoutingName = Literal["auto", "open", "masked", "union", "replace", "composite"]
Kind = Literal["auto", "densepose", "openpose", "rgb", "uv"]
Case = Literal["aligned", "scale", "rotation", "bending", "walking"]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A reference picture and a motion."""

    reference: Path
    """Picture of the person."""
    driving: Path
    """Motion: a DensePose or skeleton rendering, or any video with --driving-keypoints (mp4, gif,
    folder of pictures, npz); or a folder of DensePose coordinates (npy)."""
    reference_keypoints: Path | None = None
    """Keypoints of the picture: own, COCO, mmpose or OpenPose JSON."""
    reference_mask: Path | None = None
    """Mask of the people in the picture; drawn from the keypoints if left out."""
    driving_keypoints: Path | None = None
    """Keypoints of the motion; decoded from a rendering if left out."""
    target_masks: Path | None = None
    """Person masks of the motion (npz, video or folder); decoded or drawn if left out."""
    driving_uv: Path | None = None
    """DensePose coordinates of the motion (npy), for models that read them beside a rendering."""
    driving_kind: Kind = "auto"
    """What the motion shows."""


@dataclasses.dataclass(frozen=True)
class GivenInputs(Inputs):
    """A reference picture and a motion, or neither for a built-in misaligned person."""

    reference: Path | None = None
    driving: Path | None = None


@dataclasses.dataclass(frozen=True)
class Fit:
    """How the reference is fitted to the motion."""

    method: Method = "lts"
    """Keypoints that steer the fit: the best half (lts), all, the face, or one fit per clip."""
    transform: Transform = "similarity"
    """Kind of transform."""
    smooth: float = 0.0
    """Temporal smoothing of the transforms, standard deviation in frames."""


@dataclasses.dataclass(frozen=True)
class Denoising:
    """How a clip is denoised."""

    tpc: bool = True
    """Whether calibrated references are used."""
    routing: RoutingName = "auto"
    """What the denoiser reads of the calibrated picture beside the original; auto is composite, or
    open for models that read pictures as tokens."""
    group_size: int = 4
    """Frames that share one calibrated picture at a step (iterative propagation)."""
    propagation: Literal["random", "first"] = "random"
    """How the group's picture is chosen at each step."""
    steps: int | None = None
    """Denoising steps; the model's own number if left out."""
    guidance_scale: tuple[float, ...] | None = None
    """Classifier-free guidance, 1 means off; the model's own value if left out. DreamPose takes two
    numbers: of the reference and of the pose."""
    sampler: Literal["ddim", "plms"] | None = None
    """How a step is taken; the model's own way if left out."""
    seed: int = 0
    """Seed of the noise and of the propagation."""
    window_stride: int = 1
    """Levels of closed windows: of neighbouring frames, of every second one, of every fourth."""
    closed_windows: bool = False
    """Let the last window wrap around to the first frames, as the published samplers do."""
    tiled_noise: bool = False
    """Repeat the start noise of one window over the clip, as the published samplers do."""
    pad_to_window: bool = False
    """Repeat the last frame up to a multiple of the window's length, as the published samplers
    do."""
    blend_background: bool = False
    """Show the reference outside the people; for still backgrounds."""
    stretch_levels: bool = False
    """Stretch every finished frame from black to white, as DreamPose's release does."""
    interpolate: int = 1
    """Decode this many times as many frames, the ones between as blends of latents."""
    blend: Literal["linear", "spherical"] = "linear"
    """How latents are blended."""
    cache_gib: float = 4.0
    """Most memory for reference features that serve all steps; beyond it they are encoded anew."""

    def options(self):
        """Return the pipeline's options."""
        from tpc_jax.pipeline import AnimateOptions

        for name in ("group_size", "steps", "window_stride", "interpolate"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1")
        if self.window_stride > 1 and not self.closed_windows:
            raise UserError("--window-stride needs --closed-windows")
        if self.interpolate > 1 and self.blend_background:
            raise UserError("--interpolate and --blend-background exclude each other")
        values = dataclasses.asdict(self)
        values["cache_bytes"] = int(values.pop("cache_gib") * 2**30)
        routing = values.pop("routing") if values.pop("tpc") else None
        values.pop("routing", None)
        return AnimateOptions(routing=routing, policy=values.pop("propagation"), **values)


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

    with _stage("reading"):
        reference, driving = _read(inputs)
    with _stage("calibrating"):
        clip = _calibrate(reference, driving, fit)
    with _stage("writing"):
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

    from tpc_jax.animators.clip import clip_table
    from tpc_jax.animators.cost import estimate_clip
    from tpc_jax.animators.load import load_animator
    from tpc_jax.io.video import write_video
    from tpc_jax.pipeline import animate_clip, pose_pictures, show_pose
    from tpc_jax.report.sheets import enlarge, side_by_side

    options = denoising.options()
    if compare and options.routing is None:
        raise UserError("--compare shows both results; leave out --no-tpc")
    with _stage("reading"):
        reference, driving = _read(inputs)
        animator, params = load_animator(model, _dtype(dtype), prompt, _size(size))
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
        with _stage("calibrating"):
            clip = _calibrate(reference, driving, fit)
    people = 0 if clip is None else len(clip.images)
    estimate = estimate_clip(animator, params, len(driving.frames), people, options)
    print(estimate, file=sys.stderr)

    def run(name: str, options):
        with _bar(name, len(table.timestep)) as update:
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
    from tpc_jax.evaluate.demo import demo_case
    from tpc_jax.report import attention

    if (inputs.reference is None) != (inputs.driving is None):
        raise UserError("give both --reference and --driving, or neither for a built-in person")
    options = denoising.options()
    if options.routing is None:
        raise UserError("both runs are shown; leave out --no-tpc")
    with _stage("reading"):
        animator, params = load_animator(model, _dtype(dtype), size=_size(size))
        if not isinstance(animator, ReferenceReader):
            raise UserError(f"{model}: does not read its reference by self-attention")
        if inputs.reference is None:
            case = demo_case(animator.image_size[0])
            reference, driving = case.reference, case.driving
        else:
            reference, driving = _read(inputs)
    with _stage("calibrating"):
        clip = _calibrate(reference, driving, fit)
    with _stage("looking"):
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
    from tpc_jax.evaluate.demo import run_demo
    from tpc_jax.pipeline import AnimateOptions

    with _stage("loading"):
        animator, params = load_animator(model)
    options = AnimateOptions().resolve(animator)
    with tqdm(total=3 * options.steps, desc="denoising", unit="step") as bar:
        report = run_demo(
            animator, params, out, options, num_frames=8 if quick else 16,
            progress=lambda name, step: bar.set_postfix(clip=name, refresh=False) or bar.update(),
        )  # fmt: skip
    print(f"{'':14}{'person PSNR':>12}{'PSNR':>8}{'SSIM':>8}")
    for name in ("aligned", "without_tpc", "with_tpc"):
        row = [report[measure][name] for measure in ("foreground_psnr", "psnr", "ssim")]
        print(f"{name:14}{row[0]:12.2f}{row[1]:8.2f}{row[2]:8.3f}")
    print(f"wrote {out}")


def train(out: Path, runs: Path = Path("runs/tiny"), config: Path | None = None) -> None:
    """Train `tiny` from nothing; a stopped training goes on where it was.

    Args:
        out: Folder of the finished model.
        runs: Working folder: checkpoints and loss curves.
        config: TOML or JSON file with overrides of the settings.
    """
    from tpc_jax.train.config import TrainConfig
    from tpc_jax.train.export import export_model
    from tpc_jax.train.tiny import train_tiny

    if out.exists():
        raise UserError(f"{out}: exists already; remove it or choose another folder")
    try:
        settings = TrainConfig.from_dict(read_settings(config) if config else {})
    except (TypeError, ValueError) as error:
        raise UserError(f"{config}: {error}") from error
    model, params = train_tiny(settings, runs)
    export_model(out, runs, settings, model, params)
    print(f"wrote {out}")


def sensitivity(
    model: str = "tiny",
    out: Path = Path("docs"),
    results: Path = Path("runs/sensitivity.csv"),
    clips: int = 64,
    frames: int = 8,
    steps: int | None = None,
    seed: int = 0,
) -> None:
    """Measure quality against rotation and scale of the reference; a stopped study goes on.

    Args:
        model: "tiny" or the folder of another model of its kind.
        out: Folder for sensitivity.md and sensitivity.png.
        results: Scores of every clip under every condition, in CSV format.
        clips: Held-out people, at least 2.
        frames: Frames per person, 2 to 23.
        steps: Denoising steps; the model's own number if left out.
        seed: Seed of the people, the noise and the propagation.
    """
    from tpc_jax.animators.load import load_animator
    from tpc_jax.evaluate.cases import MOTION_FRAMES
    from tpc_jax.evaluate.sensitivity import StudyOptions, run_study, study_conditions
    from tpc_jax.evaluate.summary import write_summary

    with _stage("loading"):
        animator, params = load_animator(model)
    steps = animator.num_steps if steps is None else steps
    most = {"frames": MOTION_FRAMES - 1, "steps": animator.schedule.num_train_timesteps}
    if clips < 2 or not 2 <= frames <= most["frames"] or not 1 <= steps <= most["steps"]:
        raise UserError(
            f"--clips must be at least 2, --frames in 2...{most['frames']} and "
            f"--steps in 1...{most['steps']}"
        )
    options = StudyOptions(clips, frames, steps, seed)
    total = clips * len(study_conditions())
    with tqdm(total=total, desc="animating", unit="clip", mininterval=1) as bar:
        run_study(animator, params, results, options, progress=bar.update)
    write_summary(results, out)
    print(f"wrote {out / 'sensitivity.md'} and {out / 'sensitivity.png'}")


def make_split(
    data: str,
    case: Case,
    out: Path,
    pairs: int = 64,
    frames: int = 8,
    step: int = 1,
    seed: int = 0,
) -> None:
    """Draw pairs of references and motions that are misaligned in one way, and list them.

    Args:
        data: synthetic, tiktok:FOLDER, tiktok:FOLDER:test, tiktok-tsv:NAME_images.tsv, ted:LIST.txt
            or ted:FOLDER.
        case: How reference and motion differ.
        out: Manifest to write, JSON; it holds no pictures.
        pairs: Number of pairs.
        frames: Frames of each motion.
        step: Distance of these frames in the clip.
        seed: Seed of the draws.
    """
    from tpc_jax.datasets import open_dataset, write_split
    from tpc_jax.datasets.make_split import make_split as draw

    if min(pairs, frames, step) < 1:
        raise UserError("--pairs, --frames and --step must be at least 1")
    split = draw(open_dataset(data), case, num_pairs=pairs, num_frames=frames, step=step, seed=seed)
    write_split(out, split)
    print(f"wrote {out}: {len(split.pairs)} pairs, digest {split.digest}")


def evaluate(
    data: str,
    split: tuple[Path, ...],
    out: Path,
    model: str = "tiny",
    methods: str = "none,face,all,clip,lts",
    transforms: str = "similarity",
    propagation: str = "random:4",
    routing: str = "composite",
    steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int = 0,
    videos: int = 3,
    disco: bool = False,
    lpips: Path | None = None,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
) -> None:
    """Animate every pair of splits in several ways and score the clips; a stopped run goes on.

    Options with several values take them with commas between; everything is combined with
    everything.

    Args:
        data: synthetic, tiktok:FOLDER, tiktok:FOLDER:test, tiktok-tsv:NAME_images.tsv, ted:LIST.txt
            or ted:FOLDER.
        split: Manifests of make-split, one table each.
        out: Folder for results.md, results.csv, results.json, plots, report.html and, as the run
            goes, results.jsonl.
        model: "tiny", the embedded model, or the folder of a trained or converted one.
        methods: none, face, all, clip, lts; pose-shift, retarget and retarget+lts move the motion.
        transforms: similarity, affine, translation_scale, rigid.
        propagation: random:4 (policy and frames per group), first:4, off.
        routing: open, masked, union, replace, composite.
        steps: Denoising steps; the model's own number if left out.
        guidance_scale: Classifier-free guidance, 1 means off; the model's own value if left out.
        seed: Seed of the noise and of the propagation.
        videos: Pairs per split whose videos are kept and shown.
        disco: Add L1, PSNR and SSIM by the field's convention, at 256x256.
        lpips: Add LPIPS by the network in this folder, made by `python -m convert lpips-vgg`.
        dtype: Type to compute in; auto takes bfloat16 on accelerators.
    """
    from tpc_jax.evaluate.command import run_evaluation
    from tpc_jax.evaluate.variants import make_variants

    if (steps is not None and steps < 1) or videos < 0:
        raise UserError("--steps must be at least 1 and --videos at least 0")
    variants = make_variants(
        methods.split(","),
        _choices("--transforms", transforms, Transform),
        propagation.split(","),
        _choices("--routing", routing, RoutingName),
    )
    denoising = Denoising(steps=steps, guidance_scale=guidance_scale, seed=seed)
    total = run_evaluation(
        model, data, split, variants, out, denoising.options(), num_videos=videos,
        use_disco=disco, lpips=lpips, dtype=_dtype(dtype),
        bar=lambda count: tqdm(total=count, desc="animating", unit="clip"),
    )  # fmt: skip
    print(f"{total} clips; wrote {out / 'report.html'} and tables beside it")


def _choices(option: str, text: str, kind) -> tuple:
    values = tuple(text.split(","))
    if unknown := [value for value in values if value not in get_args(kind)]:
        known = ", ".join(get_args(kind))
        raise UserError(f"{option} {unknown[0]}: unknown; known are {known}")
    return values


def read_settings(path: Path) -> dict:
    """Read a TOML or JSON file of settings.

    Raises:
        UserError: The file is missing or malformed.
    """
    import json

    try:
        text = path.read_text()
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError:
        raise UserError(f"{path}: cannot be read; check the path") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}; mend the file") from error


def _read(inputs: Inputs):
    from tpc_jax.pipeline import load_reference
    from tpc_jax.pose.reading import read_driving

    reference = load_reference(inputs.reference, inputs.reference_keypoints, inputs.reference_mask)
    driving = read_driving(
        inputs.driving,
        kind=inputs.driving_kind,
        keypoints_path=inputs.driving_keypoints,
        masks_path=inputs.target_masks,
        uv_path=inputs.driving_uv,
    )
    return reference, driving


def _size(text: str | None) -> tuple[int, int] | None:
    """Read WIDTHxHEIGHT as (height, width)."""
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UserError(f"--size must be WIDTHxHEIGHT, such as 512x784, got {text}")
    return int(height), int(width)


def _dtype(name: str) -> str:
    import jax

    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def _calibrate(reference, driving, fit: Fit):
    from tpc_jax.pipeline import calibrate_clip

    return calibrate_clip(
        reference, driving, method=fit.method, model=fit.transform, smooth_sigma=fit.smooth
    )


@contextlib.contextmanager
def _stage(name: str) -> Iterator[None]:
    """Say what goes on and how long it took."""
    print(f"{name} ...", end="", file=sys.stderr, flush=True)
    began = time.perf_counter()
    try:
        yield
    except BaseException:
        print(file=sys.stderr)
        raise
    print(f" {time.perf_counter() - began:.1f} s", file=sys.stderr)


@contextlib.contextmanager
def _bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    with tqdm(total=total, desc=name, unit="step") as bar:
        yield lambda step: bar.update()


def main(arguments: list[str] | None = None) -> None:
    """Run the command; user errors end as one line and exit code 2, Ctrl-C as 130."""
    commands = {
        "calibrate": calibrate,
        "animate": animate,
        "inspect-attention": inspect_attention,
        "demo": demo,
        "train": train,
        "sensitivity": sensitivity,
        "make-split": make_split,
        "evaluate": evaluate,
    }
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog="tpc-jax", args=arguments)
    except UserError as error:
        print(f"tpc-jax: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("tpc-jax: interrupted; nothing is left half-written", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
