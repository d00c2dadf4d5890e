"""Pictures of drawn people, and networks that find them: BlazePose without its weights.

A person is a grey bar from a red disc at the hips to a green one above the head. The networks see
the discs in the crop that they are given, as the real ones see people, and answer in the format of
the real ones; they miss people who are small or, like the real ones, not upright.
"""

import cv2
import numpy as np

from tpc_jax.detect.blazepose import BlazePose, anchors

BACKGROUND, BODY = (40, 60, 80), (170, 170, 170)
# Landmark i lies this far along the line from the hips, and this far to the right of it.
ALONG = np.append(np.linspace(0.95, -0.6, 33), [0.0, 1.0])
# Left and right landmarks lie on both sides of the line, as far from it.
ASIDE = np.zeros(35)
for _left, _right in [(1, 4), (2, 5), (3, 6), *((i, i + 1) for i in range(7, 33, 2))]:
    ASIDE[[_left, _right]] = 0.1, -0.1
    ALONG[_right] = ALONG[_left]


def draw(people, size=(240, 320), background=BACKGROUND):
    """Draw people given as (hip x, hip y, top x, top y), and optionally the colour of the body."""
    image = np.full((*size, 3), background, np.uint8)
    for x, y, top_x, top_y, *colour in people:
        hip, top = (round(x), round(y)), (round(top_x), round(top_y))
        width = max(3, round(np.hypot(top_x - x, top_y - y) / 4))
        cv2.line(image, hip, top, tuple(colour[0]) if colour else BODY, width)
        cv2.circle(image, hip, max(2, width // 3), (255, 0, 0), -1)
        cv2.circle(image, top, max(2, width // 3), (0, 255, 0), -1)
    return image


def body_points(x, y, top_x, top_y):
    """Return the landmarks of a person, in pixels."""
    hip, up = np.array([x, y], float), np.array([top_x - x, top_y - y], float)
    # The person faces us: their left is on our right.
    right = np.array([-up[1], up[0]])
    return hip + ALONG[:, None] * up + ASIDE[:, None] * right


def find(crop):
    """Return (hip, top) of all people in a crop, in its pixels; the one in the middle first."""
    r, g, b = (crop[..., i].astype(int) for i in range(3))
    hips, tops = (_middles(a - np.maximum(c, b) > 90) for a, c in ((r, g), (g, r)))
    if not len(tops):
        return []
    middle = np.array(crop.shape[1::-1]) / 2
    hips = sorted(hips, key=lambda hip: float(np.hypot(*(hip - middle))))
    return [(hip, min(tops, key=lambda top: float(np.hypot(*(top - hip))))) for hip in hips]


def _middles(mask):
    count, _, stats, middles = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return [middles[i] + 0.5 for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= 3]


class Detector:
    """Finds people who are upright within 50 degrees and taller than a sixth of the view."""

    input_shape = (1, 224, 224, 3)
    output_shapes = ((1, 2254, 1), (1, 2254, 12))  # in another order than the released file

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        scores, boxes = np.full((1, 2254, 1), -9, np.float32), np.zeros((1, 2254, 12), np.float32)
        for hip, top in find(np.rint((x[0] + 1) * 127.5).astype(np.uint8)):
            up = top - hip
            if np.hypot(*up) < 224 / 6 or -up[1] < np.hypot(*up) * np.cos(np.deg2rad(50)):
                continue
            anchor = int(np.argmin(np.sum((anchors() * 224 - hip) ** 2, axis=-1)))
            points = np.stack([hip, np.abs(up).max() * np.ones(2), hip, top, hip + up / 2, top])
            points[[0, 2, 3, 4, 5]] -= anchors()[anchor] * 224
            scores[0, anchor], boxes[0, anchor] = 3, points.reshape(12)
        return [scores, boxes]


class LandmarkNetwork:
    """Finds the person nearest the middle; a wobble moves some points, differently every time."""

    input_shape = (1, 256, 256, 3)
    output_shapes = ((1, 195), (1, 1), (1, 256, 256, 1), (1, 64, 64, 39))

    def __init__(self, wobbling=()):
        self.calls = 0
        self.wobbling = list(wobbling)

    def __call__(self, x):
        self.calls += 1
        values, mask = np.zeros((39, 5), np.float32), np.full((256, 256), -9, np.float32)
        score, people = 0.0, find(np.rint(x[0] * 255).astype(np.uint8))
        if people:
            (hip, top), score = people[0], 1.0
            score = 1.0 if top[1] < hip[1] else 0.1
            values[:35, :2] = body_points(*hip, *top)
            values[self.wobbling, 0] += 25 * np.sin(2.0 * self.calls)
            values[:, 2], values[:, 3:] = 5, 4
            ends = [tuple(np.rint(end).astype(int).tolist()) for end in (hip, top)]
            cv2.line(mask, *ends, 9, max(1, round(np.hypot(*(top - hip)) / 4)))
        heat = np.full((1, 64, 64, 39), -9, np.float32)
        score = np.array([[score]], np.float32)
        return [values.reshape(1, 195), score, mask[None, ..., None], heat]


def make_model(wobbling=()):
    """Return a model, and its two networks."""
    networks = Detector(), LandmarkNetwork(wobbling)
    return BlazePose(*networks), *networks
