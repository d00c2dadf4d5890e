"""Where each person is: masks read from files, divided among people, or drawn from keypoints."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from scipy.optimize import linear_sum_assignment

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path
from tpc_jax.io.masks import fit_masks, read_mask_clip
from tpc_jax.io.timing import follow
from tpc_jax.pose.body_model import capsule_mask


def person_masks(
    keypoints: Keypoints, size: tuple[int, int]
) -> Bool[np.ndarray, "*batch height width"]:
    """Draw each person's mask by the capsule body model.

    Args:
        keypoints: NumPy COCO-17 keypoints `[*batch 17]` in pixels.
        size: (height, width) of the pictures.
    """
    batch = keypoints.conf.shape[:-1]
    masks = np.zeros((*batch, *size), bool)
    for index in np.ndindex(*batch):
        masks[index] = capsule_mask(keypoints.select(index), *size)
    return masks


def read_masks(
    path: str | Path,
    shape: tuple[int, int, int],
    sources: Int[np.ndarray, " frames"] | None = None,
) -> Bool[np.ndarray, "people frames height width"]:
    """Read the person masks of a clip.

    Args:
        path: As `masks_path` of `read_motion`.
        shape: (frames, height, width) of the clip.
        sources: As in `Video`; masks of its stored frames, one each, follow them.

    Returns:
        Masks; a file with one mask per frame gives one person.

    Raises:
        UserError: If the file is missing, damaged or of another shape, or marks nobody.
    """
    masks = read_mask_clip(path)
    masks = follow(masks[None] if masks.ndim == 3 else masks, sources, 1)
    if masks.ndim != 4 or masks.shape[1] != shape[0]:
        raise UserError(
            f"{path}: masks have shape {list(masks.shape[-3:])} (frames, height, width), the "
            f"video has {list(shape)}; give one mask per frame"
        )
    return fit_masks(masks, shape[1:], path, "the motion")


def write_masks(path: str | Path, masks: Bool[np.ndarray, "people frames height width"]) -> None:
    """Write the masks of a clip as packed bits that `read_masks` reads, atomically.

    Args:
        path: The `.npz` file.
        masks: One mask per person and frame.

    Raises:
        UserError: It cannot be written.
    """
    with atomic_path(path) as partial:
        np.savez_compressed(partial, masks=np.packbits(masks, axis=-1), shape=masks.shape)


def divide_masks(
    masks: Bool[np.ndarray, "sources frames height width"], keypoints: Keypoints
) -> Bool[np.ndarray, "people frames height width"]:
    """Give every detected person of every frame its mask.

    Args:
        masks: Several masks per frame, one person each in any order; or one with everybody.
        keypoints: NumPy keypoints `[people frames 17]`.

    Returns:
        Masks in the order of the people. One mask with everybody is divided by the nearest joint;
        several are assigned so that they hold as many joints of their person as possible.
    """
    num_people, num_frames = keypoints.conf.shape[:2]
    if len(masks) == num_people == 1:
        return masks
    divided = np.zeros((num_people, *masks.shape[1:]), bool)
    for frame in range(num_frames):
        people = [
            (person, np.asarray(keypoints.xy[person, frame])[keypoints.conf[person, frame] > 0])
            for person in range(num_people)
        ]
        people = [(person, xy) for person, xy in people if len(xy)]
        if not people:
            continue
        if len(masks) == 1:
            mask = masks[0, frame]
            nearest = _nearest_person(mask, [xy for _, xy in people])
            for order, (person, _) in enumerate(people):
                divided[person, frame][mask] = nearest == order
        else:
            held = np.array([[_count(mask, xy) for mask in masks[:, frame]] for _, xy in people])
            for row, source in zip(*linear_sum_assignment(-held), strict=True):
                divided[people[row][0], frame] = masks[source, frame]
    return divided


def _nearest_person(
    mask: Bool[np.ndarray, "height width"], people: list[np.ndarray]
) -> Int[np.ndarray, " pixels"]:
    """Return for every true pixel which person has the nearest joint."""
    pixels = np.argwhere(mask)[:, ::-1]
    distance = [
        np.min([((pixels - joint) ** 2).sum(axis=1) for joint in xy], axis=0) for xy in people
    ]
    return np.argmin(distance, axis=0)


def _count(mask: Bool[np.ndarray, "height width"], xy: np.ndarray) -> int:
    """Count the joints that lie in a mask."""
    columns, rows = np.rint(xy).astype(int).T
    inside = (columns >= 0) & (rows >= 0) & (columns < mask.shape[1]) & (rows < mask.shape[0])
    return int(mask[rows[inside], columns[inside]].sum())
