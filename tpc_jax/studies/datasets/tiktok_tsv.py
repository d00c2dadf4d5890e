"""The TikTok data as DisCo publishes it: tables of base64 pictures, one row per frame.

    NAME_images.tsv   key <tab> picture
    NAME_masks.tsv    key <tab> picture [<tab> whether it is valid]
    NAME_poses.tsv    key <tab> skeleton rendering

Keys are `TiktokDance_<video>_<frame>.png` and the like; the rows of all tables correspond.
`new10val` is the published test list; masks and poses are optional.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from tpc_jax.errors import UserError
from tpc_jax.io.images import decode_image
from tpc_jax.metrics.clips import group_frame_names
from tpc_jax.pose.masks import divide_masks
from tpc_jax.pose.openpose_decode import decode_skeleton
from tpc_jax.pose.reading import Motion, no_people
from tpc_jax.studies.datasets.interface import DataSet, check_frames

FPS = Fraction(30)
_IMAGES = "_images.tsv"
# What DisCo's own preparation of further videos writes.
_CUSTOM = re.compile(r"(Custom_.+)_(\d+)\.\w+")


class _Table:
    """Rows of a table by number, read when asked for."""

    def __init__(self, path: Path):
        self.path = path
        self.keys: list[str] = []
        self._starts: list[int] = []
        try:
            with path.open("rb") as file:
                position = 0
                for line in file:
                    if line.strip():
                        self._starts.append(position)
                        self.keys.append(line.split(b"\t", 1)[0].decode("utf-8", "replace"))
                    position += len(line)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error

    def columns(self, row: int) -> list[bytes]:
        with self.path.open("rb") as file:
            file.seek(self._starts[row])
            return file.readline().rstrip(b"\r\n").split(b"\t")

    def picture(self, row: int) -> np.ndarray:
        columns = self.columns(row)
        try:
            return decode_image(base64.b64decode(columns[1], validate=True))
        except (IndexError, binascii.Error, ValueError) as error:
            raise UserError(
                f"{self.path}: row {row + 1} ({self.keys[row]}) holds no picture; download it again"
            ) from error

    def is_valid(self, row: int) -> bool:
        columns = self.columns(row)
        return len(columns) < 3 or columns[2].strip().lower() not in (b"false", b"0", b"")


class TikTokTSV(DataSet):
    """Videos whose frames are rows of tables."""

    kind = "tiktok-tsv"

    def __init__(self, images: Path):
        """Index the tables.

        Args:
            images: `NAME_images.tsv`; `NAME_masks.tsv` and `NAME_poses.tsv` lie beside it.

        Raises:
            UserError: A table cannot be read, or keys are unknown or do not correspond.
        """
        if not images.name.endswith(_IMAGES):
            raise UserError(f"{images}: give the table of pictures, NAME{_IMAGES}")
        self._images = _Table(images)
        self._videos = _rows_by_video(self._images)
        self.names = list(self._videos)
        self._masks = self._beside(images, "_masks.tsv")
        self._poses = self._beside(images, "_poses.tsv")

    def _beside(self, images: Path, ending: str) -> _Table | None:
        path = images.with_name(images.name.removesuffix(_IMAGES) + ending)
        if not path.exists():
            return None
        table = _Table(path)
        if table.keys != self._images.keys:
            raise UserError(f"{path}: its rows are not those of {images.name}; download both again")
        return table

    def num_frames(self, name: str) -> int:
        """Return the number of rows of a video."""
        return len(self._rows_of(name))

    def read(self, name: str, frames: Sequence[int] | None = None) -> Motion:
        """Decode the frames of a video."""
        rows = self._rows_of(name)
        rows = [rows[i] for i in check_frames(name, frames, len(rows))]
        pictures = np.stack([self._images.picture(row) for row in rows])
        keypoints, masks = no_people(len(rows)), None
        if self._masks is not None:
            shown = [_mask(self._masks, row, pictures.shape[1:3]) for row in rows]
            masks = np.stack(shown)[None]
        if self._poses is not None:
            drawn = np.stack([self._poses.picture(row) for row in rows])
            keypoints = decode_skeleton(drawn, f"{self._poses.path}: {name}")
        if masks is not None and len(keypoints.conf):
            masks = divide_masks(masks, keypoints)
        return Motion(pictures, FPS, "rgb", keypoints, masks, None)

    def _rows_of(self, name: str) -> list[int]:
        if name not in self._videos:
            raise UserError(f"{name}: no such video; there are {', '.join(self.names[:3])} ...")
        return self._videos[name]


def _mask(table: _Table, row: int, size: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    if not table.is_valid(row):
        return np.zeros(size, bool)
    mask = table.picture(row).max(axis=-1) > 127
    if mask.shape != size:
        raise UserError(
            f"{table.path}: row {row + 1} differs in size from its picture; download both again"
        )
    return mask


def _rows_by_video(table: _Table) -> dict[str, list[int]]:
    """Return the rows of each video in order of frame numbers."""
    row_of = {key: row for row, key in enumerate(table.keys)}
    if len(row_of) != len(table.keys) or not row_of:
        what = "holds a key twice" if row_of else "holds no rows"
        raise UserError(f"{table.path}: {what}; download it again")
    try:
        grouped = group_frame_names(row_of)
    except ValueError as error:
        raise UserError(f"{table.path}: {error}; download it again") from error
    videos = dict(grouped.videos)
    for key in grouped.unknown:
        match = _CUSTOM.fullmatch(key)
        if match is None:
            raise UserError(f"{table.path}: key {key!r} is of no known form; see its docstring")
        videos.setdefault(match[1], []).append((int(match[2]), key))
    return {name: [row_of[key] for _, key in sorted(keys)] for name, keys in videos.items()}
