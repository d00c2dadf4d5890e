"""Every format that is read, built here as its tool writes it, gives the same COCO-17 points."""

import json
import warnings

import numpy as np
import pytest
from keypoint_documents import (
    canvas,
    clips,
    flat,
    in_layout,
    in_parts,
    numbered,
    openpose,
    own,
    pictures,
    scored,
    split_whole,
    whole,
)

from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.keypoint_files import read_keypoint_file
from tpc_jax.io.keypoints.placing import Pictures
from tpc_jax.pose.dwpose import whole_body
from tpc_jax.pose.reading import read_keypoints, read_motion
from tpc_jax.pose.skeletons import KEYPOINT_NAMES

RNG = np.random.default_rng(5)
SIZE = (120, 100)
FRAMES = 4
TRUTH = np.concatenate(
    [RNG.uniform(5, 95, (FRAMES, 17, 2)), RNG.uniform(0.4, 1, (FRAMES, 17, 1))], axis=-1
)


CLIPS = clips(TRUTH, SIZE)
FOLDERS = list(pictures(TRUTH[0], SIZE))


def read(path, num_frames=FRAMES, size=SIZE):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return read_keypoints(path, size, num_frames)


def require_truth(keypoints, truth=TRUTH):
    np.testing.assert_allclose(keypoints.xy[0], truth[..., :2], atol=1e-3)
    np.testing.assert_allclose(keypoints.conf[0], truth[..., 2], atol=1e-3)


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_of_every_format_is_read(tmp_path, name):
    (tmp_path / "k.json").write_text(json.dumps(CLIPS[name]))
    require_truth(read(tmp_path / "k.json"))


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_with_a_file_per_frame_is_read(tmp_path, name):
    for index, points in enumerate(TRUTH):  # text order would put 10 before 9
        file = tmp_path / f"v_{index + 8}_keypoints.json"
        file.write_text(json.dumps(pictures(points, SIZE)[name]))
    require_truth(read(tmp_path))


@pytest.mark.parametrize("name", FOLDERS)
def test_an_empty_frame_and_odd_people_do_not_stop_a_clip(tmp_path, name):
    for index, points in enumerate(TRUTH):
        document = pictures(points, SIZE)[name]
        people = document["people"] if isinstance(document, dict) else document
        if name == "ComfyUI":
            people = document[0]["people"]
        if index == 1:
            people.clear()
        elif name != "MediaPipe":
            people += [None, {}] if index == 2 else []
        (tmp_path / f"{index}.json").write_text(json.dumps(document))
    truth = TRUTH.copy()
    truth[1] = 0
    require_truth(read(tmp_path), truth)


ODD = [
    None,
    [],
    {},
    7,
    {"pose_keypoints_2d": None, "hand_left_keypoints_2d": [1.0] * 63},
    {"pose_keypoints_2d": [], "hand_right_keypoints_2d": [1.0] * 63},
    {"pose_keypoints_2d": [1.0] * 51},
    {"pose_keypoints_2d": "none"},
]


def test_odd_people_are_left_out_and_counted(tmp_path):
    document = [canvas([*ODD, openpose(points)], SIZE) for points in TRUTH]
    (tmp_path / "k.json").write_text(json.dumps(document))
    with pytest.warns(
        InputWarning, match=rf"k.json: {len(ODD) * FRAMES} entries are left out; "
    ) as said:
        require_truth(read_keypoints(tmp_path / "k.json", SIZE, FRAMES))
    assert len(said) == 1


def test_a_number_among_people_makes_frames_no_landmarks(tmp_path):
    (tmp_path / "k.json").write_text(json.dumps([[7, scored(points)] for points in TRUTH]))
    require_truth(read(tmp_path / "k.json"))


def test_a_file_of_odd_people_alone_is_an_error(tmp_path):
    (tmp_path / "k.json").write_text(json.dumps(canvas(ODD, SIZE)))
    with pytest.raises(UserError, match=r"k\.json: holds no people that can be read: .*null"):
        read_keypoints(tmp_path / "k.json", SIZE)
    nobody = np.zeros((18, 3))
    (tmp_path / "k.json").write_text(
        json.dumps(canvas([{"pose_keypoints_2d": flat(nobody)}], SIZE))
    )
    with pytest.raises(UserError, match="no people with a visible point"):
        read_keypoints(tmp_path / "k.json", SIZE)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_no_fault(tmp_path, encoding):
    (tmp_path / "k.json").write_text(json.dumps(CLIPS["our own"]), encoding=encoding)
    require_truth(read(tmp_path / "k.json"))


def test_json_lines_are_frames(tmp_path):
    lines = [json.dumps(frame) for frame in CLIPS["OpenPifPaf"]]
    (tmp_path / "k.json").write_text("\n".join(lines) + "\n")
    require_truth(read(tmp_path / "k.json"))


def test_arrays_of_a_clip(tmp_path):
    np.savez(tmp_path / "k.npz", keypoints=TRUTH[:, None, :, :2], scores=TRUTH[:, None, :, 2])
    require_truth(read(tmp_path / "k.npz"))
    np.save(tmp_path / "k.npy", TRUTH)
    require_truth(read(tmp_path / "k.npy"))


def test_arrays_of_one_axis_are_people_or_frames_by_the_number_of_frames(tmp_path):
    np.savez(tmp_path / "k.npz", keypoints=TRUTH[..., :2], scores=TRUTH[..., 2])
    require_truth(read(tmp_path / "k.npz"))
    assert read(tmp_path / "k.npz", 1).conf.shape == (FRAMES, 1, 17)
    with pytest.raises(UserError, match="4 people of one picture or one person of 4"):
        read(tmp_path / "k.npz", 9)


def test_arrays_per_frame_in_a_folder(tmp_path):
    for index, points in enumerate(TRUTH):
        people = points[None] if index != 2 else np.zeros((0, 17, 3))
        np.savez(tmp_path / f"{index}.npz", keypoints=people[..., :2], scores=people[..., 2])
    truth = TRUTH.copy()
    truth[2] = 0
    require_truth(read(tmp_path), truth)


def test_arrays_that_say_too_little_are_refused(tmp_path):
    np.savez(tmp_path / "k.npz", keypoints=TRUTH[..., :2])
    with pytest.raises(UserError, match=r"k\.npz: .*scores"):
        read(tmp_path / "k.npz")
    np.savez(tmp_path / "o.npz", keypoints=np.array([{}], dtype=object))
    with pytest.raises(UserError, match=r"o\.npz: holds no plain NumPy arrays"):
        read(tmp_path / "o.npz")
    np.savez(tmp_path / "p.npz", poses=TRUTH)
    with pytest.raises(UserError, match=r"p\.npz: has poses; 'keypoints' is needed"):
        read(tmp_path / "p.npz")


def test_weak_points_that_vitpose_leaves_out_stay_in_place(tmp_path):
    kept = [0, 5, 6, 7, 8, 11, 12, 16]
    person = scored(TRUTH[0][kept], "scores", labels=kept)
    (tmp_path / "k.json").write_text(json.dumps([person]))
    keypoints = read(tmp_path / "k.json", 1)
    np.testing.assert_allclose(keypoints.xy[0, 0, kept], TRUTH[0][kept, :2], atol=1e-4)
    assert set(np.flatnonzero(keypoints.conf[0, 0])) == set(kept)


@pytest.mark.parametrize("count", [18, 25])
def test_hands_and_face_of_openpose_are_kept(tmp_path, count):
    face, left, right = (
        np.concatenate([RNG.uniform(5, 95, (n, 2)), np.ones((n, 1))], 1) for n in (70, 21, 21)
    )
    parts = {"face": face, "hand_left": left, "hand_right": right}
    more = {f"{key}_keypoints_2d": flat(value) for key, value in parts.items()}
    document = canvas(
        [openpose(TRUTH[0], f"openpose-{count}", count, foot_keypoints_2d=[1.0] * 18, **more)],
        SIZE,
    )
    (tmp_path / "k.json").write_text(json.dumps(document))
    file = read_keypoint_file(tmp_path / "k.json")
    people = whole_body(file.points, file.layout)
    np.testing.assert_allclose(people.face.xy[0, 0], face[:68, :2])
    np.testing.assert_allclose(people.hands.xy[0, 0], np.stack([left, right])[..., :2])
    require_truth(read(tmp_path / "k.json", 1), TRUTH[:1])


def test_hands_and_face_of_halpe_are_kept(tmp_path):
    points = in_layout(TRUTH[0], "halpe-136", 136)
    (tmp_path / "k.json").write_text(json.dumps([{"image_id": 1, "keypoints": flat(points)}]))
    file = read_keypoint_file(tmp_path / "k.json")
    people = whole_body(file.points, file.layout)
    np.testing.assert_allclose(people.face.xy[0, 0], points[26:94, :2])
    np.testing.assert_allclose(people.hands.xy[0, 0], points[94:, :2].reshape(2, 21, 2))


@pytest.mark.parametrize("name", ["our own", "ComfyUI", "COCO"])
def test_a_file_that_states_its_canvas_is_a_motion(tmp_path, name):
    pose = np.stack([[60, 20 + 5 * k, 1.0] if k < 5 else [40 + 40 * (k % 2), 10 + 6 * k, 1.0]
                     for k in range(17)])  # fmt: skip
    if name == "our own":
        people = [{"keypoints": pose.tolist()}]
        document = {"format": "coco-17", "height": SIZE[0], "width": SIZE[1], "people": people}
    elif name == "ComfyUI":
        document = [canvas([openpose(pose)], SIZE)]
    else:
        image = {"id": 4, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
        document = {"images": [image], "annotations": [{"image_id": 4, "keypoints": flat(pose)}]}
    (tmp_path / "k.json").write_text(json.dumps(document))
    motion = read_motion(tmp_path / "k.json")
    assert (motion.kind, motion.frames.shape) == ("openpose", (1, *SIZE, 3))
    np.testing.assert_allclose(motion.keypoints.xy[0, 0], pose[:, :2], atol=1e-3)


def test_a_file_without_a_canvas_is_no_motion(tmp_path):
    (tmp_path / "k.json").write_text(json.dumps(CLIPS["mmpose"]))
    with pytest.raises(UserError, match="does not say the size of its pictures"):
        read_motion(tmp_path / "k.json")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"bodies": {"candidate": [], "subset": []}}, "has no body, but is .*candidate, subset"),
        ({"pose_world_landmarks": []}, "unknown keypoint format .*pose_world_landmarks"),
        ([[[0.5, 0.5, 0.1]] * 33], "33 points without visibility"),
        ([{"image_id": 1, "keypoints": [1.0] * 42}], "14 points, expected 17 or 26 or 133 or 136"),
        ({"people": [{"pose_keypoints_2d": [1.0] * 405}]}, "135 points, expected 18 or 25"),
        ([{"name": "dog", "box": {}, "class": 16}], "unknown keypoint format"),
        ("text", "unknown keypoint format"),
        ({"images": [{"id": 1}], "annotations": [{"image_id": 2, "keypoints": []}]}, "none of the"),
        ({"images": [{}], "annotations": []}, "it lacks 'id'"),
    ],
)
def test_other_formats_are_refused_by_what_they_hold(tmp_path, document, words):
    (tmp_path / "k.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=words) as caught:
        read_keypoint_file(tmp_path / "k.json", Pictures(SIZE))
    assert "\n" not in str(caught.value)


def test_deep_nesting_and_huge_numbers_are_refused_in_one_line(tmp_path):
    for text in ("[" * 100_000, '[{"image_id": 1, "keypoints": [' + "9" * 5000 + "]}]",
                 '{"people": [{"pose_keypoints_2d": [' + "1e999, " * 53 + "1]}]}"):  # fmt: skip
        (tmp_path / "k.json").write_text(text)
        with pytest.raises(UserError) as caught:
            read_keypoint_file(tmp_path / "k.json")
        assert "\n" not in str(caught.value)


def test_points_go_by_the_names_that_the_file_gives(tmp_path):
    order = RNG.permutation(17)
    names = [KEYPOINT_NAMES[k] for k in order]
    meta = {"meta_info": {"keypoint_id2name": {str(i): name for i, name in enumerate(names)}}}
    inverse = {"meta_info": {"keypoint_name2id": {name: i for i, name in enumerate(names)}}}
    instances = numbered(TRUTH, lambda p: {"instances": [scored(p[order])]}, "frame_id")
    category = {"id": 1, "name": "person", "keypoints": names}
    annotations = numbered(
        TRUTH, lambda p: {"category_id": 1, "keypoints": flat(p[order])}, "image_id"
    )
    frames = [{"people": [own(points[order])]} for points in TRUTH]
    for document in (
        meta | {"instance_info": instances},
        inverse | {"instance_info": instances},
        {"categories": [category], "annotations": annotations},
        {"format": "coco-17", "keypoint_names": names, "frames": frames},
    ):
        (tmp_path / "k.json").write_text(json.dumps(document))
        require_truth(read(tmp_path / "k.json"))


def test_names_of_the_body_leave_hands_and_face_in_place(tmp_path):
    full = whole(TRUTH[0])
    person = in_parts(full) | {"image_id": 1, "category_id": 1}
    category = {"id": 1, "name": "person", "keypoints": list(KEYPOINT_NAMES)}
    (tmp_path / "k.json").write_text(
        json.dumps({"categories": [category], "annotations": [person]})
    )
    file = read_keypoint_file(tmp_path / "k.json")
    assert file.layout == "wholebody-133"
    np.testing.assert_allclose(file.points[0, 0], full)


def test_people_with_and_without_hands_stand_in_one_file(tmp_path):
    people = [split_whole(TRUTH[0]), {"keypoints": flat(TRUTH[1])}, {"keypoints": flat(TRUTH[2])}]
    (tmp_path / "k.json").write_text(json.dumps([{"image_id": 1, **person} for person in people]))
    keypoints = read(tmp_path / "k.json", 1)
    np.testing.assert_allclose(keypoints.xy[:, 0], TRUTH[:3, :, :2], atol=1e-3)


def test_points_named_otherwise_are_refused_whatever_their_number(tmp_path):
    names = [name.replace("ankle", "hoof") for name in KEYPOINT_NAMES]
    category = {"id": 1, "name": "horse", "keypoints": names}
    annotation = {"image_id": 1, "category_id": 1, "keypoints": flat(TRUTH[0])}
    document = {"categories": [category], "annotations": [annotation]}
    (tmp_path / "k.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="names no left_ankle, right_ankle among its points"):
        read(tmp_path / "k.json", 1)


def test_texts_of_a_file_are_shown_in_one_line(tmp_path):
    (tmp_path / "k\x1b.json").write_text(json.dumps({"a\r\nb\ud800\x85": 1}))
    with pytest.raises(UserError, match=r"k\\x1b\.json: .*\(a dictionary of a b\\ud800") as caught:
        read_keypoint_file(tmp_path / "k\x1b.json")
    assert str(caught.value).isprintable()
