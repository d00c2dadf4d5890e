"""Read what moves: a driving video of any kind, as keypoints, person masks and part maps."""

import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.optimize import linear_sum_assignment

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.io.keypoint_files import KeypointFile, read_keypoint_file
from tpc_jax.io.uv_files import is_uv, read_uv, render_uv
from tpc_jax.io.video import DEFAULT_FPS, Video, read_video
from tpc_jax.pose.adapters import to_coco
from tpc_jax.pose.body_model import capsule_mask
from tpc_jax.pose.densepose import decode_parts, is_densepose, split_people
from tpc_jax.pose.densepose_keypoints import keypoints_from_parts
from tpc_jax.pose.dwpose import WholeBody, draw_whole_body, frame_of, whole_body
from tpc_jax.pose.openpose import is_skeleton
from tpc_jax.pose.openpose_decode import decode_skeleton

Kind = Literal["densepose", "openpose", "rgb", "uv"]

_MASK_THRESHOLD = 127


class Driving(NamedTuple):
    """A motion, ready to be matched with the reference people.

    People are in no particular order from frame to frame (`pose.matching` finds out who is who);
    `masks` has them in the order of `keypoints`.

    Attributes:
        frames: The video itself, RGB.
        fps: Frames per second.
        kind: What the frames show.
        keypoints: NumPy keypoints `[frames people 17]` in pixels; zero confidence for nobody.
        masks: Pixels of each person, if they are known.
        parts: DensePose part map, for a DensePose rendering.
        people: The people as their file has them, with hands and faces; `[frames people ...]`.
        uv: DensePose coordinates in [0, 1] of every pixel, if they are known.
    """

    frames: UInt8[np.ndarray, "frames height width 3"]
    fps: Fraction
    kind: Kind
    keypoints: Keypoints
    masks: Bool[np.ndarray, "people frames height width"] | None
    parts: UInt8[np.ndarray, "frames height width"] | None
    people: WholeBody | None = None
    uv: Float[np.ndarray, "frames height width 2"] | None = None


def read_driving(
    path: str | Path,
    kind: Kind | Literal["auto"] = "auto",
    *,
    keypoints_path: str | Path | None = None,
    masks_path: str | Path | None = None,
    uv_path: str | Path | None = None,
) -> Driving:
    """Read a driving video and find the people in it.

    Args:
        path: Video, GIF, folder of frames or NumPy archive, as for `read_video`; or a keypoint
            file that says the size of its pictures, which is drawn as a skeleton; or DensePose
            coordinates, as for `read_uv`.
        kind: What it shows; told from its colours by default.
        keypoints_path: Keypoints of every frame; needed for RGB, otherwise in place of decoding.
        masks_path: Person masks of every frame: an `.npz` file with `masks` (boolean, or packed
            bits with `shape`), `[frames height width]` or `[people frames height width]`, or a
            video or folder in which people are white. Otherwise a DensePose rendering gives exact
            masks, a skeleton masks drawn with an average body, an RGB video none. Coordinates
            give one mask with everybody, but no keypoints.
        uv_path: DensePose coordinates of every frame, beside a rendering.

    Returns:
        Frames, keypoints, masks, parts and coordinates.

    Raises:
        UserError: If a file is missing, damaged, of another kind than said, does not fit the
            video, or shows nobody in any frame; or an RGB video comes without keypoints.
        ValueError: If the kind is unknown.
    """
    if kind not in (*get_args(Kind), "auto"):
        raise ValueError(f"kind must be one of {(*get_args(Kind), 'auto')}, got {kind!r}")
    people = parts = masks = keypoints = uv = None
    if is_uv(path):
        uv = read_uv(path)
        video, kind = Video(render_uv(uv), DEFAULT_FPS), "uv"
    elif _is_keypoint_file(Path(path)):
        video, keypoints_path, kind = _draw_video(path), path, "openpose"
    else:
        video = read_video(path)
    name, size = str(path), video.frames.shape[1:3]
    found = _recognise(video.frames) if kind == "auto" else kind
    if keypoints_path is not None:
        file = _read_fitting(keypoints_path, size)
        keypoints = to_coco(file.points, file.layout)
        people = whole_body(file.points, file.layout)
        if len(keypoints.conf) != len(video.frames):
            raise UserError(
                f"{keypoints_path}: holds {len(keypoints.conf)} frames, {path} has "
                f"{len(video.frames)}; give one entry per frame"
            )
    elif found == "rgb":
        raise UserError(
            f"{path}: is neither a DensePose nor a skeleton rendering, so its people are unknown; "
            "give a keypoint file for it"
        )
    if uv_path is not None:
        uv = _read_fitting_uv(uv_path, video.frames.shape[:3])
    if found == "densepose":
        parts = decode_parts(video.frames, name)
        if keypoints is None:
            keypoints, masks = _people_from_parts(parts)
        else:
            masks = divide_masks(parts[None] > 0, keypoints)
    elif found == "uv":
        if keypoints is None:
            nobody = (len(video.frames), 0, 17)
            keypoints = Keypoints(np.zeros((*nobody, 2), np.float32), np.zeros(nobody, np.float32))
        else:
            masks = divide_masks((uv > 0).any(-1)[None], keypoints)
    elif keypoints is None:
        keypoints = decode_skeleton(video.frames, name)
    if found != "uv" and not (np.asarray(keypoints.conf) > 0).any():
        raise UserError(f"{path}: shows nobody in any frame; give a video with a person in it")
    if masks_path is not None:
        masks = divide_masks(read_masks(masks_path, video.frames.shape[:3]), keypoints)
    elif found == "openpose":
        masks = _draw_masks(keypoints, size)
    return Driving(video.frames, video.fps, found, keypoints, masks, parts, people, uv)


def _read_fitting_uv(path: str | Path, shape: tuple[int, int, int]):
    uv = read_uv(path)
    if uv.shape[:3] != shape:
        raise UserError(
            f"{path}: coordinates have shape {list(uv.shape[:3])} (frames, height, width), the "
            f"motion has {list(shape)}; make both from one video"
        )
    return uv


def read_keypoints(path: str | Path, size: tuple[int, int] | None = None) -> Keypoints:
    """Read a keypoint file of any known format as COCO-17.

    Args:
        path: The file, or the folder of OpenPose files.
        size: (height, width) of the picture it belongs to, compared with what the file says.

    Returns:
        NumPy keypoints `[frames people 17]` in pixels.

    Raises:
        UserError: As for `read_keypoint_file`, or if the file was made for another size.
    """
    file = _read_fitting(path, size)
    return to_coco(file.points, file.layout)


def _read_fitting(path: str | Path, size: tuple[int, int] | None) -> KeypointFile:
    file = read_keypoint_file(path)
    if size is not None and file.size is not None and file.size != tuple(size):
        raise UserError(
            f"{path}: was annotated on {file.size[1]}x{file.size[0]} pixels, the picture has "
            f"{size[1]}x{size[0]}; annotate that picture"
        )
    return file


def _is_keypoint_file(path: Path) -> bool:
    """Tell keypoints from pictures: a JSON file, or a folder that holds such files only."""
    if path.is_dir():
        names = [entry.suffix.lower() for entry in path.iterdir()]
        return bool(names) and set(names) == {".json"}
    return path.suffix.lower() == ".json"


def _draw_video(path: str | Path) -> Video:
    """Draw all people of a keypoint file."""
    file = read_keypoint_file(path)
    if file.size is None:
        raise UserError(
            f"{path}: does not say the size of its pictures; add width and height to it, or give "
            "the video and this file as its keypoints"
        )
    people = whole_body(file.points, file.layout)
    frames = [
        draw_whole_body(frame_of(people, index), *file.size) for index in range(len(file.points))
    ]
    return Video(np.stack(frames), DEFAULT_FPS)


def read_reference_keypoints(path: str | Path, size: tuple[int, int] | None = None) -> Keypoints:
    """Read the keypoints of one picture, as COCO-17 `[people 17]`.

    Raises:
        UserError: As for `read_keypoints`, or if the file holds several frames.
    """
    keypoints = read_keypoints(path, size)
    if len(keypoints.conf) != 1:
        raise UserError(
            f"{path}: holds {len(keypoints.conf)} frames; give the keypoints of one picture"
        )
    return Keypoints(keypoints.xy[0], keypoints.conf[0])


def read_masks(
    path: str | Path, shape: tuple[int, int, int]
) -> Bool[np.ndarray, "people frames height width"]:
    """Read the person masks of a clip.

    Args:
        path: As `masks_path` of `read_driving`.
        shape: (frames, height, width) of the clip.

    Returns:
        Masks; a file with one mask per frame gives one person.

    Raises:
        UserError: If the file is missing, damaged or of another shape.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz" and path.is_file():
        masks = _masks_from_archive(path)
    else:
        masks = read_video(path).frames.max(axis=-1) > _MASK_THRESHOLD
    masks = masks[None] if masks.ndim == 3 else masks
    if masks.ndim != 4 or masks.shape[1:] != tuple(shape):
        raise UserError(
            f"{path}: masks have shape {list(masks.shape[-3:])} (frames, height, width), the "
            f"video has {list(shape)}; give one mask per frame"
        )
    return masks


def divide_masks(
    masks: Bool[np.ndarray, "sources frames height width"], keypoints: Keypoints
) -> Bool[np.ndarray, "people frames height width"]:
    """Give every detected person of every frame its mask.

    Args:
        masks: Several masks per frame, one person each in any order; or one with everybody.
        keypoints: NumPy keypoints `[frames people 17]`.

    Returns:
        Masks in the order of the people. One mask with everybody is divided by the nearest joint;
        several are assigned so that they hold as many joints of their person as possible.
    """
    num_frames, num_people = keypoints.conf.shape[:2]
    if len(masks) == num_people == 1:
        return masks
    divided = np.zeros((num_people, *masks.shape[1:]), bool)
    for frame in range(num_frames):
        people = [
            (person, np.asarray(keypoints.xy[frame, person])[keypoints.conf[frame, person] > 0])
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


def _recognise(frames: UInt8[np.ndarray, "frames height width 3"]) -> Kind:
    sample = frames[:: max(1, len(frames) // 8)]
    if is_densepose(sample):
        return "densepose"
    return "openpose" if is_skeleton(sample) else "rgb"


def _people_from_parts(
    parts: UInt8[np.ndarray, "frames height width"],
) -> tuple[Keypoints, Bool[np.ndarray, "people frames height width"]]:
    per_frame = [split_people(frame) for frame in parts]
    num_people = max(1, *map(len, per_frame))
    xy = np.zeros((len(parts), num_people, 17, 2), np.float32)
    conf = np.zeros((len(parts), num_people, 17), np.float32)
    masks = np.zeros((num_people, *parts.shape), bool)
    for index, people in enumerate(per_frame):
        for person, mask in enumerate(people):
            xy[index, person], conf[index, person] = keypoints_from_parts(parts[index], mask)
            masks[person, index] = mask
    return Keypoints(xy, conf), masks


def _draw_masks(
    keypoints: Keypoints, size: tuple[int, int]
) -> Bool[np.ndarray, "people frames height width"]:
    num_frames, num_people = keypoints.conf.shape[:2]
    masks = np.zeros((num_people, num_frames, *size), bool)
    for frame in range(num_frames):
        for person in range(num_people):
            one = Keypoints(keypoints.xy[frame, person], keypoints.conf[frame, person])
            masks[person, frame] = capsule_mask(one, *size)
    return masks


def _masks_from_archive(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "masks" not in archive:
                raise UserError(f"{path}: has no array 'masks'; save one with np.savez")
            masks = archive["masks"]
            if "shape" in archive:
                shape = tuple(int(length) for length in archive["shape"])
                masks = np.unpackbits(masks, axis=-1)[..., : shape[-1]].reshape(shape)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: is not a readable archive of masks; save it again") from error
    return masks > 0


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
