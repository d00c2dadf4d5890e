"""TED-talks and other sets of video files, named by a list or lying in a folder.

The list names one video per line, relative to itself; a line may name a folder of pictures. Beside
the folder of a video may lie what is known about it, under the video's own name:

    test/abc.mp4   densepose/abc.mp4   keypoints/abc.json   masks/abc.npz   uv/abc

The last one is a folder of DensePose coordinates, one `frame_NUMBER_densepose.npy` per frame.

Neither the published clips nor their official test list are part of this project; their counts
differ between sources, so none is assumed: the list decides.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tpc_jax.errors import UserError
from tpc_jax.io.frame_folders import natural_order
from tpc_jax.io.uv_files import read_uv
from tpc_jax.io.video import Video, read_video
from tpc_jax.pose.masks import divide_masks, read_masks
from tpc_jax.pose.reading import Motion, no_people, read_keypoints, read_motion
from tpc_jax.studies.datasets.interface import DataSet, check_frames

_VIDEOS = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif", ".npz"})


class VideoList(DataSet):
    """Videos by file name without ending."""

    kind = "ted"

    def __init__(self, source: Path):
        """List the videos; none is opened yet.

        Args:
            source: A text file of paths, or a folder of videos.

        Raises:
            UserError: The list is empty or names a missing or doubled video.
        """
        paths = _listed(source) if source.is_file() else _in_folder(source)
        if not paths:
            raise UserError(f"{source}: names no videos; list one path per line")
        self._paths: dict[str, Path] = {}
        for path in paths:
            name = path.name if path.is_dir() else path.stem
            if name in self._paths:
                raise UserError(f"{source}: {name} stands there twice; give every video one name")
            self._paths[name] = path
        self.names = list(self._paths)
        self._lengths: dict[str, int] = {}

    def num_frames(self, name: str) -> int:
        """Return the length of a video, which is decoded once for it."""
        if name not in self._lengths:
            self._lengths[name] = len(self._video(name).frames)
        return self._lengths[name]

    def read(self, name: str, frames: Sequence[int] | None = None) -> Motion:
        """Decode a video and what lies beside it."""
        video = self._video(name)
        count, size = len(video.frames), video.frames.shape[1:3]
        keypoints, masks, parts = no_people(count), None, None
        if rendering := self._beside(name, "densepose", ".mp4"):
            motion = read_motion(rendering, "densepose")
            if motion.frames.shape != video.frames.shape:
                raise UserError(f"{rendering}: differs from {name} in length or size; render again")
            keypoints, masks, parts = motion.keypoints, motion.masks, motion.parts
        if file := self._beside(name, "keypoints", ".json"):
            keypoints, masks = read_keypoints(file, size, count), None
        if file := self._beside(name, "masks", ".npz"):
            masks = read_masks(file, video.frames.shape[:3], video.sources)
            masks = divide_masks(masks, keypoints) if len(keypoints.conf) else masks
        chosen = np.asarray(check_frames(name, frames, count), int)
        keypoints = keypoints.select(np.s_[:, chosen])
        masks = None if masks is None else masks[:, chosen]
        parts = None if parts is None else parts[chosen]
        uv = self._coordinates(name, video)
        return Motion(
            video.frames[chosen], video.fps, "rgb", keypoints, masks, parts,
            uv=None if uv is None else uv[chosen],
        )  # fmt: skip

    def _coordinates(
        self, name: str, video: Video
    ) -> Float[np.ndarray, "frames rows columns 2"] | None:
        path = self._paths[name].parent.parent / "uv" / name
        if not path.exists():
            return None
        uv = read_uv(path)
        if uv.shape[:3] != video.frames.shape[:3]:
            raise UserError(f"{path}: differs from {name} in length or size; make it again")
        return uv

    def _video(self, name: str) -> Video:
        if name not in self._paths:
            raise UserError(f"{name}: no such video; there are {', '.join(self.names[:3])} ...")
        return read_video(self._paths[name])

    def _beside(self, name: str, kind: str, ending: str) -> Path | None:
        path = self._paths[name].parent.parent / kind / (name + ending)
        return path if path.is_file() else None


def _listed(source: Path) -> list[Path]:
    try:
        lines = [line.strip() for line in source.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: is no list of videos; give one path per line") from error
    paths = [source.parent / line for line in lines if line]
    if missing := [path for path in paths if not path.exists()]:
        raise UserError(f"{source}: {missing[0]} is missing ({len(missing)} in all); complete them")
    return paths


def _in_folder(source: Path) -> list[Path]:
    if not source.is_dir():
        raise UserError(f"{source}: no such list or folder; check the path")
    found = [p for p in source.iterdir() if p.is_dir() or p.suffix.lower() in _VIDEOS]
    return sorted(found, key=natural_order)
