"""A drawn person as files: a turned and scaled reference, and its motion in every form."""

from pathlib import Path

import numpy as np
from command_line import command_line

from tpc_jax._types import Keypoints
from tpc_jax.io.images import write_image
from tpc_jax.io.keypoint_files import write_keypoint_file
from tpc_jax.io.video import write_video
from tpc_jax.pose.densepose import render_densepose
from tpc_jax.studies.people import render_clip, sample_motion, sample_person, sample_scene

SIZE = 160
NUM_FRAMES = 4
ANGLE, SCALE = np.radians(40), 0.8


def write_files(folder: Path) -> Path:
    rng = np.random.default_rng(5)
    person, scene = sample_person(rng), sample_scene(rng)
    motion = sample_motion(rng, NUM_FRAMES + 1)
    moving = render_clip(person, scene, motion, SIZE, frames=list(range(NUM_FRAMES)))
    still = render_clip(
        person, scene, motion, SIZE, person_transform=(ANGLE, SCALE, (0, 0)), frames=[NUM_FRAMES]
    )
    write_image(folder / "person.png", still.frames[0])
    write_image(folder / "mask.png", still.mask[0])
    write_keypoint_file(folder / "person.json", Keypoints(still.keypoints, still.conf))
    write_video(folder / "densepose.mp4", render_densepose(moving.parts), 12)
    write_video(folder / "rgb.mp4", moving.frames, 12)
    np.savez(folder / "masks.npz", masks=moving.mask)
    driving = Keypoints(moving.keypoints[None], moving.conf[None])
    write_keypoint_file(folder / "rgb.json", driving)
    return folder


def arguments(inputs: Path, command: str = "calibrate", **changes) -> list[str]:
    """Return a command line on these files; a change to None leaves an option out."""
    options = {
        "reference": inputs / "person.png",
        "reference_keypoints": inputs / "person.json",
        "reference_mask": inputs / "mask.png",
        "driving": inputs / "densepose.mp4",
        **changes,
    }
    return command_line(command, options)
