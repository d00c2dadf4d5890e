"""Write whole bodies as ComfyUI's POSE_KEYPOINT."""

from pathlib import Path
from typing import Any

import numpy as np

from tpc_jax._types import Keypoints
from tpc_jax.io.atomic import write_json
from tpc_jax.pose.dwpose import WholeBody, frame_of
from tpc_jax.pose.filtering import DEFAULT_TAU

# The pupils, which close OpenPose's face, are taken from the eyes of the body.
_EYES = [14, 15]


def write_comfyui(path: str | Path, people: WholeBody, size: tuple[int, int]) -> None:
    """Write a clip as a list of frames in pixels, as ComfyUI's pose nodes save and load them.

    Args:
        path: The JSON file, written atomically.
        people: People of every frame, `[people frames ...]`, in pixels. Points are written with
            confidence 1 where theirs is above 0.3, else as missing; people of no point in a frame
            are left out of it.
        size: (height, width) of the pictures in pixels.

    Raises:
        UserError: If the file cannot be written.

    Source:
        `encode_poses_as_dict` of comfyui_controlnet_aux's `dwpose`.
    """
    frames = []
    for index in range(people.body.conf.shape[1]):
        frame = frame_of(people, index)
        found = [
            _person(WholeBody(*(part.select(person) for part in frame)))
            for person in range(len(frame.body.conf))
        ]
        present = [person for person in found if any(person.values())]
        frames.append({"people": present, "canvas_height": size[0], "canvas_width": size[1]})
    write_json(path, frames)


def _person(person: WholeBody) -> dict[str, Any]:
    left, right = (person.hands.select(side) for side in range(2))
    face = _flat(person.face)
    pupils = _flat(person.body.select(np.s_[_EYES])) or [0.0] * 6
    return {
        "pose_keypoints_2d": _flat(person.body),
        "face_keypoints_2d": None if face is None else face + pupils,
        "hand_left_keypoints_2d": _flat(left),
        "hand_right_keypoints_2d": _flat(right),
    }


def _flat(keypoints: Keypoints) -> list[float] | None:
    """Return x, y, 1 of visible points and zeros of others; None if none is visible."""
    xy, conf = np.asarray(keypoints.xy, float), np.asarray(keypoints.conf)
    visible = (conf > DEFAULT_TAU) & np.isfinite(xy).all(axis=-1)
    if not visible.any():
        return None
    points = np.concatenate([np.round(xy, 3), np.ones((len(xy), 1))], axis=-1)
    return np.where(visible[:, None], points, 0.0).ravel().tolist()
