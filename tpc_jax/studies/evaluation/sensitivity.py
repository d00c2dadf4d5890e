"""How quality depends on the reference's rotation and scale: splits on a grid, and what they show.

Every held-out drawn person is one pair per point of the grid. What is animated at a point follows
from the rows of the page's tables.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

from tpc_jax.options import Method, Routing, TransformKind
from tpc_jax.studies.datasets import Split
from tpc_jax.studies.datasets.synthetic import SyntheticPeople
from tpc_jax.studies.evaluation.pairs import held_out_pair
from tpc_jax.studies.evaluation.study import LoadedSplit, Task
from tpc_jax.studies.evaluation.variants import OFF, PLAIN, TPC, Variant

ROTATIONS = (0.0, 30.0, 60.0, 90.0, 120.0, 180.0)
SCALES = (0.4, 0.5, 0.6, 0.8, 1.25, 1.5, 2.0)
STEADY = TPC._replace(propagation=OFF)
# A smaller person has fewer pixels; at these scales it is measured what that alone costs.
_SMALL = SCALES[:3]


class Point(NamedTuple):
    """How the references of one split are misaligned.

    Attributes:
        rotation: Turn of the reference's person in degrees.
        scale: Size of the reference's person relative to the motion's.
        resolution: Share of its resolution that is left to the reference.
    """

    rotation: float = 0.0
    scale: float = 1.0
    resolution: float = 1.0

    @property
    def name(self) -> str:
        """Say how the reference is misaligned."""
        names = [f"{self.rotation:g}°"] if self.rotation else []
        names += [f"scale {self.scale:g}"] if self.scale != 1 else []
        names += [f"resolution {self.resolution:g}"] if self.resolution != 1 else []
        return ", ".join(names) or "aligned"


ALIGNED = Point()
TURNED = tuple(Point(rotation=angle) for angle in ROTATIONS)
SCALED = tuple(Point(scale=scale) for scale in SCALES)
NAMED = (ALIGNED, Point(60.0), Point(180.0), Point(scale=0.5), Point(90.0, 0.6))


class Condition(NamedTuple):
    """A point of the grid animated in one way."""

    point: Point
    variant: Variant

    @property
    def without(self) -> "Condition":
        """The same reference and the same pose pictures, left as they are."""
        return Condition(self.point, PLAIN._replace(pose=self.variant.pose))


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        name: What is varied.
        condition: Whose scores are shown.
        best: The point at which the model alone reaches what calibration can reach at best.
    """

    name: str
    condition: Condition
    best: Point = ALIGNED

    @property
    def bound(self) -> Condition | None:
        """What calibration can reach at best; None for a row without calibration."""
        plain = self.condition.without
        return None if self.condition == plain else plain._replace(point=self.best)

    @property
    def needed(self) -> tuple[Condition, ...]:
        """All that the row is made of."""
        bound = self.bound
        return (
            (self.condition,) if bound is None else (self.condition, self.condition.without, bound)
        )


def sections() -> dict[str, list[Row]]:
    """Return the tables of the page by title."""
    curves = {"without": PLAIN, "composite": TPC, "composite, no propagation": STEADY}
    routings = {"none": PLAIN, **{r: TPC._replace(routing=r) for r in get_args(Routing)}}
    groups = {f"{n}": TPC._replace(propagation=f"random:{n}") for n in (4, 8, 16)}
    groups = {"1": STEADY, **groups, "4, always the first": TPC._replace(propagation="first:4")}
    transforms: tuple[TransformKind, ...] = ("similarity", "affine", "translation_scale")
    poses = {
        f"{pose}, {name}": variant._replace(pose=None if pose == "parts" else "skeleton")
        for pose in ("parts", "skeleton")
        for name, variant in (("none", PLAIN), ("composite", TPC))
    }
    return {
        "Rotation": _rows(TURNED, curves),
        "Scale": _rows(SCALED, curves),
        "Routings": _rows(NAMED, routings),
        "Fit methods (composite)": _rows(
            NAMED, {method: TPC._replace(method=method) for method in get_args(Method)}
        ),
        "Transforms (composite)": _rows(
            NAMED, {transform: TPC._replace(transform=transform) for transform in transforms}
        ),
        "Frames per propagation group (composite)": _rows(NAMED[1:2], groups),
        "Part maps and skeletons": _rows(NAMED, poses),
        "What a small reference allows": list(_resolution_rows()),
    }


def _rows(points: Sequence[Point], variants: dict[str, Variant]) -> list[Row]:
    return [Row(name, Condition(p, v)) for p in points for name, v in variants.items()]


def _resolution_rows() -> Iterator[Row]:
    """Hold calibration against an aligned reference of equally low resolution."""
    for scale in _SMALL:
        small, coarse = Point(scale=scale), Point(resolution=scale)
        yield Row("without", Condition(small, PLAIN))
        yield Row("composite", Condition(small, TPC), coarse)
        yield Row("aligned, equally low resolution", Condition(coarse, PLAIN))


def study_conditions() -> list[Condition]:
    """Return all conditions that the page is made of, each once."""
    rows = [row for table in sections().values() for row in table]
    return list(dict.fromkeys(condition for row in rows for condition in row.needed))


def grid_tasks(
    size: int | tuple[int, int],
    num_clips: int,
    num_frames: int,
    seed: int = 0,
    conditions: Sequence[Condition] | None = None,
) -> dict[Point, Task]:
    """Return one split per point with the ways in which its pairs are animated.

    Args:
        size: Side of the pictures in pixels, or (height, width).
        num_clips: Held-out people.
        num_frames: Frames per person.
        seed: Seed of the people.
        conditions: All of `study_conditions` by default.
    """
    data = SyntheticPeople(size, num_clips, seed)
    case = "grid"
    identity = data.identity(case)
    variants: dict[Point, list[Variant]] = {}
    for point, variant in study_conditions() if conditions is None else conditions:
        variants.setdefault(point, []).append(variant)
    tasks = {}
    for point, chosen in variants.items():
        pairs = tuple(held_out_pair(index, num_frames, *point) for index in range(num_clips))
        split = Split(case, seed, identity, pairs)
        tasks[point] = Task(LoadedSplit(point.name, split, data), tuple(chosen))
    return tasks
