"""Decode and encode frames: video files, GIFs, folders of pictures, NumPy archives."""

import os
import struct
import tokenize
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av.error import BlockingIOError as NoFrameYetError
from av.error import EOFError as EndOfStreamError
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import Int, UInt8

from tpc_jax.errors import UserError, warn
from tpc_jax.io.atomic import atomic_path, require_writable
from tpc_jax.io.decoding import EXACT, Decoded, decode_video
from tpc_jax.io.frame_folders import read_folder
from tpc_jax.io.images import is_still, read_image
from tpc_jax.io.timing import Timing, as_fps, find_timing

DEFAULT_FPS = Fraction(25)
# A GIF shows its frames in hundredths of a second.
_GIF_TICKS = 100
# Rates that differ by less, relatively, are one: 29.97 written for 30000/1001.
_NEAR = 0.001
# What NumPy raises on damaged archives.
ARCHIVE_ERRORS = (
    AttributeError, EOFError, KeyError, NotImplementedError, OSError, OverflowError, SyntaxError,
    TypeError, ValueError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class Video(NamedTuple):
    """A clip held in memory.

    Attributes:
        frames: RGB pictures.
        fps: Frames per second, exact (NTSC rates are not decimal numbers).
        sources: Number of the stored frame that each one shows, where unevenly spaced frames were
            spread at a constant rate; None if they are the stored ones, one for one.
        stored_size: (height, width) of the pictures in the file, where its pixels are not square;
            None if they are. Frames have square pixels.
    """

    frames: UInt8[np.ndarray, "frames height width 3"]
    fps: Fraction
    sources: Int[np.ndarray, " frames"] | None = None
    stored_size: tuple[int, int] | None = None

    @property
    def num_stored(self) -> int:
        """Number of frames in the file."""
        return len(self.frames) if self.sources is None else int(self.sources[-1]) + 1


def read_video(path: str | Path, fps: Fraction | float | int | None = None) -> Video:
    """Read every frame of a clip, and say what was assumed.

    Args:
        path: A video file of any container FFmpeg knows, a GIF, a picture, a folder of pictures of
            one size (taken in natural order of their names), or an `.npz` file with `frames`
            (uint8 `[frames, height, width, 3]`) and optionally `fps`.
        fps: Frame rate of a source that has none of its own; 25 by default, which is said.

    Returns:
        The frames and the frame rate. Frames are shown as a player would: turned and mirrored,
        with square pixels, transparency over black, at a constant rate.

    Raises:
        UserError: If the path is missing, is not a video, is damaged or holds no frames; or `fps`
            is given and the source has another rate.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file or folder; check the path")
    if path.is_dir():
        return Video(read_folder(path), choose_fps(path, None, fps))
    if path.suffix.lower() == ".npz":
        frames, own = _read_archive(path)
        return Video(frames, choose_fps(path, own, fps))
    if is_still(path):
        return Video(read_image(path)[None], choose_fps(path, None, fps))
    decoded = decode_video(path)
    rate = choose_fps(path, decoded.fps, fps)
    frames, timing = decoded.frames, spread(path, decoded, rate)
    if timing.sources is not None:
        frames = frames[timing.sources]
    return Video(frames, timing.fps, timing.sources, decoded.stored_size)


def choose_fps(
    path: str | Path, own: Fraction | None, fps: Fraction | float | int | None
) -> Fraction:
    """Return the rate of a source: its own, or the given one, or 25, which is said.

    Raises:
        UserError: A rate is given and the source has another.
    """
    if own is None and fps is None:
        warn(f"{path}: has no frame rate; {DEFAULT_FPS} per second are assumed, --fps changes it")
        return DEFAULT_FPS
    given = None if fps is None else as_fps(fps)
    if own is None or given is None:
        return cast(Fraction, own if given is None else given)
    if abs(given / own - 1) > _NEAR:
        raise UserError(
            f"{path}: has {float(own):.5g} frames per second of its own, not {float(given):.5g}; "
            "leave --fps out, it is for folders and files without a rate"
        )
    return own


def spread(path: Path, decoded: Decoded, fps: Fraction) -> Timing:
    """Return how frames are spread at a constant rate, and say so."""
    if decoded.times is None or decoded.fps is None:
        return Timing(fps)
    try:
        timing = find_timing(decoded.times, fps, decoded.tick)
    except ValueError as error:
        raise UserError(f"{path}: {error}; re-encode it at a constant rate") from error
    if timing.sources is not None:
        num_read, num_shown = len(decoded.times), len(timing.sources)
        num_lost = num_read - len(np.unique(timing.sources))
        lost = f", {num_lost} shorter ones are left out" if num_lost else ""
        warn(
            f"{path}: has a variable frame rate; its {num_read} frames become {num_shown} at "
            f"{float(timing.fps):.5g} per second, as players show them{lost}"
        )
    return timing


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


def _read_archive(
    path: Path,
) -> tuple[UInt8[np.ndarray, "frames height width 3"], Fraction | None]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "frames" not in archive:
                raise UserError(f"{path}: has no array 'frames'; save one with np.savez")
            frames = archive["frames"]
            fps = as_fps(float(archive["fps"])) if "fps" in archive else None
    except ARCHIVE_ERRORS as error:
        raise UserError(f"{path}: is not a readable NumPy archive; save it again") from error
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise UserError(
            f"{path}: 'frames' must be uint8 [frames, height, width, 3], "
            f"got {frames.dtype} {list(frames.shape)}; save RGB frames"
        )
    if 0 in frames.shape:
        raise UserError(f"{path}: holds no frames; save at least one")
    return frames, fps


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
            frame = frame.reformat(format="yuv420p", interpolation=EXACT)
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
