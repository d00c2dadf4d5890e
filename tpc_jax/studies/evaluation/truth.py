"""What an animated clip is scored against, brought to where its frames show it."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.metrics.regions import face_mask, region_masks
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.reading import Motion
from tpc_jax.pose.skeletons import FACE_POINTS


class View(NamedTuple):
    """Where animated frames show what a picture shows: on the canvas, without its bars.

    Attributes:
        canvas: The animator's canvas.
        size: (height, width) of the picture.
    """

    canvas: Canvas
    size: tuple[int, int]

    def cut(self, on_canvas: np.ndarray) -> np.ndarray:
        """Cut the bars off `[frames height width ...]` made on the canvas."""
        return self.canvas.crop(on_canvas, self.size)

    def pictures(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> np.ndarray:
        """Bring pictures there."""
        return self.cut(self.canvas.pictures(frames))

    def masks(self, masks: Bool[np.ndarray, "frames height width"]) -> np.ndarray:
        """Bring masks there, cut at one half."""
        return self.cut(self.canvas.masks(masks) > 127)

    def parts(self, parts: UInt8[np.ndarray, "frames height width"]) -> np.ndarray:
        """Bring part maps there."""
        return self.cut(self.canvas.parts(parts))

    def keypoints(self, keypoints: Keypoints) -> Keypoints:
        """Bring points there."""
        rows, columns = self.canvas.content(self.size)
        xy = self.canvas.points(np.asarray(keypoints.xy, float), self.size)
        xy = xy - np.array([columns.start, rows.start])
        return Keypoints(xy.astype(np.float32), keypoints.conf)


class Truth:
    """What a clip is scored against; regions are prepared once for all variants."""

    def __init__(
        self,
        frames: UInt8[np.ndarray, "frames height width 3"],
        masks: Bool[np.ndarray, "frames height width"] | None = None,
        keypoints: Keypoints | None = None,
        parts: UInt8[np.ndarray, "frames height width"] | None = None,
    ):
        """Prepare regions.

        Args:
            frames: The true clip at the size of the animated ones.
            masks: Where its people are; None leaves out scores by region.
            keypoints: Its people `[people frames 17]` in the same pixels; None leaves out the face.
            parts: Its part maps; None leaves out colours by part.
        """
        self.frames, self.masks, self.parts = frames, masks, parts
        self.regions = {}
        if masks is not None:
            face = None if keypoints is None else _faces(keypoints, frames.shape[1:3])
            self.regions = region_masks(masks, face)


def true_clip(motion: Motion, canvas: Canvas) -> Truth:
    """Return what a perfect animator makes of a motion that comes from a video.

    Args:
        motion: The motion, with the frames it comes from.
        canvas: The animator's canvas.
    """
    view = View(canvas, motion.frames.shape[1:3])
    return Truth(
        view.pictures(motion.frames),
        None if motion.masks is None else view.masks(np.any(motion.masks, axis=0)),
        view.keypoints(motion.keypoints),
        None if motion.parts is None else view.parts(motion.parts),
    )


def _faces(keypoints: Keypoints, size: tuple[int, int]) -> Bool[np.ndarray, "frames height width"]:
    points = list(FACE_POINTS)
    seen = np.asarray(keypoints.conf)[..., points] > DEFAULT_TAU
    faces = np.asarray(_jit_faces(np.asarray(keypoints.xy)[..., points, :], seen, size))
    return np.any(faces, axis=0)


_jit_faces = jax.jit(face_mask, static_argnums=2)
