"""The ways of animating a pair that an evaluation compares."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple, cast, get_args

from tpc_jax.errors import UserError
from tpc_jax.options import Calibrating, Method, Options, Policy, Routing, TransformKind

NONE, SHIFT, RETARGET, RETARGET_TPC = "none", "pose-shift", "retarget", "retarget+lts"
BARE = "unrefined"
# These move the motion onto the reference: their frames show the person elsewhere than the truth.
POSE_MOVING = (SHIFT, RETARGET, RETARGET_TPC)
METHODS = (NONE, *get_args(Method), BARE, *POSE_MOVING)
DESCRIPTIONS = {
    NONE: "the model as it is",
    "face": "TPC fitted to the five face points, as released",
    "all": "TPC fitted to all common keypoints",
    "clip": "TPC with one transform for the clip",
    "lts": "TPC fitted to the best subset of keypoints, refined by body parts",
    BARE: "TPC fitted to the best subset of keypoints, unrefined",
    SHIFT: "the motion scaled and shifted once per clip onto the reference, as MimicMotion does",
    RETARGET: "the motion's limbs retargeted to the reference's, as Wan-Animate does",
    RETARGET_TPC: "limbs retargeted, then TPC (lts)",
}
OFF = "off"


# What the pose picture is drawn from: all that the motion comes with, or its keypoints alone.
Pose = Literal["skeleton"]


class Variant(NamedTuple):
    """One way of animating.

    Attributes:
        method: One of `METHODS`.
        transform: Kind of transform; None without calibration.
        propagation: `random:4` and the like, or `off`; None without calibration.
        routing: What is read of the calibrated picture; None without calibration.
        pose: "skeleton" leaves out the part maps of reference and motion.
    """

    method: str
    transform: TransformKind | None = None
    propagation: str | None = None
    routing: Routing | None = None
    pose: Pose | None = None

    @property
    def name(self) -> str:
        """Identify the variant in files."""
        return " ".join(part for part in self if part is not None)

    @property
    def moves_pose(self) -> bool:
        """Whether the motion is moved, so that frames do not lie over the truth."""
        return self.method in POSE_MOVING

    @property
    def calibrating(self) -> Calibrating | None:
        """How transforms are fitted; None without calibration."""
        if self.transform is None:
            return None
        is_lts = self.method in (BARE, RETARGET_TPC)
        method = "lts" if is_lts else cast(Method, self.method)
        return Calibrating(method, self.transform, refine="none" if self.method == BARE else "auto")

    def options(self, shared: Options) -> Options:
        """Return denoising options, of which steps, guidance and seed are shared."""
        if self.routing is None:
            return dataclasses.replace(shared, tpc=False)
        policy, size = parse_propagation(self.propagation or OFF)
        return dataclasses.replace(
            shared, tpc=True, routing=self.routing, propagation=policy, group_size=size
        )


PLAIN, TPC = Variant(NONE), Variant("lts", "similarity", "random:4", "composite")
UNREFINED = TPC._replace(method=BARE)


def parse_propagation(text: str) -> tuple[Policy, int]:
    """Return policy and group size of `random:4`, `first:8` or `off`.

    Raises:
        UserError: It is none of these.
    """
    if text == OFF:
        return "random", 1
    policy, _, size = text.partition(":")
    if policy not in get_args(Policy) or not size.isdigit() or int(size) < 1:
        known = " or ".join(f"{name}:4" for name in get_args(Policy))
        raise UserError(f"--propagation {text}: unknown; give {known} (frames per group) or {OFF}")
    return cast(Policy, policy), int(size)


def make_variants(
    methods: Sequence[str],
    transforms: Sequence[TransformKind] = ("similarity",),
    propagations: Sequence[str] = ("random:4",),
    routings: Sequence[Routing] = ("composite",),
) -> tuple[Variant, ...]:
    """Combine everything with everything that it applies to, each variant once.

    Raises:
        UserError: A method or propagation is unknown.
    """
    found: list[Variant] = []
    for method in methods:
        if method not in METHODS:
            raise UserError(f"--methods {method}: unknown; known are {', '.join(METHODS)}")
        if method in (NONE, SHIFT, RETARGET):
            found.append(Variant(method))
            continue
        for combination in itertools.product(transforms, propagations, routings):
            parse_propagation(combination[1])
            found.append(Variant(method, *combination))
    return tuple(dict.fromkeys(found))
