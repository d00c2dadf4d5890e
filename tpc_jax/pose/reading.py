"""Read what is animated and what moves it: a still, and a driving video of any kind."""

from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.io.images import read_image, read_mask
from tpc_jax.io.keypoint_files import KeypointFile, read_keypoint_file
from tpc_jax.io.uv_files import is_uv, read_uv, render_uv
from tpc_jax.io.video import DEFAULT_FPS, Video, read_video
from tpc_jax.options import MotionKind
from tpc_jax.pose.adapters import to_coco
from tpc_jax.pose.densepose import (
    decode_parts,
    read_densepose,
    recognise_densepose,
    split_people,
)
from tpc_jax.pose.densepose_iuv import IUV
from tpc_jax.pose.densepose_keypoints import keypoints_from_parts
from tpc_jax.pose.densepose_palettes import Variant
from tpc_jax.pose.dwpose import WholeBody, draw_whole_body, frame_of, whole_body
from tpc_jax.pose.masks import divide_masks, person_masks, read_masks
from tpc_jax.pose.matching import Cast
from tpc_jax.pose.openpose_decode import decode_skeleton, find_style
from tpc_jax.pose.openpose_pixels import Style
from tpc_jax.pose.skeletons import NUM_KEYPOINTS


class Reference(NamedTuple):
    """The still that gives identity.

    Attributes:
        image: RGB picture.
        keypoints: NumPy keypoints of its people `[people 17]` in pixels.
        masks: Where each of them is; of people without keypoints one mask with everybody, or none.
        parts: DensePose part map, if it is known.
    """

    image: UInt8[np.ndarray, "height width 3"]
    keypoints: Keypoints
    masks: Bool[np.ndarray, "people height width"]
    parts: UInt8[np.ndarray, "height width"] | None = None


class Motion(NamedTuple):
    """A motion, ready to be matched with the reference people.

    People are in no particular order from frame to frame until `choose_people` finds out who is
    who; `masks` has them in the order of `keypoints`.

    Attributes:
        frames: The video itself, RGB.
        fps: Frames per second.
        kind: What the frames show.
        keypoints: NumPy keypoints `[people frames 17]` in pixels; zero confidence for nobody.
        masks: Pixels of each person, if they are known; of people without keypoints one mask with
            everybody.
        parts: DensePose part map, if it is known.
        people: The people as their file has them, with hands and faces; `[people frames ...]`.
        uv: DensePose coordinates in [0, 1] of every pixel, if they are known.
        cast: Who moves whom, where `choose_people` left nobody but those who move the people of a
            reference, in its order.
    """

    frames: UInt8[np.ndarray, "frames height width 3"]
    fps: Fraction
    kind: MotionKind
    keypoints: Keypoints
    masks: Bool[np.ndarray, "people frames height width"] | None
    parts: UInt8[np.ndarray, "frames height width"] | None
    people: WholeBody | None = None
    uv: Float[np.ndarray, "frames height width 2"] | None = None
    cast: Cast | None = None


def no_people(*frames: int) -> Keypoints:
    """Return the keypoints of nobody, `[0 17]` or `[0 frames 17]`."""
    shape = (0, *frames, NUM_KEYPOINTS)
    return Keypoints(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32))


def read_reference(
    image: str | Path,
    keypoints: str | Path | None = None,
    mask: str | Path | None = None,
    parts: str | Path | None = None,
) -> Reference:
    """Read a reference picture with the keypoints and the mask of its people.

    Args:
        image: Picture file.
        keypoints: Keypoint file of any known format; decoded from the part map if None, and without
            one that means no people.
        mask: Mask of all people together; taken from the part map or drawn from the keypoints if
            None.
        parts: DensePose rendering of the picture, of the same size.

    Raises:
        UserError: A file is missing, unreadable or does not fit the picture.
    """
    picture = read_image(image)
    size = picture.shape[:2]
    part_map = None if parts is None else _read_parts(parts, image, size)
    if keypoints is not None:
        people = read_reference_keypoints(keypoints, size)
    elif part_map is not None:
        people = _people_from_parts(part_map[None])[0].select(np.s_[:, 0])
    else:
        return Reference(picture, no_people(), np.zeros((0, *size), bool))
    if mask is not None:
        whole = read_mask(mask)
        _require_size(mask, whole.shape, image, size)
    elif part_map is not None:
        whole = part_map > 0
    else:
        return Reference(picture, people, person_masks(people, size))
    masks = divide_masks(whole[None, None], people.select(np.s_[:, None]))[:, 0]
    return Reference(picture, people, masks, part_map)


def _read_parts(path: str | Path, image: str | Path, size: tuple[int, int]):
    rendering = read_image(path)
    _require_size(path, rendering.shape[:2], image, size)
    return decode_parts(rendering[None], str(path))[0]


def _require_size(path, found: tuple[int, ...], image, size: tuple[int, int]) -> None:
    if found != size:
        raise UserError(
            f"{path}: is {found[1]}x{found[0]} pixels but the reference {image} is "
            f"{size[1]}x{size[0]}; give one of the same size"
        )


def read_motion(
    path: str | Path,
    kind: MotionKind | Literal["auto"] = "auto",
    *,
    keypoints_path: str | Path | None = None,
    masks_path: str | Path | None = None,
    uv_path: str | Path | None = None,
) -> Motion:
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
    if kind not in (*get_args(MotionKind), "auto"):
        raise ValueError(f"kind must be one of {(*get_args(MotionKind), 'auto')}, got {kind!r}")
    people = parts = masks = keypoints = uv = None
    if is_uv(path):
        uv = read_uv(path)
        video, kind = Video(render_uv(uv), DEFAULT_FPS), "uv"
    elif _is_keypoint_file(Path(path)):
        video, keypoints_path, kind = _draw_video(path), path, "openpose"
    else:
        video = read_video(path)
    seen = _recognise(video.frames) if kind == "auto" else _Recognised(kind)
    found, frames = seen.kind, video.frames
    if keypoints_path is not None:
        file = _read_fitting_clip(keypoints_path, path, video)
        keypoints = to_coco(file.points, file.layout)
        people = whole_body(file.points, file.layout)
    elif found == "rgb":
        raise UserError(
            f"{path}: is neither a DensePose nor a skeleton rendering{seen.reason}, so its people "
            "are unknown; give a keypoint file for it"
        )
    if uv_path is not None:
        uv = _read_fitting_uv(uv_path, video.frames.shape[:3])
    if found == "uv" and uv is None:
        raise UserError(f"{path}: holds no DensePose coordinates; give an .npy file or a folder")
    if found == "densepose":
        parts, frames, coordinates = read_densepose(video.frames, str(path), seen.parts)
        uv = coordinates if uv is None else uv
    if keypoints is None:
        keypoints, masks = _find_people(found, video.frames, parts, str(path), seen.style)
    elif parts is not None:
        masks = divide_masks(parts[None] > 0, keypoints)
    elif found == "uv" and uv is not None:
        masks = divide_masks(np.any(uv > 0, axis=-1)[None], keypoints)
    if found != "uv" and not (np.asarray(keypoints.conf) > 0).any():
        raise UserError(f"{path}: shows nobody in any frame; give a video with a person in it")
    if masks_path is not None:
        masks = divide_masks(read_masks(masks_path, video.frames.shape[:3]), keypoints)
    elif found == "openpose":
        masks = person_masks(keypoints, video.frames.shape[1:3])
    if seen.style is not None and seen.style.is_swapped:
        frames = np.ascontiguousarray(video.frames[..., ::-1])
    return Motion(frames, video.fps, found, keypoints, masks, parts, people, uv)


def _find_people(
    kind: MotionKind,
    frames: np.ndarray,
    parts: np.ndarray | None,
    name: str,
    style: Style | None,
) -> tuple[Keypoints, Bool[np.ndarray, "people frames height width"] | None]:
    """Read the people from the frames themselves; their masks too where parts are known."""
    if kind == "uv":
        return no_people(len(frames)), None
    if parts is not None:
        return _people_from_parts(parts)
    return decode_skeleton(frames, name, style), None


def _read_fitting_clip(path: str | Path, video_path: str | Path, video: Video) -> KeypointFile:
    file = _read_fitting(path, video.frames.shape[1:3])
    if file.points.shape[1] != len(video.frames):
        raise UserError(
            f"{path}: holds {file.points.shape[1]} frames, {video_path} has {len(video.frames)}; "
            "give one entry per frame"
        )
    return file


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
        NumPy keypoints `[people frames 17]` in pixels.

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
    frames = range(file.points.shape[1])
    drawn = [draw_whole_body(frame_of(people, frame), *file.size) for frame in frames]
    return Video(np.stack(drawn), DEFAULT_FPS)


def read_reference_keypoints(path: str | Path, size: tuple[int, int] | None = None) -> Keypoints:
    """Read the keypoints of one picture, as COCO-17 `[people 17]`.

    Raises:
        UserError: As for `read_keypoints`, or if the file holds several frames.
    """
    keypoints = read_keypoints(path, size)
    num_frames = keypoints.conf.shape[1]
    if num_frames != 1:
        raise UserError(f"{path}: holds {num_frames} frames; give the keypoints of one picture")
    return keypoints.select(np.s_[:, 0])


class _Recognised(NamedTuple):
    """What frames show, and how it is drawn.

    Attributes:
        kind: What they show.
        parts: How a DensePose rendering is painted.
        style: How skeletons are drawn.
        reason: Why they are no rendering.
    """

    kind: MotionKind
    parts: IUV | Variant | None = None
    style: Style | None = None
    reason: str = ""


def _recognise(frames: UInt8[np.ndarray, "frames height width 3"]) -> _Recognised:
    parts = recognise_densepose(frames)
    if not isinstance(parts, str):
        return _Recognised("densepose", parts=parts)
    style = find_style(frames)
    if not isinstance(style, str):
        return _Recognised("openpose", style=style)
    return _Recognised("rgb", reason=f" (not DensePose: {parts}; not a skeleton: {style})")


def _people_from_parts(
    parts: UInt8[np.ndarray, "frames height width"],
) -> tuple[Keypoints, Bool[np.ndarray, "people frames height width"]]:
    per_frame = [split_people(frame) for frame in parts]
    num_people = max(1, *map(len, per_frame))
    xy = np.zeros((num_people, len(parts), NUM_KEYPOINTS, 2), np.float32)
    conf = np.zeros((num_people, len(parts), NUM_KEYPOINTS), np.float32)
    masks = np.zeros((num_people, *parts.shape), bool)
    for frame, people in enumerate(per_frame):
        for person, mask in enumerate(people):
            found = keypoints_from_parts(parts[frame], mask)
            xy[person, frame], conf[person, frame] = found
            masks[person, frame] = mask
    return Keypoints(xy, conf), masks
