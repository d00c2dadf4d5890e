"""The motion as each animator wants to see it: part maps, renderings, skeletons, coordinates."""

from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.conditioning.pose_maps import PART_COLORS, draw_skeleton_lines
from tpc_jax.conditioning.uv import fit_uv
from tpc_jax.errors import UserError
from tpc_jax.io.uv_files import render_uv
from tpc_jax.pose.densepose import PALETTE, is_densepose, render_densepose
from tpc_jax.pose.dwpose import draw_motion, whole_body
from tpc_jax.pose.openpose import CANVAS, draw_openpose
from tpc_jax.pose.reading import Driving

PoseKind = Literal["house", "densepose", "dwpose", "openpose", "uv"]


def pose_pictures(
    driving: Driving, canvas: Canvas, kind: PoseKind = "house", num_people: int = 1
) -> UInt8[np.ndarray, "frames height width 3"] | Float[np.ndarray, "frames height width 2"]:
    """Return the motion as an animator wants to see it.

    Args:
        driving: The motion.
        canvas: Where it goes; DensePose coordinates are always stretched onto it.
        kind: "house": part maps where known, else skeletons, in the house colours. "densepose": the
            DensePose rendering itself, or part maps painted as one. "dwpose": the people of a
            keypoint file as DWPose draws them, else the skeleton rendering itself, else skeletons
            of the bodies alone. "openpose": skeletons as OpenPose draws them. "uv": DensePose
            coordinates in [0, 1], no picture.
        num_people: People that DWPose draws, the surest ones.

    Raises:
        UserError: A DensePose rendering or its coordinates are wanted and the motion has none.
    """
    if kind == "uv":
        return _coordinates(driving, canvas.size)
    if kind == "densepose":
        return _densepose_pictures(driving, canvas)
    if kind == "dwpose":
        return canvas.pictures(_dwpose_pictures(driving, num_people))
    if kind == "openpose":
        return canvas.pictures(_openpose_pictures(driving))
    if driving.parts is not None:
        return PART_COLORS[canvas.parts(driving.parts)]
    placement = canvas.placement(driving.frames.shape[1:3])
    xy, conf = np.asarray(driving.keypoints.xy), np.asarray(driving.keypoints.conf)
    pictures = np.zeros((len(xy), *canvas.size, 3), np.uint8)
    for picture, people, visible in zip(pictures, placement.apply(xy), conf > 0, strict=True):
        for points, is_visible in zip(people, visible, strict=True):
            draw_skeleton_lines(picture, points, is_visible)
    return pictures


def channels_of(kind: PoseKind) -> int:
    """Return how many numbers a pixel of a pose picture has."""
    return 2 if kind == "uv" else 3


def show_pose(
    pose: UInt8[np.ndarray, "frames height width 3"] | Float[np.ndarray, "frames height width 2"],
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Return `pose_pictures` as pictures to look at."""
    return pose if pose.shape[-1] == 3 else render_uv(pose)


def _coordinates(driving: Driving, size: tuple[int, int]):
    if driving.uv is None:
        raise UserError(
            "this model is driven by DensePose coordinates; give the folder of "
            "frame_NUMBER_densepose.npy files as --driving, or beside a rendering as --driving-uv"
        )
    return fit_uv(driving.uv, size)


def _openpose_pictures(driving: Driving):
    size = driving.frames.shape[1:3]
    xy, conf = np.asarray(driving.keypoints.xy), np.asarray(driving.keypoints.conf)
    frames = [draw_openpose(Keypoints(x, c), *size) for x, c in zip(xy, conf, strict=True)]
    return np.stack(frames)


def _densepose_pictures(driving: Driving, canvas: Canvas):
    if driving.parts is None:
        raise UserError(
            f"this model is driven by DensePose renderings, but the motion is of kind "
            f"{driving.kind}; give a DensePose video (viridis part colours) as --driving"
        )
    # Synthetic motions come with part maps and ordinary pictures.
    is_rendering = is_densepose(driving.frames[:: max(1, len(driving.frames) // 8)])
    frames = driving.frames if is_rendering else render_densepose(driving.parts)
    return canvas.pictures(frames, tuple(PALETTE[0].tolist()))


def _dwpose_pictures(driving: Driving, num_people: int):
    people = driving.people
    if people is None:
        if driving.kind == "openpose":
            return driving.frames
        points = np.concatenate(
            [np.asarray(driving.keypoints.xy), np.asarray(driving.keypoints.conf)[..., None]], -1
        )
        people = whole_body(points, "coco-17")
    return draw_motion(people, driving.frames.shape[1:3], CANVAS, num_people)
