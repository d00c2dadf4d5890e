"""Splits: lists of (reference, motion) pairs that anybody with the data set can recreate."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tpc_jax.errors import UserError
from tpc_jax.io.atomic import write_json
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.studies.datasets.interface import DataSet, Misalignment, digest, lower_resolution

FORMAT, VERSION = "tpc-jax split", 1


class Pair(NamedTuple):
    """A reference and the frames to make of it.

    Attributes:
        name: Name of the pair, unique in its split.
        clip: Name of the clip in the data set.
        reference: Number of the frame that gives the reference.
        frames: Numbers of the frames that give the motion and the truth.
        angle: Turn of the reference in degrees, positive from +x towards +y.
        scale: Size of the reference's person relative to its own frame.
        shift: Shift of the reference in canvas sizes (x, y).
        found: How the motion's person differs from the moved reference's, as measured: median
            scale, median angle in degrees, and their ranges; None without keypoints.
        resolution: Share of the reference's resolution that is left to it, at most 1.
    """

    name: str
    clip: str
    reference: int
    frames: tuple[int, ...]
    angle: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    found: dict[str, Any] | None = None
    resolution: float = 1.0

    @property
    def decisive(self) -> tuple[Any, ...]:
        """Everything that decides what is measured; full resolution is not spelled out."""
        values = tuple(self._replace(found=None))
        return values[:-1] if self.resolution == 1 else values

    @property
    def misalignment(self) -> Misalignment:
        """What is done to the reference, in radians."""
        return float(np.radians(self.angle)), self.scale, self.shift


class Split(NamedTuple):
    """Pairs of one case.

    Attributes:
        case: Name of the case.
        seed: Seed that the pairs were drawn with.
        data: Identity of the data set.
        pairs: The pairs.
    """

    case: str
    seed: int
    data: dict[str, Any]
    pairs: tuple[Pair, ...]

    @property
    def digest(self) -> str:
        """Checksum of everything that decides what is measured."""
        return digest([self.case, self.data, [pair.decisive for pair in self.pairs]])


class LoadedPair(NamedTuple):
    """What a pair stands for.

    Attributes:
        reference: The moved still.
        motion: The motion, whose frames are also the truth.
    """

    reference: Reference
    motion: Motion


def load_pair(data: DataSet, pair: Pair) -> LoadedPair:
    """Read the pictures of a pair."""
    reference = data.reference(pair.clip, pair.reference, pair.misalignment)
    return LoadedPair(
        lower_resolution(reference, pair.resolution), data.read(pair.clip, pair.frames)
    )


def write_split(path: Path, split: Split) -> None:
    """Write a manifest, which holds no pictures and may be published."""
    pairs = [{**pair._asdict(), "frames": list(pair.frames)} for pair in split.pairs]
    content = {"format": FORMAT, "version": VERSION, **split._asdict(), "pairs": pairs}
    write_json(path, content)


def read_split(path: Path) -> Split:
    """Read a manifest.

    Raises:
        UserError: The file is missing, damaged or of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise UserError(
                f"{path}: {content['format']} version {content['version']}, this program reads "
                f"{FORMAT} version {VERSION}; make the split again"
            )
        pairs = tuple(_pair(entry) for entry in content["pairs"])
        split = Split(str(content["case"]), int(content["seed"]), dict(content["data"]), pairs)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is no split ({error}); make it with make-split") from error
    if not pairs or len({pair.name for pair in pairs}) != len(pairs):
        raise UserError(f"{path}: holds no pairs or one twice; make it again with make-split")
    return split


def _pair(entry: dict[str, Any]) -> Pair:
    x, y = entry["shift"]
    return Pair(
        name=str(entry["name"]),
        clip=str(entry["clip"]),
        reference=int(entry["reference"]),
        frames=tuple(int(frame) for frame in entry["frames"]),
        angle=float(entry["angle"]),
        scale=float(entry["scale"]),
        shift=(float(x), float(y)),
        found=entry["found"],
        resolution=float(entry.get("resolution", 1.0)),
    )


def check_data(split: Split, data: DataSet, names: Sequence[str]) -> None:
    """Refuse data from which a split was not made.

    Args:
        split: The split.
        data: The data set.
        names: What to call split and data in the message.

    Raises:
        UserError: They differ.
    """
    if split.data != (found := data.identity(split.case)):
        different = [key for key in found if split.data.get(key) != found[key]]
        raise UserError(
            f"{names[0]}: was made from other data than {names[1]} ({', '.join(different)} "
            "differ); give that data, or make the split again"
        )
