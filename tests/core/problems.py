"""Random alignment problems with known answers, and slow oracles written another way."""

import itertools

import numpy as np


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def person(rng, num_points=17):
    """Keypoints spread like those of a person on a 512-pixel canvas."""
    return rng.normal(size=(num_points, 2)) * [60.0, 110.0] + [250.0, 260.0]


def random_similarity(rng):
    scale = np.exp(rng.uniform(-1, 1))
    linear = scale * rotation(rng.uniform(-np.pi, np.pi))
    return linear, rng.uniform(-200, 200, 2)


def brute_force_subset(ref, drv, weight, size, tie=1e-6):
    """Return the best subset by looping over combinations in the order of their bit patterns."""
    valid = np.flatnonzero(weight > 0)
    a, b = ref @ [1, 1j], drv @ [1, 1j]
    rows = np.array(list(itertools.combinations(range(len(valid)), size)))
    rows = valid[rows[np.argsort((1 << rows).sum(axis=1))]]
    w = weight[rows]
    total = w.sum(axis=1, keepdims=True)
    a, b = a[rows], b[rows]
    a = a - (w * a).sum(axis=1, keepdims=True) / total
    b = b - (w * b).sum(axis=1, keepdims=True) / total
    z = (w * a.conj() * b).sum(axis=1) / (w * abs(a) ** 2).sum(axis=1)
    residual = (w * abs(b - z[:, None] * a) ** 2).sum(axis=1)
    distance = np.maximum(residual / (w * abs(b) ** 2).sum(axis=1), tie)
    subset = np.zeros(len(weight), bool)
    subset[rows[np.argmin(distance)]] = True
    return subset
