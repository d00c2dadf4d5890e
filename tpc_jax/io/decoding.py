"""Decode video files as players show them: chosen stream, transparency, turns, pixel shape."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av.error import FFmpegError
from av.format import Flags
from av.stream import Disposition
from av.video.reformatter import Interpolation
from jaxtyping import UInt8

from tpc_jax.errors import UserError, warn
from tpc_jax.io.images import over
from tpc_jax.io.timing import as_fps

# FFmpeg's fast colour conversion darkens by one grey level; this one has no bias.
EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.FULL_CHR_H_INT
)
_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
# FFmpeg's own decoders of these leave out the transparency, which is a second picture beside.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Transfer functions of high dynamic range, by their number in ITU-T H.273.
_HDR = {16: "PQ", 18: "HLG"}
# Widths that differ by less were only rounded to even numbers.
_LEAST_WIDENING = 2
_MOST_STRETCH = 4
# Part of a turn that is rounding.
_OBLIQUE = 0.02


class Decoded(NamedTuple):
    """The frames of a file, in the order in which they are shown.

    Attributes:
        frames: RGB over black, or RGBA if asked for and there.
        times: When each is shown, in seconds; None if the file does not say.
        tick: Resolution of the times in seconds.
        fps: What the file says its rate is, if it does.
        is_lossy: Whether levels may differ from those that were written.
        stored_size: (height, width) of the pictures before pixels were made square, if they
            were not; turned as the frames are.
    """

    frames: UInt8[np.ndarray, "frames height width channels"]
    times: list[float] | None
    tick: float
    fps: Fraction | None
    is_lossy: bool
    stored_size: tuple[int, int] | None


class _Faults:
    """What went wrong while a file was decoded."""

    def __init__(self):
        self.num_packets = 0
        self.num_damaged = 0
        self.num_discarded = 0


def decode_video(path: Path, *, keep_alpha: bool = False) -> Decoded:
    """Decode every frame of a video file, and say what is odd about it.

    Args:
        path: File of any container FFmpeg knows.
        keep_alpha: Return RGBA where there is transparency, not the picture over black.

    Raises:
        UserError: It is no video, or nothing of it can be decoded.
    """
    faults = _Faults()
    try:
        with av.open(str(path)) as container:
            stream = _choose_stream(path, container)
            stream.thread_type = "AUTO"
            width, tick = _square_width(path, stream), stream.time_base or Fraction(0)
            frames, times, kinds, end, last = [], [], set(), 0.0, None
            for frame in _decode(container, stream, faults):
                frames.append(_picture(frame, width, keep_alpha))
                times.append(None if frame.pts is None else float(frame.pts * tick))
                end = float(((frame.pts or 0) + (frame.duration or 0)) * tick)
                kinds |= _oddities(frame)
                faults.num_damaged += frame.is_corrupt
                last = frame
            if last is None:
                raise UserError(f"{path}: holds no frames that can be read; export it again")
            if any(frame.shape != frames[0].shape for frame in frames):
                raise UserError(f"{path}: the frame size changes midway; re-encode it to one size")
            _say_faults(path, container, stream, faults, len(frames), end)
            for kind in sorted(kinds):
                warn(f"{path}: {kind}")
            is_known = None not in times
            return Decoded(
                np.stack(frames),
                times if is_known else None,
                float(tick),
                _rate(container, stream, times) if is_known else None,
                stream.codec_context.codec.lossy,
                _stored_size(path, last, width),
            )
    except (FFmpegError, OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise UserError(
            f"{path}: cannot be read as a video ({reason}); re-encode it, for example to MP4"
        ) from error


def _choose_stream(path: Path, container) -> av.VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & _COVERS]
    if not streams:
        what = "only a cover picture, no" if container.streams.video else "no"
        raise UserError(f"{path}: holds {what} video stream; give a video of the motion")
    if any(s.codec_context is None for s in streams):
        raise UserError(f"{path}: is encoded by an unknown codec; re-encode it, for example to MP4")
    chosen = next((s for s in streams if s.disposition & Disposition.default), streams[0])
    if len(streams) > 1:
        warn(f"{path}: holds {len(streams)} videos; the {chosen.width}x{chosen.height} one is read")
    return chosen


def _square_width(path: Path, stream: av.VideoStream) -> int | None:
    """Return the width at which stored pictures have square pixels, None if they have."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if not 1 / _MOST_STRETCH <= aspect <= _MOST_STRETCH:
        raise UserError(
            f"{path}: has pixels of {aspect}, wide to high; re-encode it to square ones"
        )
    width = round(stream.width * aspect)
    return None if abs(width - stream.width) < _LEAST_WIDENING else width


def _stored_size(path: Path, frame: av.VideoFrame, width: int | None) -> tuple[int, int] | None:
    if width is None:
        return None
    step = -1 if _is_sideways(frame) else 1
    height, stored = (frame.height, frame.width)[::step]
    rows, columns = (frame.height, width)[::step]
    warn(
        f"{path}: is stored as {stored}x{height} and shown as {columns}x{rows}; it is read as shown"
    )
    return height, stored


def _decode(container, stream: av.VideoStream, faults: _Faults) -> Iterator[av.VideoFrame]:
    """Decode what can be decoded and count what cannot."""
    decoder = _decoder(stream)
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FFmpegError:
            faults.num_damaged += 1
            packet = None  # The file breaks off; the decoder may hold frames yet.
        if packet is not None and packet.size:
            faults.num_packets += 1
            faults.num_damaged += packet.is_corrupt
            faults.num_discarded += packet.is_discard
        try:
            yield from decoder.decode(packet if packet is not None and packet.size else None)
        except FFmpegError:
            faults.num_damaged += 1
        if packet is None:
            return


def _decoder(stream: av.VideoStream):
    name = _ALPHA_DECODERS.get(stream.codec_context.codec.canonical_name)
    if stream.metadata.get("alpha_mode") != "1" or name is None:
        return stream
    decoder = cast(av.VideoCodecContext, av.VideoCodecContext.create(name, "r"))
    decoder.extradata = stream.codec_context.extradata
    return decoder


def _picture(
    frame: av.VideoFrame, width: int | None, keep_alpha: bool
) -> UInt8[np.ndarray, "height width channels"]:
    has_alpha = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    kind = "rgba" if has_alpha else "rgb24"
    pixels = frame.reformat(width=width, format=kind, interpolation=EXACT).to_ndarray()
    if has_alpha and not keep_alpha:
        pixels = over(pixels)
    return _as_shown(pixels, frame)


def _as_shown(pixels: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Turn and mirror a stored picture by its display matrix."""
    a, b, c, d = _matrix(frame)
    along, across = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(along, across) > _OBLIQUE * max(along, across):
        raise ValueError("its pictures are to be turned by less than a right angle")
    if across > along:
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _is_sideways(frame: av.VideoFrame) -> bool:
    a, b, c, d = _matrix(frame)
    return max(abs(b), abs(c)) > max(abs(a), abs(d))


def _matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """Return the display matrix, which carries (x, y) to (a x + c y, b x + d y).

    Phones record sideways and leave it; a scale common to all entries means nothing.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # beside data that PyAV does not know: the turn can be had, no mirroring
        turn = round(frame.rotation / 90)
        cosine, sine = (1, 0, -1, 0)[turn % 4], (0, 1, 0, -1)[turn % 4]
        return cosine, -sine, sine, cosine
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    return a, b, c, d


def _oddities(frame: av.VideoFrame) -> set[str]:
    """Return what a viewer of a frame should know."""
    found = set()
    if frame.color_trc in _HDR:
        found.add(
            f"is high dynamic range ({_HDR[frame.color_trc]}); its colours are read as they are "
            "stored, which is pale: convert it to standard range if colours matter"
        )
    if frame.interlaced_frame:
        found.add("is interlaced: lines of two moments lie in one frame; deinterlace it")
    return found


def _say_faults(path: Path, container, stream, faults: _Faults, count: int, end: float) -> None:
    announced = stream.frames - faults.num_discarded
    if faults.num_packets - faults.num_discarded < announced:
        warn(f"{path}: is cut off: {announced} frames are announced, {count} could be read")
    elif faults.num_damaged:
        warn(f"{path}: is damaged; {count} frames could be read, some may be missing or smeared")
    elif container.format.name == "gif" and not _ends_as_gif(path):
        warn(f"{path}: is cut off; {count} frames could be read")
    elif missing := _missing_seconds(stream, end):
        warn(f"{path}: is cut off: the last {missing:.2g} seconds are missing, {count} frames read")


def _missing_seconds(stream, end: float) -> float:
    """Return by how much the frames end before the file's own statement (Matroska, WebM)."""
    try:
        hours, minutes, seconds = map(float, stream.metadata["DURATION"].split(":"))
    except (KeyError, ValueError):
        return 0.0
    missing = 3600 * hours + 60 * minutes + seconds - end
    return missing if missing > max(2 / float(stream.average_rate or 1), 0.1) else 0.0


def _ends_as_gif(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        return file.read().rstrip(b"\0\r\n").endswith(b";")


def _rate(container, stream: av.VideoStream, times: list[float]) -> Fraction | None:
    """Return the rate that a file states; None where FFmpeg only assumes one."""
    name = container.format.name
    has_none = container.format.flags & Flags.no_timestamps.value
    if has_none or name.endswith("_pipe") or name == "image2":
        return None
    if name == "gif" and times[-1] > times[0]:
        # FFmpeg's own average counts rounded durations: 30 frames per second read as 33.3.
        return as_fps((len(times) - 1) / (times[-1] - times[0]))
    rate = stream.average_rate or stream.guessed_rate
    return None if rate is None else Fraction(rate)
