"""The released networks on real pictures; skipped where `tpc-jax fetch-pose` has not been run."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from tpc_jax.detect.models import open_pose_model
from tpc_jax.detect.people import detect_people
from tpc_jax.detect.video import detect_clip
from tpc_jax.errors import UserError
from tpc_jax.io.images import read_image
from tpc_jax.io.video import read_video
from tpc_jax.pose.reading import read_reference_keypoints

SHARED = Path(__file__).parents[3] / "shared" / "data"
# Pictures with shapes that the detector takes for people.
_LIKE = ("coffee", "cat", "rocket")
needs_samples = pytest.mark.skipif(not SHARED.exists(), reason="needs the sample data, not shipped")


@pytest.fixture(scope="module")
def model():
    try:
        return open_pose_model()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def astronaut():
    """A public-domain portrait by NASA."""
    return data.astronaut()


def overlap(mask, other):
    return (mask & other).sum() / (mask | other).sum()


def test_a_portrait_is_found_face_and_shoulders(model, astronaut):
    (person,) = detect_people(model, astronaut)
    assert person.sureness > 0.9
    xy = person.keypoints.xy
    np.testing.assert_allclose(xy[:3], [[216, 128], [243, 112], [200, 102]], atol=12)
    assert (person.keypoints.conf[:7] > 0.9).all()
    assert (person.keypoints.conf[13:] == 0).all()  # below the picture
    mask = person.mask
    assert mask[40:60, 200:250].all()  # hair
    assert mask[300:400, 100:250].all()  # suit
    assert not mask[:200, 350:].any()  # shuttle
    assert not mask[:120, :120].any()  # flag


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_portrait_on_its_side_or_head_is_the_same(model, astronaut, quarters):
    (upright,) = detect_people(model, astronaut)
    (person,) = detect_people(model, np.ascontiguousarray(np.rot90(astronaut, quarters)))
    xy, size = upright.keypoints.xy, len(astronaut)
    for _ in range(quarters):  # anticlockwise
        xy = np.stack([xy[:, 1], size - 1 - xy[:, 0]], axis=-1)
    seen = upright.keypoints.conf > 0.9
    torso = 0.22 * upright.region.side
    assert np.linalg.norm(person.keypoints.xy - xy, axis=-1)[seen].max() < 0.15 * torso
    assert overlap(np.rot90(upright.mask, quarters), person.mask) > 0.9


@pytest.mark.parametrize(
    "name", ["immunohistochemistry", *(pytest.param(x, marks=pytest.mark.slow) for x in _LIKE)]
)
def test_nobody_is_found_where_nobody_is(model, name):
    assert detect_people(model, getattr(data, name)()[::2, ::2]) == []


def test_a_portrait_that_moves_is_followed(model, astronaut):
    frames = [np.roll(astronaut, 3 * i, axis=1) for i in range(8)]
    clip = detect_clip(model, frames)
    assert (clip.sureness > 0.5).all()
    nose = clip.keypoints.xy[0, :, 0]
    np.testing.assert_allclose(nose[:, 0], nose[0, 0] + 3 * np.arange(8), atol=6)


@needs_samples
def test_the_dancer_of_the_sample_is_found_in_every_frame(model):
    frames = read_video(SHARED / "tpc_sample1" / "driving.mp4").frames[::10]
    archive = np.load(SHARED / "tpc_sample1" / "target_masks.npz")
    masks = np.unpackbits(archive["masks"], axis=-1).reshape(archive["shape"])[::10] > 0
    clip = detect_clip(model, frames)
    assert clip.sureness.shape == (1, len(frames))
    assert (clip.sureness > 0.5).all()
    assert np.mean([overlap(*pair) for pair in zip(clip.masks[0], masks, strict=True)]) > 0.87


@needs_samples
def test_somebody_who_lies_cross_legged_is_found_and_the_legs_are_said_to_be_unsure(model):
    (person,) = detect_people(model, read_image(SHARED / "tpc_sample1" / "reference.png"))
    given = read_reference_keypoints(SHARED / "tpc_sample1" / "reference_keypoints.json")
    distance = np.linalg.norm(person.keypoints.xy - given.xy[0], axis=-1)
    assert distance[:11].max() < 0.2 * 160  # head and arms, in torso lengths
    assert person.steadiness[:13].min() > 0.8
    assert person.steadiness[13:].max() < 0.8


@needs_samples
def test_two_people_have_two_masks(model):
    people = detect_people(model, read_image(SHARED / "magicanimate" / "multi1_source.png"))
    assert len(people) == 2
    assert people[0].box[2] < people[1].box[0]
    assert not (people[0].mask & people[1].mask).any()
