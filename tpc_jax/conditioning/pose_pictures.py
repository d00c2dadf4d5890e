"""The motion as each animator wants to see it: part maps, renderings, skeletons, coordinates."""

from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.conditioning.pose_maps import PART_COLORS, draw_skeleton_lines
from tpc_jax.conditioning.uv import fit_uv
from tpc_jax.errors import UserError
from tpc_jax.io.uv_files import render_uv
from tpc_jax.pose.densepose import PALETTE, is_densepose, render_densepose
from tpc_jax.pose.dwpose import draw_motion, whole_body
from tpc_jax.pose.openpose import CANVAS, draw_openpose
from tpc_jax.pose.reading import Motion

PoseKind = Literal["house", "densepose", "dwpose", "openpose", "uv"]


def pose_pictures(
    motion: Motion, canvas: Canvas, kind: PoseKind = "house"
) -> UInt8[np.ndarray, "frames height width 3"] | Float[np.ndarray, "frames height width 2"]:
    """Return the motion as an animator wants to see it.

    Args:
        motion: The motion; everybody in it is shown, so leave in it those who move the reference
            (`choose_people`).
        canvas: Where it goes; DensePose coordinates are always stretched onto it.
        kind: "house": part maps where known, else skeletons, in the house colours. "densepose": the
            DensePose rendering itself, or part maps painted as one. "dwpose": the people of a
            keypoint file as DWPose draws them (the surest of each frame unless people were chosen,
            as the annotator does), else the skeleton rendering itself, else skeletons of the bodies
            alone. "openpose": skeletons as OpenPose draws them. "uv": DensePose
            coordinates in [0, 1], no picture.

    Raises:
        UserError: A DensePose rendering or its coordinates are wanted and the motion has none.
    """
    if kind == "uv":
        return _coordinates(motion, canvas.size)
    if kind == "densepose":
        return _densepose_pictures(motion, canvas)
    if kind == "dwpose":
        return canvas.pictures(_dwpose_pictures(motion))
    if kind == "openpose":
        return canvas.pictures(_openpose_pictures(motion))
    if motion.parts is not None:
        return PART_COLORS[canvas.parts(motion.parts)]
    xy, conf = np.asarray(motion.keypoints.xy), np.asarray(motion.keypoints.conf)
    xy = canvas.points(xy, motion.frames.shape[1:3])
    pictures = np.zeros((len(motion.frames), *canvas.size, 3), np.uint8)
    for person, visible in zip(xy, conf > 0, strict=True):
        for picture, points, is_visible in zip(pictures, person, visible, strict=True):
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


def _coordinates(motion: Motion, size: tuple[int, int]):
    if motion.uv is None:
        raise UserError(
            "this model is driven by DensePose coordinates, which the motion lacks; give the "
            "folder of frame_NUMBER_densepose.npy files as --driving, or beside a rendering as "
            "--driving-uv; in a data set of videos, as uv/NAME beside them"
        )
    return fit_uv(motion.uv, size)


def _openpose_pictures(motion: Motion):
    size = motion.frames.shape[1:3]
    frames = range(len(motion.frames))
    return np.stack([draw_openpose(motion.keypoints.select(np.s_[:, i]), *size) for i in frames])


def _densepose_pictures(motion: Motion, canvas: Canvas):
    if motion.parts is None:
        raise UserError(
            f"this model is driven by DensePose renderings, but the motion is of kind "
            f"{motion.kind}; give a DensePose video (viridis part colours) as --driving"
        )
    # Synthetic motions come with part maps and ordinary pictures.
    is_rendering = is_densepose(motion.frames[:: max(1, len(motion.frames) // 8)])
    frames = motion.frames if is_rendering else render_densepose(motion.parts)
    return canvas.pictures(frames, tuple(PALETTE[0].tolist()))


def _dwpose_pictures(motion: Motion):
    people = motion.people
    if people is None:
        if motion.kind == "openpose":
            return motion.frames
        points = np.concatenate(
            [np.asarray(motion.keypoints.xy), np.asarray(motion.keypoints.conf)[..., None]], -1
        )
        people = whole_body(points, "coco-17")
    count = 1 if motion.cast is None else len(people.body.conf)
    return draw_motion(people, motion.frames.shape[1:3], CANVAS, count)
