"""Keypoints in another unit than their file's kind has are never taken in silence."""

import json

import numpy as np
import pytest
from fuzzing import attempt, folder, people, tries
from hypothesis import given
from hypothesis import strategies as st
from keypoint_documents import clips, pictures

from tpc_jax.io.images import write_image
from tpc_jax.io.video import write_video
from tpc_jax.pose.reading import read_motion, read_reference

SIZE, FRAMES = (48, 48), 3
CLIPS = clips(np.ones((FRAMES, 17, 3)), SIZE)
PICTURES = pictures(np.ones((17, 3)), SIZE)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A video and a still that show no rendering."""
    path = tmp_path_factory.mktemp("media")
    frames = np.random.default_rng(0).integers(60, 256, (FRAMES, *SIZE, 3), np.uint8)
    write_video(path / "v.mp4", frames, 25)
    write_image(path / "p.png", frames[0])
    return path


def read_clip(media, document):
    with folder() as path:
        (path / "k.json").write_text(json.dumps(document))
        return attempt(read_motion, media / "v.mp4", keypoints_path=path / "k.json")


def read_picture(media, document):
    with folder() as path:
        (path / "k.json").write_text(json.dumps(document))
        return attempt(read_reference, media / "p.png", path / "k.json")


@tries(2)
@given(people(FRAMES, SIZE))
def test_the_unit_of_its_kind_is_read_without_a_word(media, truth):
    for name, document in clips(truth, SIZE).items():
        motion, said = read_clip(media, document)
        assert not said or name.startswith("MediaPipe"), name
        np.testing.assert_allclose(motion.keypoints.xy[0], truth[..., :2], atol=1)
    for name, document in pictures(truth[0], SIZE).items():
        reference, said = read_picture(media, document)
        assert not said or name.startswith("MediaPipe"), name
        np.testing.assert_allclose(reference.keypoints.xy[0], truth[0, :, :2], atol=1)


@pytest.mark.parametrize("factor", [1e-3, 50.0, -1.0])
def test_another_unit_is_refused_or_said(media, factor):
    # MediaPipe's are parts of the picture: fifty times as much are pixels of these small ones.
    is_hidden = [name for name in (*CLIPS, *PICTURES) if "MediaPipe" in name and factor == 50]

    @tries(2)
    @given(people(FRAMES, SIZE), st.floats(0.8, 1.2))
    def check(truth, about):
        for names, make, one, read in (
            (CLIPS, clips, truth, read_clip), (PICTURES, pictures, truth[0], read_picture)
        ):  # fmt: skip
            for name in set(names) - set(is_hidden):
                document = make(one * [factor * about, factor * about, 1], SIZE)[name]
                found, said = read(media, document)
                assert found is None or said, name

    check()
