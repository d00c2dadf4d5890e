"""Decode and encode frames: video files, GIFs, folders of pictures, NumPy archives."""

import re
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av.error import BlockingIOError as NoFrameYetError
from av.error import EOFError as EndOfStreamError
from av.error import FFmpegError
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from jaxtyping import UInt8

from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path, require_writable
from tpc_jax.io.images import IMAGE_SUFFIXES, read_image

DEFAULT_FPS = Fraction(25)
# A GIF shows its frames in hundredths of a second.
_GIF_TICKS = 100
# FFmpeg's fast colour conversion darkens by one grey level; this one has no bias.
_EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.FULL_CHR_H_INT
)


class Video(NamedTuple):
    """A clip held in memory.

    Attributes:
        frames: RGB pictures.
        fps: Frames per second, exact (NTSC rates are not decimal numbers).
    """

    frames: UInt8[np.ndarray, "frames height width 3"]
    fps: Fraction


def read_video(path: str | Path, fps: Fraction | float | int | None = None) -> Video:
    """Read every frame of a clip.

    Args:
        path: A video file of any container FFmpeg knows, a GIF, a folder of pictures of one
            size (taken in natural order of their names), or an `.npz` file with `frames`
            (uint8 `[frames, height, width, 3]`) and optionally `fps`.
        fps: Frame rate of a source that has none of its own; 25 by default.

    Returns:
        The frames and the frame rate. Frames are shown as a player would (rotation applied).

    Raises:
        UserError: If the path is missing, is not a video, is damaged or holds no frames.
    """
    path = Path(path)
    fallback = as_fps(fps) if fps is not None else DEFAULT_FPS
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the path")
    if path.is_dir():
        return Video(_read_folder(path), fallback)
    if path.suffix.lower() == ".npz":
        return _read_archive(path, fallback)
    return _read_container(path, fallback)


def write_video(
    path: str | Path,
    frames: UInt8[np.ndarray, "frames height width 3"],
    fps: Fraction | float | int,
    *,
    quality: int = 15,
) -> None:
    """Write a clip atomically, as H.264 that browsers play (`.mp4`, `.mov`) or as GIF.

    H.264 with halved colour planes needs even sizes: an odd one is extended by repeating the
    last row or column. A GIF's frame durations are rounded to hundredths of a second.

    Args:
        path: The output file; its suffix chooses the format.
        frames: RGB pictures, at least one.
        fps: Frames per second, kept exactly when given as a fraction.
        quality: H.264 constant rate factor, 0 (lossless) to 51; 15 is visually lossless.

    Raises:
        UserError: If the file cannot be written or the suffix is unknown.
        ValueError: If there are no frames.
    """
    path = Path(path)
    if len(frames) == 0:
        raise ValueError("frames must hold at least one picture, got none")
    encode = _encoder(path)
    with atomic_path(path) as partial:
        encode(partial, frames, as_fps(fps), quality)


def require_video_output(path: str | Path) -> None:
    """Find out before long work whether `write_video` will do.

    Raises:
        UserError: If nothing can be written there or the suffix is unknown.
    """
    _encoder(Path(path))
    require_writable(path)


def _encoder(path: Path):
    encoders = {".gif": _encode_gif, ".mp4": _encode_h264, ".mov": _encode_h264}
    if path.suffix.lower() not in encoders:
        raise UserError(f"{path}: unknown video suffix; use one of {', '.join(sorted(encoders))}")
    return encoders[path.suffix.lower()]


def as_fps(fps: Fraction | float | int) -> Fraction:
    """Turn a frame rate into an exact fraction; 29.97002997 becomes 30000/1001.

    Raises:
        ValueError: If the rate is not positive and finite.
    """
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps must be positive and finite, got {fps}")
    return fps if isinstance(fps, Fraction) else Fraction(fps).limit_denominator(1001)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key that puts `frame_10` after `frame_9`."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def _read_container(path: Path, fallback: Fraction) -> Video:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path}: holds no video stream; give a video of the motion")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            shown = [(frame.time, _to_rgb(frame)) for frame in container.decode(stream)]
            rate = stream.average_rate or stream.guessed_rate or fallback
            is_gif = container.format.name == "gif"
    except (FFmpegError, OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise UserError(
            f"{path}: cannot be read as a video ({reason}); re-encode it, for example to MP4"
        ) from error
    if not shown:
        raise UserError(f"{path}: holds no frames; export the clip again")
    times, frames = zip(*shown, strict=True)
    if any(frame.shape != frames[0].shape for frame in frames):
        raise UserError(f"{path}: the frame size changes midway; re-encode it to one size")
    if is_gif and len(times) > 1:
        # FFmpeg's own average counts rounded durations: 30 frames per second read as 33.3.
        rate = as_fps((len(times) - 1) / (times[-1] - times[0]))
    return Video(np.stack(frames), Fraction(rate))


def _to_rgb(frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
    rgb = frame.reformat(format="rgb24", interpolation=_EXACT).to_ndarray()
    # Phones record sideways and leave a note: FFmpeg's angle is anticlockwise degrees.
    return np.rot90(rgb, round(frame.rotation / 90))


def _read_folder(path: Path) -> UInt8[np.ndarray, "frames height width 3"]:
    files = [
        file
        for file in path.iterdir()
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]
    if not files:
        raise UserError(f"{path}: the folder holds no pictures; give PNG or JPEG frames")
    files.sort(key=natural_order)
    first = read_image(files[0])
    frames = np.empty((len(files), *first.shape), np.uint8)
    for index, file in enumerate(files):
        frame = read_image(file)
        if frame.shape != first.shape:
            raise UserError(
                f"{file}: {frame.shape[1]}x{frame.shape[0]} among frames of "
                f"{first.shape[1]}x{first.shape[0]}; bring all frames to one size"
            )
        frames[index] = frame
    return frames


def _read_archive(path: Path, fallback: Fraction) -> Video:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "frames" not in archive:
                raise UserError(f"{path}: has no array 'frames'; save one with np.savez")
            frames = archive["frames"]
            fps = float(archive["fps"]) if "fps" in archive else fallback
            fps = as_fps(fps)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: is not a readable NumPy archive; save it again") from error
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise UserError(
            f"{path}: 'frames' must be uint8 [frames, height, width, 3], "
            f"got {frames.dtype} {list(frames.shape)}; save RGB frames"
        )
    if 0 in frames.shape:
        raise UserError(f"{path}: holds no frames; save at least one")
    return Video(frames, fps)


def _encode_h264(
    path: Path, frames: UInt8[np.ndarray, "frames height width 3"], fps: Fraction, quality: int
) -> None:
    height, width = frames.shape[1:3]
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    options = {"crf": str(quality), "preset": "medium"}
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        # Untagged colours are guessed by the player from the size: say what they are.
        stream.codec_context.colorspace = Colorspace.ITU601
        stream.codec_context.color_range = ColorRange.MPEG
        for rgb in frames:
            frame = av.VideoFrame.from_ndarray(np.pad(rgb, padding, mode="edge"), format="rgb24")
            frame = frame.reformat(format="yuv420p", interpolation=_EXACT)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _encode_gif(
    path: Path, frames: UInt8[np.ndarray, "frames height width 3"], fps: Fraction, _quality: int
) -> None:
    height, width = frames.shape[1:3]
    tick = Fraction(1, _GIF_TICKS)
    rgb24 = av.VideoFormat("rgb24")
    graph = Graph()
    source = graph.add_buffer(width=width, height=height, format=rgb24, time_base=tick)
    split, palette = graph.add("split"), graph.add("palettegen")
    dither, sink = graph.add("paletteuse"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(dither, 1, 0)
    palette.link_to(dither, 0, 1)
    dither.link_to(sink)
    graph.configure()
    with av.open(str(path), "w", format="gif", options={"loop": "0"}) as container:
        stream = container.add_stream("gif", rate=fps)
        stream.height, stream.width, stream.pix_fmt = height, width, "pal8"
        stream.codec_context.time_base = tick
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts = round(index * _GIF_TICKS / fps)
            frame.time_base = tick
            source.push(frame)
        source.push(None)
        while True:
            try:
                frame = sink.pull()
            except (NoFrameYetError, EndOfStreamError):
                break
            container.mux(stream.encode(cast(av.VideoFrame, frame)))
        container.mux(stream.encode(None))
