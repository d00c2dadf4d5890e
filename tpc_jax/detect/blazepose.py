"""BlazePose: where people are in a square of a picture, and the landmarks and mask of one.

Source: MediaPipe's graphs `pose_detection` and `pose_landmark` (Apache-2.0).
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tpc_jax.detect.regions import Picture, Region, region_upright
from tpc_jax.detect.tflite import Network
from tpc_jax.errors import UserError

NUM_LANDMARKS = 33
# Which landmarks are COCO-17's keypoints.
COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
# mirrored[MIRRORED] names the landmarks of the same person seen in a mirror; the points 33 and 34
# that give the next region are on the body's axis.
MIRRORED = (
    *(0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21),
    *(24, 23, 26, 25, 28, 27, 30, 29, 32, 31, 33, 34),
)  # fmt: skip
_HIP, _TOP = 33, 34
_GRIDS = ((28, 2), (14, 2), (7, 6))
_CODES, _POINTS, _VALUES = 12, 39, 5
# Half the width of the square of the heatmap within which a landmark is refined.
_RADIUS = 3
_PRESENT_IN_HEATMAP = 0.5


class Detection(NamedTuple):
    """A person as the detector sees them, in pixels of the picture.

    Attributes:
        score: In [0, 1].
        points: Middle of the hips, a point that gives size and rotation of the whole body; middle
            of the shoulders, the same of the upper body.
    """

    score: float
    points: Float[np.ndarray, "4 2"]

    @property
    def region(self) -> Region:
        """The square that holds the whole body, upright."""
        return region_upright(self.points[0], self.points[1])


class Landmarks(NamedTuple):
    """What the landmark network says about one region, in pixels of the picture.

    Attributes:
        xyz: Positions; depth is relative to the middle of the hips, smaller is nearer. The last two
            give the region of the next frame.
        visibility: That a point is not hidden, in [0, 1].
        presence: That a point is within the region, in [0, 1].
        score: That somebody is there, in [0, 1].
        mask: Logits over the region.
        region: The region.
    """

    xyz: Float[np.ndarray, "35 3"]
    visibility: Float[np.ndarray, " 35"]
    presence: Float[np.ndarray, " 35"]
    score: float
    mask: Float[np.ndarray, "n n"]
    region: Region

    @property
    def next_region(self) -> Region:
        """The square that holds the body as these landmarks tell."""
        return region_upright(self.xyz[_HIP, :2], self.xyz[_TOP, :2])


class BlazePose:
    """Both networks, checked to be what they should be."""

    def __init__(self, detector: Network, landmarks: Network, name: str = "pose model") -> None:
        """Take two networks.

        Raises:
            UserError: They have other inputs or outputs.
        """
        count = sum(side * side * each for side, each in _GRIDS)
        self._detector = _Named(detector, name, boxes=(1, count, _CODES), scores=(1, count, 1))
        crop = (1, landmarks.input_shape[1], landmarks.input_shape[1], 1)
        heat = (1, crop[1] // 4, crop[1] // 4, _POINTS)
        shapes = {"points": (1, _POINTS * _VALUES), "score": (1, 1), "mask": crop, "heat": heat}
        self._landmarks = _Named(landmarks, name, **shapes)

    def detect(self, picture: Picture, view: Region, threshold: float = 0.5) -> list[Detection]:
        """Find the people who are upright and large in a view of a picture, the surest first.

        Args:
            picture: The picture.
            view: What the detector is shown of it.
            threshold: Least score.
        """
        size = self._detector.size
        x = picture.crop(view, size).astype(np.float32)[None] / 127.5 - 1
        out = self._detector(x)
        scores = _sigmoid(out["scores"][0, :, 0])
        chosen = np.flatnonzero(scores >= threshold)
        codes = out["boxes"][0, chosen].reshape(-1, 6, 2) / size
        codes[:, [0, 2, 3, 4, 5]] += anchors()[chosen, None]
        groups = suppress(codes, scores[chosen])
        return [Detection(score, view.to_image(code[2:].astype(float))) for score, code in groups]

    def landmarks(
        self, picture: Picture, region: Region, *, is_mirrored: bool = False
    ) -> Landmarks:
        """Find the landmarks of the person in a region.

        Args:
            picture: The picture.
            region: Square around them.
            is_mirrored: Whether the network is shown the mirror image; the answer is mirrored back.
        """
        size = self._landmarks.size
        crop = picture.crop(region, size, is_mirrored=is_mirrored)
        out = self._landmarks(crop.astype(np.float32)[None] / 255)
        values = out["points"].reshape(_POINTS, _VALUES)[: NUM_LANDMARKS + 2]
        u = refine_by_heatmap(values[:, :2] / size, out["heat"][0, ..., : NUM_LANDMARKS + 2])
        certain = _sigmoid(values[:, 3:])
        depth, mask = values[:, 2] / size * region.side, out["mask"][0, ..., 0]
        if is_mirrored:
            order = list(MIRRORED)
            u = (np.array([1, 0]) + np.array([-1, 1]) * u)[order]
            certain, depth, mask = certain[order], depth[order], mask[:, ::-1]
        xyz = np.column_stack([region.to_image(u.astype(float)), depth])
        visibility, presence = certain.T
        return Landmarks(xyz, visibility, presence, float(out["score"][0, 0]), mask, region)


@functools.cache
def anchors() -> Float[np.ndarray, "anchors 2"]:
    """Return the detector's anchors (x, y) in [0, 1]: the middles of the cells of three grids."""
    grids = []
    for side, each in _GRIDS:
        y, x = np.mgrid[:side, :side].reshape(2, -1)
        grids.append(np.repeat((np.stack([x, y], axis=-1) + 0.5) / side, each, axis=0))
    return np.concatenate(grids).astype(np.float32)


def suppress(
    codes: Float[np.ndarray, "found 6 2"],
    scores: Float[np.ndarray, " found"],
    overlap: float = 0.3,
) -> list[tuple[float, Float[np.ndarray, "6 2"]]]:
    """Merge overlapping detections into means weighted by score, the surest first.

    Args:
        codes: Middle and size of a box, then points.
        scores: How sure each is.
        overlap: Intersection over union from which two are one.

    Returns:
        Greatest score of a group, and its mean.
    """
    low, high = codes[:, 0] - codes[:, 1] / 2, codes[:, 0] + codes[:, 1] / 2
    area = np.prod(high - low, axis=-1)
    left: Int[np.ndarray, " left"] = np.argsort(-scores, kind="stable")
    groups = []
    while len(left):
        best = left[0]
        sides = np.minimum(high[left], high[best]) - np.maximum(low[left], low[best])
        common = np.prod(np.maximum(sides, 0), axis=-1)
        is_same = common > overlap * (area[left] + area[best] - common)
        is_same[0] = True
        same = left[is_same]
        groups.append((float(scores[best]), np.average(codes[same], axis=0, weights=scores[same])))
        left = left[~is_same]
    return groups


def refine_by_heatmap(
    u: Float[np.ndarray, "points 2"], heatmap: Float[np.ndarray, "n n points"]
) -> Float[np.ndarray, "points 2"]:
    """Move points to the middle of the heat around them, where there is enough of it.

    Args:
        u: Points in [0, 1] of the square.
        heatmap: Logits.
    """
    size = len(heatmap)
    refined = u.copy()
    for point, (column, row) in enumerate((u * size).astype(int).tolist()):
        if not (0 <= column < size and 0 <= row < size):
            continue
        rows = slice(max(0, row - _RADIUS), row + _RADIUS + 1)
        columns = slice(max(0, column - _RADIUS), column + _RADIUS + 1)
        heat = _sigmoid(heatmap[rows, columns, point])
        if heat.max() >= _PRESENT_IN_HEATMAP:
            place = np.mgrid[rows, columns][:, : heat.shape[0], : heat.shape[1]]
            refined[point] = (place[::-1] * heat).sum(axis=(1, 2)) / heat.sum() / size
    return refined


class _Named:
    """A network whose outputs are found by their shapes, for files order them differently."""

    def __init__(self, network: Network, name: str, **shapes: tuple[int, ...]) -> None:
        found = network.output_shapes
        side = network.input_shape[1]
        if network.input_shape != (1, side, side, 3) or not set(shapes.values()) <= set(found):
            raise UserError(
                f"{name}: takes {list(network.input_shape)} and gives "
                f"{', '.join(str(list(shape)) for shape in found)}, unlike the networks of "
                "BlazePose; give MediaPipe's pose model"
            )
        self.size = side
        self._network, self._name = network, name
        self._index = {key: found.index(shape) for key, shape in shapes.items()}

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self._network(x)
        if not all(np.isfinite(output).all() for output in outputs):
            raise UserError(f"{self._name}: gives no numbers, so it is damaged; download it again")
        return {key: outputs[index] for key, index in self._index.items()}


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))
