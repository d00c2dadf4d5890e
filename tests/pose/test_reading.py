import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from pose_figures import draw_parts, place

from tpc_jax._types import Keypoints
from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.images import write_image
from tpc_jax.io.keypoint_files import write_keypoint_file
from tpc_jax.io.video import write_video
from tpc_jax.pose.densepose import render_densepose
from tpc_jax.pose.masks import divide_masks, read_masks
from tpc_jax.pose.openpose import draw_skeleton
from tpc_jax.pose.reading import (
    FoundPeople,
    no_people,
    read_keypoints,
    read_motion,
    read_reference,
    read_reference_keypoints,
)

POSES = [place(5 * step, 0.55, (128 + 3 * step, 128)) for step in range(3)]
SIZE = (256, 256)


def parts_of(pose):
    return draw_parts(pose, SIZE)


def densepose(path, frames=None):
    if frames is None:
        frames = np.stack([render_densepose(parts_of(pose)) for pose in POSES])
    write_video(path, frames, 24, quality=5)
    return path


def clip_keypoints(poses=POSES):
    xy = np.stack(poses)[None].astype(np.float32)
    return Keypoints(xy, np.ones(xy.shape[:-1], np.float32))


def scenery():
    noise = np.random.default_rng(0).integers(60, 256, (3, 16, 16, 3), dtype=np.uint8)
    return np.kron(noise, np.ones((1, 16, 16, 1), np.uint8))


def test_densepose_is_recognised_and_read(tmp_path):
    driving = read_motion(densepose(tmp_path / "a.mp4"))
    assert driving.kind == "densepose"
    assert driving.fps == 24
    assert driving.frames.shape == (3, *SIZE, 3)
    assert driving.keypoints.xy.shape == (1, 3, 17, 2)
    assert np.abs(driving.keypoints.xy[0] - np.stack(POSES)).max() < 4
    expected = np.stack([parts_of(pose) for pose in POSES])
    assert (driving.parts == expected).mean() > 0.99
    assert (driving.masks[0] == (expected > 0)).mean() > 0.99


def test_skeleton_is_recognised_and_gets_drawn_masks(tmp_path):
    keypoints = clip_keypoints()
    large = Keypoints(keypoints.xy * 2, keypoints.conf)
    frames = [draw_skeleton(large.select(np.s_[:, i]), 512, 512) for i in range(3)]
    write_video(tmp_path / "a.mp4", np.stack(frames), 30)
    driving = read_motion(tmp_path / "a.mp4")
    assert driving.kind == "openpose"
    assert driving.parts is None
    body = driving.keypoints.conf[0] > 0.8
    assert np.abs(driving.keypoints.xy[0] - 2 * np.stack(POSES))[body].max() < 2
    assert driving.masks.shape == (1, 3, 512, 512)
    assert (driving.masks[0].mean(axis=(1, 2)) > 0.05).all()


def test_rgb_needs_keypoints(tmp_path):
    write_video(tmp_path / "rgb.mp4", scenery(), 25)
    with pytest.raises(UserError, match=r"rgb.mp4: is neither .*; give a keypoint file") as caught:
        read_motion(tmp_path / "rgb.mp4")
    assert "\n" not in str(caught.value)
    write_keypoint_file(tmp_path / "k.json", clip_keypoints(), size=SIZE)
    driving = read_motion(tmp_path / "rgb.mp4", keypoints_path=tmp_path / "k.json")
    assert driving.kind == "rgb"
    assert driving.masks is None
    np.testing.assert_allclose(driving.keypoints.xy[0], np.stack(POSES), atol=1e-3)


def test_wrong_kind_is_refused(tmp_path):
    write_video(tmp_path / "rgb.mp4", scenery(), 25)
    densepose(tmp_path / "d.mp4")
    with pytest.raises(UserError, match=r"rgb.mp4: is not a DensePose rendering"):
        read_motion(tmp_path / "rgb.mp4", "densepose")
    with pytest.raises(UserError, match=r"d.mp4: is not an OpenPose skeleton"):
        read_motion(tmp_path / "d.mp4", "openpose")
    with pytest.raises(Exception, match="smpl"):  # the type checker's word first, in tests
        read_motion(tmp_path / "d.mp4", "smpl")


def test_keypoint_file_overrides_decoding_and_must_fit(tmp_path):
    densepose(tmp_path / "d.mp4")
    shifted = clip_keypoints([pose + 1 for pose in POSES])
    write_keypoint_file(tmp_path / "k.json", shifted)
    driving = read_motion(tmp_path / "d.mp4", keypoints_path=tmp_path / "k.json")
    np.testing.assert_allclose(driving.keypoints.xy, shifted.xy, atol=1e-3)
    assert driving.masks.shape == (1, 3, *SIZE)
    write_keypoint_file(tmp_path / "short.json", clip_keypoints(POSES[:2]))
    with pytest.raises(UserError, match=r"short.json: holds 2 frames, .*d.mp4 has 3; "):
        read_motion(tmp_path / "d.mp4", keypoints_path=tmp_path / "short.json")
    write_keypoint_file(tmp_path / "size.json", shifted, size=(100, 50))
    with pytest.raises(UserError, match="annotated on 50x100 pixels, the picture has 256x256"):
        read_motion(tmp_path / "d.mp4", keypoints_path=tmp_path / "size.json")


def test_keypoints_find_their_picture_of_a_folder_by_name(tmp_path):
    (tmp_path / "shots").mkdir()
    for number, picture in zip((3, 9, 20), scenery(), strict=True):
        write_image(tmp_path / "shots" / f"shot_{number}.png", picture)
    triples = [np.insert(pose, 2, 0.9, axis=1).ravel().tolist() for pose in POSES[1:]]
    results = [
        {"image_id": f"shot_{number}.png", "keypoints": values}
        for number, values in zip((20, 9), triples, strict=True)
    ]
    (tmp_path / "k.json").write_text(json.dumps(results))
    with pytest.warns(InputWarning, match="holds 2 of 3 frames; nobody is in the other 1"):
        motion = read_motion(tmp_path / "shots", keypoints_path=tmp_path / "k.json")
    assert (motion.keypoints.conf[0] > 0).any(axis=-1).tolist() == [False, True, True]
    np.testing.assert_allclose(motion.keypoints.xy[0, 1:], POSES[:0:-1], atol=1e-3)


def test_frames_without_anybody_pass_but_not_all(tmp_path):
    empty = render_densepose(np.zeros(SIZE, np.uint8))
    some = np.stack([empty, render_densepose(parts_of(POSES[0])), empty])
    driving = read_motion(densepose(tmp_path / "some.mp4", some))
    assert (driving.keypoints.conf.max(axis=-1)[0] > 0).tolist() == [False, True, False]
    assert driving.masks.any(axis=(0, 2, 3)).tolist() == [False, True, False]
    with pytest.raises(UserError, match=r"none.mp4: shows nobody"):
        read_motion(densepose(tmp_path / "none.mp4", np.stack([empty] * 3)))


def test_two_people_have_a_mask_each(tmp_path):
    left, right = (parts_of(place(0, 0.4, (x, 128))) for x in (70, 190))
    frames = np.stack([render_densepose(left | right)] * 2)
    driving = read_motion(densepose(tmp_path / "a.mp4", frames))
    assert driving.keypoints.xy.shape == (2, 2, 17, 2)
    assert driving.masks.shape == (2, 2, *SIZE)
    assert (driving.masks[0, 0] == (left > 0)).mean() > 0.99
    assert (driving.masks[1, 0] == (right > 0)).mean() > 0.99


def some_masks():
    return np.stack([parts_of(pose) > 0 for pose in POSES])


def save_packed(path):
    masks = some_masks()
    np.savez(path / "m.npz", masks=np.packbits(masks, axis=-1), shape=masks.shape)
    return path / "m.npz"


def save_plain(path):
    np.savez(path / "m.npz", masks=some_masks())
    return path / "m.npz"


def save_people(path):
    np.savez(path / "m.npz", masks=some_masks()[None])
    return path / "m.npz"


def save_video(path):
    frames = np.repeat(some_masks()[..., None] * np.uint8(255), 3, axis=-1)
    write_video(path / "m.mp4", frames, 24, quality=0)
    return path / "m.mp4"


@pytest.mark.parametrize("save", [save_packed, save_plain, save_people, save_video])
def test_masks_of_every_layout(tmp_path, save):
    masks = read_masks(save(tmp_path), (3, *SIZE))
    np.testing.assert_array_equal(masks, some_masks()[None])
    driving = read_motion(densepose(tmp_path / "d.mp4"), masks_path=save(tmp_path))
    np.testing.assert_array_equal(driving.masks, some_masks()[None])


def test_bad_masks_are_one_line_with_a_remedy(tmp_path):
    np.savez(tmp_path / "few.npz", masks=some_masks()[:2])
    np.savez(tmp_path / "other.npz", mask=some_masks())
    np.savez(tmp_path / "wrong.npz", masks=np.zeros(3, np.uint8), shape=np.array([5, 5]))
    (tmp_path / "broken.npz").write_bytes(b"not an archive")
    for name, words in [("few.npz", r"\[2, 256, 256\]"), ("other.npz", "no array 'masks'"),
                        ("wrong.npz", "not a readable archive"), ("none.npz", "no such file"),
                        ("broken.npz", "not a readable archive")]:  # fmt: skip
        with pytest.raises(UserError, match=rf"{name}: .*{words}.*; ") as caught:
            read_masks(tmp_path / name, (3, *SIZE))
        assert "\n" not in str(caught.value)


def test_one_mask_with_everybody_is_divided():
    left, right = (parts_of(place(0, 0.4, (x, 128))) > 0 for x in (70, 190))
    xy = np.stack([[place(0, 0.4, (x, 128))] for x in (190, 70)])
    keypoints = Keypoints(xy, np.ones((2, 1, 17)))
    divided = divide_masks((left | right)[None, None], keypoints)
    np.testing.assert_array_equal(divided[:, 0], [right, left])


def test_several_masks_go_to_the_people_in_them():
    left, right = (parts_of(place(0, 0.4, (x, 128))) > 0 for x in (70, 190))
    xy = np.stack([[place(0, 0.4, (x, 128))] * 2 for x in (190, 70)])
    conf = np.ones((2, 2, 17))
    conf[0, 1] = 0  # the right person is missing from the second frame
    divided = divide_masks(np.stack([[left, left], [right, right]]), Keypoints(xy, conf))
    np.testing.assert_array_equal(divided[:, 0], [right, left])
    np.testing.assert_array_equal(divided[:, 1], [np.zeros_like(left), left])


def test_reference_keypoints_are_of_one_picture(tmp_path):
    keypoints = clip_keypoints()
    write_keypoint_file(tmp_path / "k.json", Keypoints(keypoints.xy[0], keypoints.conf[0]))
    read = read_reference_keypoints(tmp_path / "k.json")
    np.testing.assert_allclose(read.xy, keypoints.xy[0], atol=1e-3)
    write_keypoint_file(tmp_path / "clip.json", keypoints)
    with pytest.raises(UserError, match=r"clip.json: holds 3 frames; give .* one picture"):
        read_reference_keypoints(tmp_path / "clip.json")


def test_openpose_points_are_reordered(tmp_path):
    points = np.arange(18)[:, None] * [10.0, 1.0, 0.0] + [0, 0, 1]
    people = [{"pose_keypoints_2d": points.ravel().tolist()}]
    (tmp_path / "k.json").write_text(json.dumps({"version": 1.3, "people": people}))
    read = read_keypoints(tmp_path / "k.json")
    assert read.xy[0, 0, :3, 0].tolist() == [0, 150, 140]  # nose, left eye, right eye


def test_a_video_is_no_file_of_coordinates(tmp_path):
    write_video(tmp_path / "still.mp4", np.zeros((3, 32, 32, 3), np.uint8), 10)
    with pytest.raises(UserError, match="holds no DensePose coordinates"):
        read_motion(tmp_path / "still.mp4", kind="uv")


def test_a_rendering_of_the_reference_gives_parts_people_and_masks(tmp_path):
    parts = parts_of(POSES[0])
    write_image(tmp_path / "person.png", np.zeros((*parts.shape, 3), np.uint8))
    write_image(tmp_path / "parts.png", render_densepose(parts))
    reference = read_reference(tmp_path / "person.png", parts=tmp_path / "parts.png")
    assert (reference.parts == parts).mean() > 0.99
    assert reference.masks.shape == (1, *parts.shape)
    assert (reference.masks[0] == (parts > 0)).mean() > 0.99
    assert (np.asarray(reference.keypoints.conf[0]) > 0.3).sum() >= 12


def test_a_rendering_of_another_size_or_kind_is_refused(tmp_path):
    write_image(tmp_path / "person.png", np.zeros((64, 64, 3), np.uint8))
    write_image(tmp_path / "large.png", render_densepose(np.zeros((80, 64), np.uint8)))
    with pytest.raises(UserError, match=r"large\.png: is 64x80 pixels .* 64x64"):
        read_reference(tmp_path / "person.png", parts=tmp_path / "large.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    write_image(tmp_path / "noise.png", noise)
    with pytest.raises(UserError, match="not a DensePose rendering"):
        read_reference(tmp_path / "person.png", parts=tmp_path / "noise.png")


def stretched(path):
    """A video that is stored narrower than it is shown, 192 columns for 256."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 192, 256, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for frame in scenery():
            stored = np.ascontiguousarray(frame[:, 32:224])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.filterwarnings("ignore::tpc_jax.errors.InputWarning")
def test_keypoints_of_stored_pictures_are_widened_with_them(tmp_path):
    shown = clip_keypoints()
    stored = Keypoints((shown.xy + 0.5) * np.array([0.75, 1], np.float32) - 0.5, shown.conf)
    write_keypoint_file(tmp_path / "stored.json", stored, size=(256, 192))
    write_keypoint_file(tmp_path / "shown.json", shown, size=(256, 256))
    write_keypoint_file(tmp_path / "unknown.json", stored)
    video = stretched(tmp_path / "a.mp4")
    for name in ("stored.json", "shown.json"):
        motion = read_motion(video, keypoints_path=tmp_path / name)
        assert motion.frames.shape == (3, 256, 256, 3)
        np.testing.assert_allclose(motion.keypoints.xy, shown.xy, atol=2e-3)
    with pytest.raises(UserError, match=r"unknown.json: .* as stored, 192x256, or as shown, 256x"):
        read_motion(video, keypoints_path=tmp_path / "unknown.json")


@pytest.mark.filterwarnings("ignore::tpc_jax.errors.InputWarning")
def test_what_was_made_of_unevenly_spaced_frames_follows_them(tmp_path):
    times = (0, 1, 4)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for time, pixels in zip(times, scenery(), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    write_keypoint_file(tmp_path / "k.json", clip_keypoints(), size=SIZE)
    np.savez(tmp_path / "m.npz", masks=some_masks())
    uv = np.stack([np.full((2, *SIZE), value, np.float32) for value in (0.25, 0.5, 0.75)])
    np.save(tmp_path / "uv.npy", uv)
    motion = read_motion(
        tmp_path / "a.mp4", keypoints_path=tmp_path / "k.json", masks_path=tmp_path / "m.npz",
        uv_path=tmp_path / "uv.npy",
    )  # fmt: skip
    sources = motion.uv[:, 0, 0, 0] * 4 - 1
    assert len(sources) > 3
    assert len(motion.frames) == motion.keypoints.conf.shape[1] == motion.people.body.conf.shape[1]
    for frame, source in enumerate(sources.astype(int)):
        np.testing.assert_allclose(motion.keypoints.xy[0, frame], POSES[source], atol=1e-3)
        np.testing.assert_array_equal(motion.masks[0, frame], some_masks()[source])
    write_keypoint_file(tmp_path / "two.json", clip_keypoints(POSES[:2]), size=SIZE)
    with pytest.raises(UserError, match=r"two.json: holds 2 frames, .*a.mp4 has 3; "):
        read_motion(tmp_path / "a.mp4", keypoints_path=tmp_path / "two.json")


def test_sources_without_a_rate_take_the_given_one(tmp_path):
    write_keypoint_file(tmp_path / "k.json", clip_keypoints(), size=SIZE)
    np.save(tmp_path / "uv.npy", np.full((3, 2, *SIZE), 0.5, np.float32))
    for name in ("k.json", "uv.npy"):
        assert read_motion(tmp_path / name, fps=30).fps == 30
        with pytest.warns(InputWarning, match=rf"{name}: has no frame rate; 25 per second"):
            assert read_motion(tmp_path / name).fps == 25
    with pytest.raises(UserError, match=r"d.mp4: has 24 frames per second of its own, not 30"):
        read_motion(densepose(tmp_path / "d.mp4"), fps=30)


def test_a_reference_mask_of_labels_or_of_another_size_is_read(tmp_path):
    mask = parts_of(POSES[0]) > 0
    write_image(tmp_path / "person.png", np.zeros((*SIZE, 3), np.uint8))
    write_image(tmp_path / "labels.png", mask.astype(np.uint8))
    write_image(tmp_path / "half.png", mask[::2, ::2])
    write_image(tmp_path / "wide.png", mask[:100])
    xy = POSES[0][None].astype(np.float32)
    write_keypoint_file(tmp_path / "k.json", Keypoints(xy, np.ones((1, 17), np.float32)))
    given = tmp_path / "person.png", tmp_path / "k.json"
    np.testing.assert_array_equal(read_reference(*given, tmp_path / "labels.png").masks[0], mask)
    with pytest.warns(InputWarning, match=r"half.png: is 128x128 pixels and scaled to the 256x256"):
        assert (read_reference(*given, tmp_path / "half.png").masks[0] == mask).mean() > 0.98
    with pytest.raises(UserError, match=r"wide.png: is 256x100 pixels but the reference .*person"):
        read_reference(*given, tmp_path / "wide.png")


class Finder:
    """Finds the person of `POSES`, and counts what it is asked; nobody where it is told so."""

    def __init__(self, is_blind=False):
        self.asked = []
        self._is_blind = is_blind

    def __call__(self, frames):
        self.asked.append(len(frames))
        if self._is_blind:
            return FoundPeople(no_people(len(frames)))
        keypoints = clip_keypoints(POSES[: len(frames)])
        parts = np.stack([parts_of(pose) for pose in POSES[: len(frames)]])
        return FoundPeople(keypoints, parts[None] > 0, parts, is_followed=True)


def write_scenery(folder):
    write_video(folder / "rgb.mp4", scenery(), 25)
    write_image(folder / "person.png", scenery()[0])
    write_keypoint_file(folder / "moved.json", clip_keypoints([pose + 1 for pose in POSES]), SIZE)
    moved = Keypoints((POSES[0] + 1)[None], np.ones((1, 17)))
    write_keypoint_file(folder / "still.json", moved, SIZE)
    return folder / "rgb.mp4", folder / "person.png"


def test_people_are_looked_for_in_raw_files(tmp_path):
    video, picture = write_scenery(tmp_path)
    finder = Finder()
    motion = read_motion(video, find_people=finder)
    assert (motion.kind, motion.is_followed) == ("rgb", True)
    np.testing.assert_array_equal(motion.keypoints.xy, clip_keypoints().xy)
    np.testing.assert_array_equal(motion.masks[0], motion.parts > 0)
    reference = read_reference(picture, find_people=finder)
    np.testing.assert_array_equal(reference.keypoints.xy[0], POSES[0].astype(np.float32))
    np.testing.assert_array_equal(reference.masks[0], reference.parts > 0)
    assert finder.asked == [3, 1]


def test_nobody_is_looked_for_where_people_are_known(tmp_path):
    video, picture = write_scenery(tmp_path)
    rendering = densepose(tmp_path / "parts.mp4")
    skeletons = [draw_skeleton(clip_keypoints().select(np.s_[:, i]), *SIZE) for i in range(3)]
    write_video(tmp_path / "skeleton.mp4", np.stack(skeletons), 24)
    write_image(tmp_path / "parts.png", render_densepose(parts_of(POSES[0])))
    np.save(tmp_path / "uv.npy", np.full((3, 2, *SIZE), 0.5, np.float32))
    finder = Finder()
    for source in (rendering, tmp_path / "skeleton.mp4"):
        read_motion(source, find_people=finder)
    read_motion(video, keypoints_path=tmp_path / "moved.json", find_people=finder)
    read_motion(tmp_path / "uv.npy", fps=25, find_people=finder)
    read_reference(picture, tmp_path / "still.json", find_people=finder)
    read_reference(picture, parts=tmp_path / "parts.png", find_people=finder)
    assert finder.asked == []


def test_what_is_given_wins_over_what_is_found(tmp_path):
    video, picture = write_scenery(tmp_path)
    masks = np.stack([np.roll(mask, 4, axis=1) for mask in some_masks()])
    np.savez(tmp_path / "m.npz", masks=masks)
    write_image(tmp_path / "m.png", masks[0])
    finder = Finder()
    motion = read_motion(video, masks_path=tmp_path / "m.npz", find_people=finder)
    np.testing.assert_array_equal(motion.masks[0], masks)
    assert (motion.parts > 0).any(axis=(1, 2)).all()
    reference = read_reference(picture, mask=tmp_path / "m.png", find_people=finder)
    np.testing.assert_array_equal(reference.masks[0], masks[0])
    assert finder.asked == [3, 1]


def test_a_part_rendering_beside_a_video_gives_its_people(tmp_path):
    parts = np.stack([np.roll(parts_of(pose), 5, axis=1) for pose in POSES])
    write_video(tmp_path / "rgb.mp4", scenery(), 24)
    rendering = densepose(tmp_path / "parts.mp4", render_densepose(parts))
    finder = Finder()
    motion = read_motion(tmp_path / "rgb.mp4", parts_path=rendering, find_people=finder)
    assert finder.asked == []
    assert motion.kind == "rgb"
    assert (motion.parts == parts).mean() > 0.99
    assert np.abs(motion.keypoints.xy[0] - np.stack(POSES) - [5, 0]).max() < 4
    densepose(tmp_path / "short.mp4", render_densepose(parts[:2]))
    with pytest.raises(UserError, match=r"short.mp4: has 2 frames of 256x256 pixels, the motion 3"):
        read_motion(tmp_path / "rgb.mp4", parts_path=tmp_path / "short.mp4", find_people=finder)


def test_a_drawing_of_another_kind_is_not_searched_unless_it_is_said_to_be_a_video(tmp_path):
    index = (np.arange(25) * 255 // 24).astype(np.uint8)[:, None]
    colours = cv2.applyColorMap(index, cv2.COLORMAP_JET)[:, 0, ::-1]
    drawn = np.stack([colours[parts_of(pose)] for pose in POSES])
    write_video(tmp_path / "drawn.mp4", drawn, 25)
    finder = Finder()
    with pytest.raises(UserError, match=r"drawn.mp4: looks like a drawing .* --driving-kind rgb"):
        read_motion(tmp_path / "drawn.mp4", find_people=finder)
    assert finder.asked == []
    assert read_motion(tmp_path / "drawn.mp4", "rgb", find_people=finder).kind == "rgb"
    assert finder.asked == [3]


def test_where_nobody_is_found_one_line_says_so(tmp_path):
    video, picture = write_scenery(tmp_path)
    write_video(tmp_path / "black.mp4", np.zeros((3, *SIZE, 3), np.uint8), 25)
    for read, path in (
        (read_motion, video), (read_motion, tmp_path / "black.mp4"), (read_reference, picture),
    ):  # fmt: skip
        with pytest.raises(UserError, match=rf"{path.name}: shows nobody; give") as caught:
            read(path, find_people=Finder(is_blind=True))
        assert "\n" not in str(caught.value)


def test_keypoints_follow_a_folder_of_coordinates(tmp_path):
    folder = tmp_path / "uv"
    folder.mkdir()
    for frame in range(len(POSES)):
        np.save(folder / f"frame_{frame}_densepose.npy", np.full((2, *SIZE), 0.5, np.float32))
    write_keypoint_file(tmp_path / "k.json", clip_keypoints(), SIZE)
    motion = read_motion(folder, keypoints_path=tmp_path / "k.json", fps=24)
    assert motion.kind == "uv"
    assert motion.keypoints.conf.shape == (1, len(POSES), 17)
