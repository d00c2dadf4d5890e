"""The TikTok data as folders of pictures, as DisCo's code reads and prepares them.

    FOLDER/<video>/images/0001.png, or FOLDER/<video>/0001.png
    FOLDER/<video>/openpose_json/0001.png.json   [{"keypoints": 17 x [x, y, confidence]}]
    FOLDER/<video>/groundsam/0001.png.mask.jpg   people in any colour but the dark violet
    FOLDER/<video>/masks/0001.png                people in white, as the data set itself has them
    FOLDER/<video>/densepose/0001.png            DensePose rendering

Only the pictures are needed.
"""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.io.frame_folders import natural_order
from tpc_jax.io.images import IMAGE_SUFFIXES, read_image
from tpc_jax.io.masks import read_mask_pictures
from tpc_jax.pose.densepose import decode_parts
from tpc_jax.pose.masks import divide_masks
from tpc_jax.pose.reading import Motion, no_people
from tpc_jax.pose.skeletons import NUM_KEYPOINTS
from tpc_jax.studies.datasets.interface import DataSet, check_frames

FPS = Fraction(30)
# Folders from this number on are DisCo's test videos, those before it its training videos.
FIRST_TEST_FOLDER = 335
# What Grounded-SAM paints where nothing was found (the lowest colour of viridis), and half of its
# distance from the middle colour, which stands for the second of two people.
_NOTHING, _TOLERANCE = (68, 1, 84), 80


class TikTokFolders(DataSet):
    """One folder per video."""

    kind = "tiktok"

    def __init__(self, root: Path, part: Literal["all", "train", "test"] = "all"):
        """List the videos.

        Args:
            root: Folder of folders.
            part: `test` takes the folders numbered 335 and up, `train` those before, as DisCo's
                reader of this layout does. Its published test list `new10val` holds videos that
                are not among these folders; it comes as TSV files only.

        Raises:
            UserError: There are no such folders, or one holds no pictures.
        """
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; give the folder that holds 00001 and so on")
        folders = sorted((p for p in root.iterdir() if p.is_dir()), key=natural_order)
        self._folders = {p.name: p for p in folders if _is_in(p.name, part)}
        self._images = {name: _pictures(folder) for name, folder in self._folders.items()}
        empty = [name for name, images in self._images.items() if not images]
        if empty or not self._images:
            what = f"{empty[0]} holds no pictures" if empty else f"no {part} videos there"
            raise UserError(f"{root}: {what}; expected <video>/images/*.png or <video>/*.png")
        self.names = list(self._images)

    def num_frames(self, name: str) -> int:
        """Return the number of pictures of a video."""
        return len(self._pictures_of(name))

    def read(self, name: str, frames: Sequence[int] | None = None) -> Motion:
        """Read the pictures of a video and what lies beside them."""
        images = self._pictures_of(name)
        chosen = [images[i] for i in check_frames(name, frames, len(images))]
        pictures = [read_image(path) for path in chosen]
        for path, picture in zip(chosen, pictures, strict=True):
            if picture.shape != pictures[0].shape:
                raise UserError(f"{path}: differs in size from {chosen[0].name}; mend the folder")
        folder, size = self._folders[name], pictures[0].shape[:2]
        keypoints = read_people(folder, chosen)
        masks = _masks(folder, chosen, size)
        if masks is not None and len(keypoints.conf):
            masks = divide_masks(masks, keypoints)
        parts = None
        if (folder / "densepose").is_dir():
            shown = [read_image(_beside(folder, "densepose", path, "")) for path in chosen]
            parts = decode_parts(np.stack(shown), str(folder / "densepose"))
        return Motion(np.stack(pictures), FPS, "rgb", keypoints, masks, parts)

    def _pictures_of(self, name: str) -> list[Path]:
        if name not in self._images:
            raise UserError(f"{name}: no such video; there are {', '.join(self.names[:3])} ...")
        return self._images[name]


def _is_in(name: str, part: str) -> bool:
    if part == "all":
        return True
    return name.isdigit() and (int(name) >= FIRST_TEST_FOLDER) == (part == "test")


def _pictures(folder: Path) -> list[Path]:
    inner = folder / "images"
    files = (inner if inner.is_dir() else folder).iterdir()
    found = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    return sorted(found, key=natural_order)


def _beside(folder: Path, kind: str, image: Path, ending: str) -> Path:
    path = folder / kind / (image.name + ending)
    if not path.is_file():
        raise UserError(f"{path}: missing; complete {kind} or remove the folder")
    return path


def read_people(folder: Path, images: Sequence[Path]) -> Keypoints:
    """Read DisCo's keypoint files of some pictures, `[people frames 17]`; nobody without files.

    Raises:
        UserError: A file is missing or malformed.
    """
    if not (folder / "openpose_json").is_dir():
        return no_people(len(images))
    people = [_people(_beside(folder, "openpose_json", path, ".json")) for path in images]
    most = max(1, *(len(frame) for frame in people))
    points = np.zeros((most, len(people), NUM_KEYPOINTS, 3), np.float32)
    for index, frame in enumerate(people):
        points[: len(frame), index] = frame
    return Keypoints(points[..., :2], points[..., 2])


def _people(path: Path) -> Float[np.ndarray, "people 17 3"]:
    try:
        people = [person["keypoints"] for person in json.loads(path.read_text())]
        points = np.array(people, np.float32).reshape(len(people), NUM_KEYPOINTS, -1)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f'{path}: is not [{{"keypoints": 17 x [x, y, confidence]}}, ...]; prepare it again'
        ) from error
    if points.shape[-1] == 2:
        points = np.concatenate([points, np.ones((*points.shape[:2], 1), np.float32)], -1)
    missing = (points[..., :2] < 0).any(-1) | (points[..., 2] <= 0)
    points[missing] = 0
    points[..., 2] = np.clip(points[..., 2], 0, 1)
    return points


def _masks(
    folder: Path, images: Sequence[Path], size: tuple[int, int]
) -> Bool[np.ndarray, "1 frames height width"] | None:
    if (folder / "groundsam").is_dir():
        shown = [read_image(_beside(folder, "groundsam", p, ".mask.jpg")) for p in images]
        masks = [painted_people(picture) for picture in shown]
    elif (folder / "masks").is_dir():
        masks = list(read_mask_pictures([_beside(folder, "masks", path, "") for path in images]))
    else:
        return None
    if any(mask.shape != size for mask in masks):
        raise UserError(f"{folder}: masks and pictures differ in size; prepare the masks again")
    return np.stack(masks)[None]


def painted_people(
    picture: np.ndarray,
) -> Bool[np.ndarray, "height width"]:
    """Return where Grounded-SAM's picture shows anything."""
    difference = picture.astype(np.int32) - np.array(_NOTHING)
    return (difference**2).sum(-1) > _TOLERANCE**2
