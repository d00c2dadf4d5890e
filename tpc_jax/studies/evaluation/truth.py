"""What an animated clip is scored against, brought to where its frames show it."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.conditioning.canvas import (
    crop_to_content,
    fit_images,
    fit_masks,
    fit_parts,
    placement_on,
)
from tpc_jax.metrics.regions import face_mask, region_masks
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.reading import Driving
from tpc_jax.pose.skeletons import FACE_POINTS


class View(NamedTuple):
    """Where animated frames show what a picture shows: on the canvas, without its bars.

    Attributes:
        canvas: (height, width) of the animator's canvas.
        picture: (height, width) of the picture.
    """

    canvas: tuple[int, int]
    picture: tuple[int, int]

    def cut(self, on_canvas: np.ndarray) -> np.ndarray:
        """Cut the bars off `[frames height width ...]` made on the canvas."""
        return crop_to_content(on_canvas, self.picture, self.canvas)

    def pictures(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> np.ndarray:
        """Bring pictures there."""
        return self.cut(fit_images(frames, self.canvas))

    def masks(self, masks: Bool[np.ndarray, "frames height width"]) -> np.ndarray:
        """Bring masks there, cut at one half."""
        return self.cut(np.greater(fit_masks(masks, self.canvas), 127))

    def parts(self, parts: UInt8[np.ndarray, "frames height width"]) -> np.ndarray:
        """Bring part maps there."""
        return self.cut(fit_parts(parts, self.canvas))

    def keypoints(self, keypoints: Keypoints) -> Keypoints:
        """Bring points there."""
        placement = placement_on(self.picture, self.canvas)
        corner = np.ceil(placement.apply(np.array([-0.5, -0.5])))
        xy = placement.apply(np.asarray(keypoints.xy, float)) - corner
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
            keypoints: Its people `[frames people 17]` in the same pixels; None leaves out the face.
            parts: Its part maps; None leaves out colours by part.
        """
        self.frames, self.masks, self.parts = frames, masks, parts
        self.regions = {}
        if masks is not None:
            face = None if keypoints is None else _faces(keypoints, frames.shape[1:3])
            self.regions = region_masks(masks, face)


def true_clip(driving: Driving, view: View) -> Truth:
    """Return what a perfect animator makes of a motion that comes from a video.

    Args:
        driving: The motion, with the frames it comes from.
        view: Where the animated frames show it.
    """
    return Truth(
        view.pictures(driving.frames),
        None if driving.masks is None else view.masks(np.any(driving.masks, axis=0)),
        view.keypoints(driving.keypoints),
        None if driving.parts is None else view.parts(driving.parts),
    )


def _faces(keypoints: Keypoints, size: tuple[int, int]) -> Bool[np.ndarray, "frames height width"]:
    points = list(FACE_POINTS)
    seen = np.asarray(keypoints.conf)[..., points] > DEFAULT_TAU
    faces = np.asarray(_jit_faces(np.asarray(keypoints.xy)[..., points, :], seen, size))
    return np.any(faces, axis=1)


_jit_faces = jax.jit(face_mask, static_argnums=2)
