"""Finders of people for `pose.reading`: from pictures to keypoints, masks and parts."""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from tpc_jax._types import Keypoints
from tpc_jax.detect import video, wholebody
from tpc_jax.detect.blazepose import BlazePose
from tpc_jax.detect.part_maps import draw_parts
from tpc_jax.detect.video import DetectedClip
from tpc_jax.detect.wholebody import WholeBodyDetector
from tpc_jax.pose.reading import FoundPeople, PeopleFinder

# Called after every picture with its number.
Progress = Callable[[int], object]


def find_with_blazepose(model: BlazePose, progress: Progress | None = None) -> PeopleFinder:
    """Return a finder of keypoints, masks and parts.

    A keypoint is as sure as it is likely to be seen and found in the same place by several looks at
    the person.

    Args:
        model: What `open_pose_model` returned.
        progress: Called after every picture.
    """

    def find(frames: UInt8[np.ndarray, "frames height width 3"]) -> FoundPeople:
        clip = video.detect_clip(model, frames, progress=progress)
        conf = np.asarray(clip.keypoints.conf) * clip.steadiness
        keypoints = Keypoints(clip.keypoints.xy, conf.astype(np.float32))
        return FoundPeople(keypoints, clip.masks, part_maps(clip), is_followed=True)

    return find


def find_with_wholebody(
    detector: WholeBodyDetector, progress: Progress | None = None
) -> PeopleFinder:
    """Return a finder of keypoints with hands and faces; masks are drawn from them.

    Args:
        detector: What `open_wholebody` returned.
        progress: Called after every picture.
    """

    def find(frames: UInt8[np.ndarray, "frames height width 3"]) -> FoundPeople:
        clip = wholebody.detect_clip(detector, frames, progress=progress)
        return FoundPeople(clip.keypoints, people=clip.people, is_followed=True)

    return find


def part_maps(clip: DetectedClip) -> UInt8[np.ndarray, "frames height width"]:
    """Draw the DensePose part map of everybody in every frame; masks keep people apart."""
    parts = np.zeros(clip.masks.shape[1:], np.uint8)
    for person, frame in np.argwhere(clip.sureness > 0).tolist():
        drawn = draw_parts(clip.landmarks[person, frame], clip.masks[person, frame])
        parts[frame] = np.where(drawn > 0, drawn, parts[frame])
    return parts
