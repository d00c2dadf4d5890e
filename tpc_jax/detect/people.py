"""The people of one picture, upright or turned, and how sure each of them is.

Detectors fail on people who lie or stand on their heads, and on some of these they find legs for
arms. So the picture is searched in several turned views, and whoever is found is looked at again in
crops that are turned, scaled and mirrored a little: what is really there is found in the same place
every time.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.detect.blazepose import COCO, NUM_LANDMARKS, BlazePose, Landmarks
from tpc_jax.detect.regions import Picture, Region, paste, whole_picture
from tpc_jax.detect.silhouettes import keep_apart, silhouette

# Least score of the landmark network for somebody to be there.
PRESENT = 0.5
_NUM_TURNS = 12
# Second looks: turned by so many degrees and scaled so.
_LOOKS = ((0, 1.0), (-15, 1.0), (15, 1.0), (0, 0.9), (0, 1.1))
# Views in which the detector is to confirm a person.
_NUM_CHECKS = 6
# A torso is about this part of the side of a region.
TORSO = 0.22
# Spread of a point in torso lengths at which it is worth 1/e.
_STEADY = 0.3
# Regions whose middles differ by this part of their sides, which are turned by this angle against
# each other and differ by this factor in size, show one person.
_NEAR, _ALIKE, _SAME_SIZE = 0.12, np.deg2rad(25), 1.5
# Of two people who share more than this part of the smaller one's mask, one is a mistake.
_SHARED = 0.6
# Least sureness of somebody who is reported; what is found in clouds and stones is below.
LEAST_SURE = 0.5
_COARSE = 128


class Person(NamedTuple):
    """A person in a picture.

    Attributes:
        keypoints: COCO-17 keypoints in pixels. The confidence is how likely a point is to be seen
            within the picture; 0 outside it.
        landmarks: BlazePose's 33 landmarks in pixels; depth is relative to the middle of the hips,
            smaller is nearer.
        conf: Their confidence.
        box: Left, top, right and bottom of the mask in pixels; of the keypoints if it is empty.
        mask: Pixels that show the person.
        sureness: That there is a person and that up is where it is said to be, in [0, 1].
        steadiness: Whether a keypoint is found in the same place when the person is looked at again
            turned, scaled and mirrored, in [0, 1]; legs that are crossed are often not.
        region: The square in which the person is upright.
        number: Who it is in a video.
    """

    keypoints: Keypoints
    landmarks: Float[np.ndarray, "33 3"]
    conf: Float[np.ndarray, " 33"]
    box: Float[np.ndarray, " 4"]
    mask: Bool[np.ndarray, "height width"]
    sureness: float
    steadiness: Float[np.ndarray, " 17"]
    region: Region
    number: int = 0


class Look(NamedTuple):
    """What is thought of a person after one look, or of several looks that were compared.

    Attributes:
        landmarks: Positions, scores and mask.
        steadiness: As in `Person`.
        sureness: As in `Person`.
    """

    landmarks: Landmarks
    steadiness: Float[np.ndarray, " 17"]
    sureness: float


def detect_people(model: BlazePose, image: UInt8[np.ndarray, "height width 3"]) -> list[Person]:
    """Find the people of a picture, also those who lie or stand on their heads.

    Args:
        model: The networks.
        image: RGB picture.

    Returns:
        People from left to right by the middles of their boxes; empty if there is nobody.
    """
    picture = Picture(image)
    people = describe(picture, search(model, picture))
    return sorted(people, key=lambda person: float(person.box[0] + person.box[2]))


def search(model: BlazePose, picture: Picture) -> list[Look]:
    """Find people in views of a picture and look at each several times; the surest first."""
    angles = 2 * np.pi * np.arange(_NUM_TURNS) / _NUM_TURNS
    views = [whole_picture(picture.size, angle) for angle in angles]
    looks = examine_all(model, picture, detect_regions(model, picture, views))
    if looks:
        return looks
    # Small people, whom the detector sees only in a part of the picture.
    views = [tile for angle in angles for tile in _tiles(picture.size, angle)]
    return examine_all(model, picture, detect_regions(model, picture, views))


def describe(picture: Picture, looks: list[Look]) -> list[Person]:
    """Turn looks at the people of a picture into people with masks that keep apart."""
    likely = [silhouette(picture, x.landmarks.region, x.landmarks.mask) for x in looks]
    return [
        _person(look, mask, picture.size)
        for look, mask in zip(looks, keep_apart(likely), strict=True)
    ]


def examine(model: BlazePose, picture: Picture, region: Region) -> Look:
    """Look at a person several times and compare what is seen.

    Args:
        model: The networks.
        picture: The picture.
        region: Where the person is, upright.

    Returns:
        Medians of the positions, means of the confidences and masks.
    """
    crops = [
        Region(region.centre, scale * region.side, region.angle + np.deg2rad(degrees))
        for degrees, scale in _LOOKS
    ]
    answers = [
        model.landmarks(picture, crop, is_mirrored=is_mirrored)
        for crop in crops
        for is_mirrored in (False, True)
    ]
    xyz = np.median([answer.xyz for answer in answers], axis=0)
    steadiness = steadiness_of(answers)
    score = float(np.mean([answer.score for answer in answers]))
    landmarks = Landmarks(
        xyz,
        np.mean([answer.visibility for answer in answers], axis=0),
        np.mean([answer.presence for answer in answers], axis=0),
        score,
        np.mean([answer.mask for answer in answers[:2]], axis=0),
        region,
    )
    seen = (landmarks.visibility * landmarks.presence)[list(COCO)]
    # Legs may be hidden or crossed: head, arms and trunk say where up is.
    upper = slice(0, 13)
    steady = float(np.average(steadiness[upper], weights=seen[upper] + 1e-6))
    unsure = (1 - (score * steady) ** 3) * (1 - _agreement(model, picture, region))
    return Look(landmarks, steadiness, 1 - unsure)


def steadiness_of(answers: Sequence[Landmarks]) -> Float[np.ndarray, " 17"]:
    """Return how well looks at one person agree on each keypoint, 1 for full agreement.

    `exp(-(spread / (0.3 torso lengths))^2)` of the root mean squared distance from the median.
    """
    xy = np.stack([answer.xyz[list(COCO), :2] for answer in answers])
    distance = np.sum((xy - np.median(xy, axis=0)) ** 2, axis=-1)
    torso = TORSO * np.mean([answer.region.side for answer in answers])
    spread = np.sqrt(np.mean(distance, axis=0)) / torso
    return np.exp(-((spread / _STEADY) ** 2)).astype(np.float32)


def are_alike(one: Region, other: Region) -> bool:
    """Tell whether two regions show the same person the same way up."""
    small, large = sorted((one.side, other.side))
    turn = np.abs(np.angle(np.exp(1j * (one.angle - other.angle))))
    is_near = np.hypot(*(one.centre - other.centre)) < _NEAR * small
    return bool(is_near and turn < _ALIKE and large < _SAME_SIZE * small)


def _tiles(size: tuple[int, int], angle: float) -> Iterable[Region]:
    """Yield overlapping squares of half the picture's side."""
    height, width = size
    side = max(min(height, width) / 2, max(height, width) / 4)
    for y in np.linspace(side / 2, height - side / 2, int(np.ceil(2 * height / side)) - 1):
        for x in np.linspace(side / 2, width - side / 2, int(np.ceil(2 * width / side)) - 1):
            yield Region(np.array([x, y]) - 0.5, float(side), float(angle))


def _agreement(model: BlazePose, picture: Picture, region: Region) -> float:
    """Return how surely the detector finds a person in turned views of where they are."""
    scores = []
    for turn in 2 * np.pi * np.arange(_NUM_CHECKS) / _NUM_CHECKS:
        found = model.detect(picture, region._replace(angle=region.angle + turn))
        same = (each.score for each in found if are_alike(each.region, region))
        scores.append(max(same, default=0.0))
    return float(np.mean(scores))


def examine_all(model: BlazePose, picture: Picture, regions: list[Region]) -> list[Look]:
    """Look at whoever is in these regions, each person once, and keep the surest looks.

    Args:
        model: The networks.
        picture: The picture.
        regions: Where people may be, upright; the likeliest first.

    Returns:
        Looks at people who are there, the surest first.
    """
    looks = [examine(model, picture, region) for region in settle(model, picture, regions)]
    looks = [look for look in looks if look.sureness >= LEAST_SURE]
    return drop_doubles(picture, sorted(looks, key=lambda look: -look.sureness))


def settle(
    model: BlazePose, picture: Picture, regions: list[Region], known: Sequence[Region] = ()
) -> list[Region]:
    """Move regions to where the landmarks say that they belong.

    Args:
        model: The networks.
        picture: The picture.
        regions: Where people may be, upright; the likeliest first.
        known: Regions of people who are known already.

    Returns:
        One region for everybody who is there and not known.
    """
    settled: list[Region] = []
    for region in _distinct(regions, known):
        landmarks = model.landmarks(picture, region)
        if landmarks.score >= PRESENT:
            landmarks = model.landmarks(picture, landmarks.next_region)
        if landmarks.score >= PRESENT:
            settled.append(landmarks.next_region)
    return _distinct(settled, known)


def detect_regions(
    model: BlazePose, picture: Picture, views: Iterable[Region], threshold: float = 0.5
) -> list[Region]:
    """Return where the detector finds people in views of a picture, the surest first."""
    found = [each for view in views for each in model.detect(picture, view, threshold)]
    return [detection.region for detection in sorted(found, key=lambda x: -x.score)]


def _distinct(regions: Sequence[Region], known: Sequence[Region] = ()) -> list[Region]:
    """Leave out regions that are like a known one or one before them."""
    kept: list[Region] = []
    for region in regions:
        if not any(are_alike(region, other) for other in (*known, *kept)):
            kept.append(region)
    return kept


def drop_doubles(picture: Picture, looks: list[Look]) -> list[Look]:
    """Of looks at one person, keep the first."""
    kept: list[tuple[Look, np.ndarray]] = []
    scale = _COARSE / max(picture.size)
    height, width = (max(1, round(length * scale)) for length in picture.size)
    for look in looks:
        centre, side, angle = look.landmarks.region
        small = Region((centre + 0.5) * scale - 0.5, side * scale, angle)
        mask = paste(look.landmarks.mask, small, (height, width), -1.0) > 0
        shared = [(mask & other).sum() / min(mask.sum(), other.sum()) for _, other in kept]
        if mask.any() and max(shared, default=0) <= _SHARED:
            kept.append((look, mask))
    return [look for look, _ in kept]


def _person(look: Look, mask: Bool[np.ndarray, "height width"], size: tuple[int, int]) -> Person:
    xyz, coco = look.landmarks.xyz[:NUM_LANDMARKS].astype(np.float32), list(COCO)
    conf = (look.landmarks.visibility * look.landmarks.presence)[:NUM_LANDMARKS]
    is_inside = ((xyz[:, :2] >= 0) & (xyz[:, :2] <= np.array(size[::-1]) - 1)).all(axis=-1)
    conf = np.where(is_inside, conf, 0).astype(np.float32)
    keypoints = Keypoints(xyz[coco, :2], conf[coco])
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows):
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
    else:
        box = np.concatenate([keypoints.xy.min(axis=0), keypoints.xy.max(axis=0)]).astype(float)
    region, steadiness = look.landmarks.region, look.steadiness
    return Person(keypoints, xyz, conf, box, mask, look.sureness, steadiness, region)
