"""Read what is animated and what moves it: a still, and a driving video of any kind."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.io.frame_folders import frame_names
from tpc_jax.io.images import read_image
from tpc_jax.io.keypoint_files import KeypointFile, read_keypoint_file
from tpc_jax.io.keypoints.loading import is_keypoint_file
from tpc_jax.io.keypoints.placing import Pictures
from tpc_jax.io.masks import fit_masks, read_mask
from tpc_jax.io.timing import follow
from tpc_jax.io.uv_files import is_uv, read_uv, render_uv
from tpc_jax.io.video import Video, choose_fps, read_video
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
from tpc_jax.pose.densepose_palettes import OtherDrawing, Variant
from tpc_jax.pose.dwpose import WholeBody, draw_whole_body, frame_of, whole_body
from tpc_jax.pose.masks import divide_masks, person_masks, read_masks
from tpc_jax.pose.matching import Cast
from tpc_jax.pose.openpose_decode import NOT_PURE, decode_skeleton, find_style
from tpc_jax.pose.openpose_pixels import Style
from tpc_jax.pose.plausibility import require_plausible
from tpc_jax.pose.skeletons import NUM_KEYPOINTS

# A drawn clip of more bytes is a mistake.
_MOST_BYTES = 1 << 33


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


class FoundPeople(NamedTuple):
    """Who is seen in pictures that come without keypoints.

    Attributes:
        keypoints: NumPy keypoints `[people frames 17]` in pixels; zero confidence for nobody.
        masks: Pixels of each person, if they are known.
        parts: DensePose part map of everybody, if it is known.
        people: The people with hands and faces, if these are known.
        is_followed: Whether a row is one person from first to last frame.
    """

    keypoints: Keypoints
    masks: Bool[np.ndarray, "people frames height width"] | None = None
    parts: UInt8[np.ndarray, "frames height width"] | None = None
    people: WholeBody | None = None
    is_followed: bool = False


# Finds the people of pictures `[frames height width 3]`, such as those of `detect.finders`.
PeopleFinder = Callable[[UInt8[np.ndarray, "frames height width 3"]], FoundPeople]


class Motion(NamedTuple):
    """A motion, ready to be matched with the reference people.

    Unless they were followed, people are in no particular order from frame to frame until
    `choose_people` finds out who is who; `masks` has them in the order of `keypoints`.

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
        is_followed: As in `FoundPeople`.
        sources: As in `Video`.
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
    is_followed: bool = False
    sources: Int[np.ndarray, " frames"] | None = None


def no_people(*frames: int) -> Keypoints:
    """Return the keypoints of nobody, `[0 17]` or `[0 frames 17]`."""
    shape = (0, *frames, NUM_KEYPOINTS)
    return Keypoints(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32))


def read_reference(
    image: str | Path,
    keypoints: str | Path | None = None,
    mask: str | Path | None = None,
    parts: str | Path | None = None,
    find_people: PeopleFinder | None = None,
) -> Reference:
    """Read a reference picture with the keypoints and the mask of its people.

    Args:
        image: Picture file.
        keypoints: Keypoint file of any known format; decoded from the part map if None, and without
            one that means no people.
        mask: Mask of all people together, as for `read_mask`; taken from the part map or drawn from
            the keypoints if None.
        parts: DensePose rendering of the picture, of the same size.
        find_people: Finds the people where there is neither a keypoint file nor a part map.

    Raises:
        UserError: A file is missing, unreadable or does not fit the picture, or what they hold
            cannot be people in it.
    """
    picture = read_image(image)
    size = picture.shape[:2]
    part_map = None if parts is None else _read_parts(parts, image, size)
    name, found = str(keypoints or parts or image), None
    if keypoints is not None:
        people = read_reference_keypoints(keypoints, size)
    elif part_map is not None:
        people = _people_from_parts(part_map[None])[0].select(np.s_[:, 0])
    elif find_people is not None:
        found = find_people(picture[None])
        _require_people(found.keypoints, image)
        people = found.keypoints.select(np.s_[:, 0])
        part_map = None if found.parts is None else found.parts[0]
    else:
        return Reference(picture, no_people(), np.zeros((0, *size), bool))
    clip = people.select(np.s_[:, None])
    if mask is not None:
        whole = fit_masks(read_mask(mask), size, mask, f"the reference {image}")
        masks = divide_masks(whole[None, None], clip)
    elif found is not None and found.masks is not None:
        masks = found.masks
    elif part_map is not None:
        masks = divide_masks((part_map > 0)[None, None], clip)
    else:
        require_plausible(name, clip, size)
        return Reference(picture, people, person_masks(people, size))
    require_plausible(name, clip, size, masks)
    return Reference(picture, people, masks[:, 0], part_map)


def _require_people(keypoints: Keypoints, path: str | Path) -> None:
    if not (np.asarray(keypoints.conf) > 0).any():
        raise UserError(
            f"{path}: shows nobody; give one in which a person is seen well, or keypoints"
        )


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
    parts_path: str | Path | None = None,
    fps: Fraction | float | int | None = None,
    find_people: PeopleFinder | None = None,
) -> Motion:
    """Read a driving video and find the people in it.

    Args:
        path: Video, GIF, folder of frames or NumPy archive, as for `read_video`; or a keypoint
            file that says the size of its pictures, which is drawn as a skeleton; or DensePose
            coordinates, as for `read_uv`.
        kind: What it shows; told from its colours by default.
        keypoints_path: Keypoints of every frame, in place of finding or decoding them.
        masks_path: Person masks of every frame: an `.npz` file with `masks` (or packed bits with
            `shape`), `[frames height width]` or `[people frames height width]`, or a video or
            folder in which people are white, labelled or cut out. Otherwise a DensePose rendering
            gives exact masks, a skeleton masks drawn with an average body, an RGB video those of
            the finder or none, coordinates one with everybody, but no keypoints.
        uv_path: DensePose coordinates of every frame, beside a rendering.
        parts_path: DensePose rendering of every frame, beside a video.
        fps: Frames per second of a source that has no rate of its own: a folder, an archive
            without one, a keypoint file, coordinates.
        find_people: Finds the people of a video that is no rendering and comes without keypoints.

    Returns:
        Frames, keypoints, masks, parts and coordinates.

    Raises:
        UserError: If a file is missing, damaged, of another kind than said, does not fit the
            video, cannot show people, or shows nobody in any frame; or an RGB video comes
            without keypoints and finder.
        ValueError: If the kind is unknown.
    """
    if kind not in (*get_args(MotionKind), "auto"):
        raise ValueError(f"kind must be one of {(*get_args(MotionKind), 'auto')}, got {kind!r}")
    uv = file = None
    if is_uv(path):
        uv = read_uv(path)
        video, kind = Video(render_uv(uv), choose_fps(path, None, fps)), "uv"
    elif is_keypoint_file(path):
        file, kind = read_keypoint_file(path), "openpose"
        video = Video(_draw_video(path, file), choose_fps(path, None, fps))
    else:
        video = read_video(path, fps)
    seen = _recognise(video.frames) if kind == "auto" else _Recognised(kind)
    shown, frames, shape = seen.kind, video.frames, video.frames.shape[:3]
    if keypoints_path is not None:
        file = _read_fitting_clip(keypoints_path, path, video)
    if uv_path is not None:
        uv = _read_fitting_uv(uv_path, video)
    if shown == "uv" and uv is None:
        raise UserError(f"{path}: holds no DensePose coordinates; give an .npy file or a folder")
    parts = None
    if shown == "densepose":
        parts, frames, coordinates = read_densepose(frames, str(path), seen.parts)
        uv = coordinates if uv is None else uv
    if parts_path is not None:
        parts = _read_fitting_parts(parts_path, video)
    if file is not None:
        keypoints = to_coco(file.points, file.layout)
        found = FoundPeople(keypoints, None, parts, whole_body(file.points, file.layout))
    else:
        found = _find_people(seen, frames, parts, str(path), find_people)
    keypoints, masks = found.keypoints, found.masks
    parts = found.parts if parts is None else parts
    if shown != "uv":
        _require_people(keypoints, path)
    if masks_path is not None:
        masks = divide_masks(read_masks(masks_path, shape, video.sources), keypoints)
    elif shown == "openpose":
        masks = person_masks(keypoints, shape[1:])
    elif masks is None and parts is not None:
        masks = divide_masks(parts[None] > 0, keypoints)
    elif file is not None and shown == "uv" and uv is not None:
        masks = divide_masks(np.any(uv > 0, axis=-1)[None], keypoints)
    require_plausible(str(keypoints_path or path), keypoints, shape[1:], masks)
    if seen.style is not None and seen.style.is_swapped:
        frames = np.ascontiguousarray(frames[..., ::-1])
    return Motion(
        frames, video.fps, shown, keypoints, masks, parts, found.people, uv,
        is_followed=found.is_followed, sources=video.sources,
    )  # fmt: skip


class _Recognised(NamedTuple):
    """What frames show, and how it is drawn.

    Attributes:
        kind: What they show.
        parts: How a DensePose rendering is painted.
        style: How skeletons are drawn.
        reason: Why they are no rendering.
        is_drawn: Whether they are drawn in some other way, not photographed.
    """

    kind: MotionKind
    parts: IUV | Variant | None = None
    style: Style | None = None
    reason: str = ""
    is_drawn: bool = False


def _find_people(
    seen: _Recognised,
    frames: UInt8[np.ndarray, "frames height width 3"],
    parts: UInt8[np.ndarray, "frames height width"] | None,
    name: str,
    find_people: PeopleFinder | None,
) -> FoundPeople:
    """Read the people from the frames themselves; their masks too where parts are known."""
    if seen.kind == "uv":
        return FoundPeople(no_people(len(frames)))
    if parts is not None:
        return FoundPeople(*_people_from_parts(parts))
    if seen.kind == "openpose":
        return FoundPeople(decode_skeleton(frames, name, seen.style))
    if find_people is None:
        raise UserError(
            f"{name}: is neither a DensePose nor a skeleton rendering{seen.reason}, so its people "
            "are unknown; give a keypoint file for it"
        )
    if seen.is_drawn:
        raise UserError(
            f"{name}: looks like a drawing of another kind{seen.reason}; give the video itself, a "
            "keypoint file for it, or --driving-kind rgb to look for people in it all the same"
        )
    return find_people(frames)


def _read_fitting_clip(path: str | Path, video_path: str | Path, video: Video) -> KeypointFile:
    """Read keypoints of the frames as they are stored, and carry them to those of the clip."""
    # Files of coordinates are no pictures that keypoints are named after.
    is_folder = Path(video_path).is_dir() and not is_uv(video_path)
    names = frame_names(Path(video_path)) if is_folder else []
    pictures = Pictures(
        video.frames.shape[1:3], video.num_stored, names, str(video_path), video.stored_size
    )
    file = read_keypoint_file(path, pictures)
    return file._replace(points=follow(file.points, video.sources, 1))


def _read_fitting_parts(path: str | Path, video: Video) -> UInt8[np.ndarray, "frames height width"]:
    frames = follow(read_video(path, video.fps).frames, video.sources, 0)
    if frames.shape != video.frames.shape:
        raise UserError(
            f"{path}: has {len(frames)} frames of {frames.shape[2]}x{frames.shape[1]} pixels, the "
            f"motion {len(video.frames)} of {video.frames.shape[2]}x{video.frames.shape[1]}; "
            "render the same video"
        )
    return decode_parts(frames, str(path))


def _read_fitting_uv(path: str | Path, video: Video):
    shape, uv = video.frames.shape[:3], follow(read_uv(path), video.sources, 0)
    if uv.shape[:3] != shape:
        raise UserError(
            f"{path}: coordinates have shape {list(uv.shape[:3])} (frames, height, width), the "
            f"motion has {list(shape)}; make both from one video"
        )
    return uv


def read_keypoints(
    path: str | Path, size: tuple[int, int] | None = None, num_frames: int | None = None
) -> Keypoints:
    """Read a keypoint file of any known format as COCO-17.

    Args:
        path: The file, or a folder with one file per frame.
        size: (height, width) of the pictures it belongs to, in whose pixels the points come.
        num_frames: How many pictures there are.

    Returns:
        NumPy keypoints `[people frames 17]` in pixels.

    Raises:
        UserError: As for `read_keypoint_file`.
    """
    file = read_keypoint_file(path, Pictures(size and (size[0], size[1]), num_frames))
    return to_coco(file.points, file.layout)


def _draw_video(path: str | Path, file: KeypointFile) -> UInt8[np.ndarray, "frames height width 3"]:
    """Draw all people of a keypoint file."""
    if file.size is None:
        raise UserError(
            f"{path}: does not say the size of its pictures; add width and height to it, or give "
            "the video and this file as its keypoints"
        )
    people = whole_body(file.points, file.layout)
    count, (height, width) = file.points.shape[1], file.size
    if (bytes_needed := 3 * count * height * width) > _MOST_BYTES:
        raise UserError(
            f"{path}: {count} frames of {width}x{height} pixels would take "
            f"{bytes_needed / 1e9:.0f} GB of memory; state a smaller size or cut the clip"
        )
    frames = range(count)
    return np.stack([draw_whole_body(frame_of(people, i), height, width) for i in frames])


def read_reference_keypoints(path: str | Path, size: tuple[int, int] | None = None) -> Keypoints:
    """Read the keypoints of one picture, as COCO-17 `[people 17]`.

    Raises:
        UserError: As for `read_keypoints`, or if the file holds several frames.
    """
    return read_keypoints(path, size, num_frames=1).select(np.s_[:, 0])


def _recognise(frames: UInt8[np.ndarray, "frames height width 3"]) -> _Recognised:
    parts = recognise_densepose(frames)
    if not isinstance(parts, str):
        return _Recognised("densepose", parts=parts)
    style = find_style(frames)
    if not isinstance(style, str):
        return _Recognised("openpose", style=style)
    reason = f" (not DensePose: {parts}; not a skeleton: {style})"
    is_drawn = isinstance(parts, OtherDrawing) or style not in NOT_PURE
    return _Recognised("rgb", reason=reason, is_drawn=is_drawn)


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
