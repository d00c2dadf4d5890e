"""The authors' own sample: how well the warped reference mask covers the target person."""

import json
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from tpc_jax import Keypoints, calibrate
from tpc_jax.io.video import read_video
from tpc_jax.pose.densepose import decode_parts
from tpc_jax.pose.densepose_keypoints import keypoints_from_parts

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "tpc_sample1"
pytestmark = pytest.mark.skipif(not SAMPLE.exists(), reason="needs the sample data, not shipped")


@pytest.fixture(scope="module")
def sample():
    person = json.loads((SAMPLE / "reference_keypoints.json").read_text())["people"][0]
    points = np.array(person["keypoints"], np.float32)[None]
    reference_mask = cv2.imread(str(SAMPLE / "reference_mask.png"), cv2.IMREAD_GRAYSCALE)
    archive = np.load(SAMPLE / "target_masks.npz")
    masks = np.unpackbits(archive["masks"], axis=-1).reshape(archive["shape"]) > 0
    parts = decode_parts(read_video(SAMPLE / "densepose.mp4").frames)
    people = [keypoints_from_parts(frame, frame > 0) for frame in parts]
    driving = Keypoints(*(np.stack(field)[None] for field in zip(*people, strict=True)))
    return Keypoints(points[..., :2], points[..., 2]), driving, reference_mask, masks


def overlap(mask, other):
    return (mask & other).sum() / (mask | other).sum()


@pytest.mark.parametrize(("method", "least"), [("lts", 0.53), ("all", 0.44), ("face", 0.40)])
def test_mean_overlap_with_the_target_person(sample, method, least):
    reference, driving, reference_mask, masks = sample
    before = np.mean([overlap(reference_mask > 127, mask) for mask in masks])
    assert before == pytest.approx(0.332, abs=0.001)
    with jax.enable_x64(False):
        found = jax.jit(calibrate, static_argnames="method")(reference, driving, method=method)
    linear, offset = (np.asarray(x[0], float) for x in found.drv_from_ref)
    after = []
    for matrix, shift, mask in zip(linear, offset, masks, strict=True):
        affine = np.concatenate([matrix, shift[:, None]], axis=1)
        after.append(overlap(cv2.warpAffine(reference_mask, affine, mask.shape[::-1]) > 127, mask))
    assert np.mean(after) >= least
