"""Keypoint documents of every format, built as its tool writes them."""

import json

import numpy as np

from tpc_jax.pose.adapters import COCO_FROM_LAYOUT


def in_layout(points, layout, count):
    """Put COCO-17 points into another point set, whose other points lie between them."""
    pairs = np.random.default_rng(count).integers(0, 17, (count, 2))
    other = points[pairs].mean(axis=1)
    other[list(COCO_FROM_LAYOUT[layout])] = points
    return other


def flat(points):
    return points.ravel().tolist()


def xy(points):
    return points[:, :2].tolist()


def own(points):
    return {"keypoints": points.tolist()}


def scored(points, scores="keypoint_scores", **more):
    return {"keypoints": xy(points), scores: points[:, 2].tolist(), **more}


def openpose(points, layout="openpose-18", count=18, **more):
    return {"pose_keypoints_2d": flat(in_layout(points, layout, count)), **more}


def canvas(people, size):
    return {"people": people, "canvas_width": size[1], "canvas_height": size[0]}


def landmarks(points, size):
    full = in_layout(points, "mediapipe-33", 33)
    return [
        {"x": x / size[1], "y": y / size[0], "z": -0.3, "visibility": v}
        for x, y, v in full.tolist()
    ]


def rows(points, size):
    return [[p["x"], p["y"], p["z"], p["visibility"]] for p in landmarks(points, size)]


def ultralytics(points):
    x, y, visible = points.T.tolist()
    detection = {"name": "person", "class": 0, "confidence": 0.9, "box": {"x1": 1, "y1": 2}}
    return {**detection, "keypoints": {"x": x, "y": y, "visible": visible}}


def whole(points):
    return in_layout(points, "wholebody-133", 133)


def in_parts(full):
    parts = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21}
    ends = np.cumsum(list(parts.values()))
    pieces = zip([*parts, "righthand_kpts"], np.split(full, ends), strict=True)
    return {key: flat(part) for key, part in pieces}


def split_whole(points):
    return in_parts(whole(points))


def numbered(truth, make, key, start=0):
    return [{key: index + start, **make(points)} for index, points in enumerate(truth)]


def named(truth, make):
    return {f"{index}.jpg": make(points) for index, points in enumerate(truth)}


def clips(truth, size):
    """Build a clip of one person in every format.

    Args:
        truth: (x, y, confidence) in pixels, `[frames 17 3]`.
        size: (height, width) of the pictures.
    """

    def each(make):
        return [make(points) for points in truth]

    def alphapose(layout, count):
        people = named(truth, lambda p: {"keypoints": flat(in_layout(p, layout, count))})
        return [{"image_id": name, **person, "score": 2.9} for name, person in people.items()]

    instances = numbered(truth, lambda p: {"instances": [scored(p)]}, "frame_id")
    marks = each(lambda p: landmarks(p, size))
    return {
        "our own": {"format": "coco-17", "frames": each(lambda p: {"people": [own(p)]})},
        "COCO results": numbered(truth, lambda p: {"keypoints": flat(p), "category_id": 1},
                                 "image_id", 7),
        "COCO-WholeBody results": numbered(truth, lambda p: {"keypoints": flat(whole(p))},
                                           "image_id"),
        "COCO-WholeBody results in parts": numbered(truth, split_whole, "image_id"),
        "AlphaPose with Halpe-26": alphapose("halpe-26", 26),
        "AlphaPose with Halpe-136": alphapose("halpe-136", 136),
        "AlphaPose by picture": named(truth, lambda p: {"version": "AlphaPose v0.3",
                                                        "people": [openpose(p)]}),
        "AlphaPose as CMU": named(truth, lambda p: {
            "bodies": [{"joints": openpose(p)["pose_keypoints_2d"]}]}),
        "mmpose": {"meta_info": {"dataset_name": "coco"}, "instance_info": instances},
        "mmpose by frames": each(lambda p: [scored(p, bbox=[[1, 2, 3, 4]])]),
        "mmpose as the inferencer returns it": {"predictions": each(lambda p: [scored(whole(p))])},
        "ComfyUI": each(lambda p: canvas([openpose(p, face_keypoints_2d=None)], size)),
        "ViTPose": each(lambda p: [
            scored(p, "scores", labels=list(range(17)), bbox=[1.0, 2, 3, 4])]),
        "ultralytics": each(lambda p: [ultralytics(p)]),
        "ultralytics as strings": each(lambda p: json.dumps([ultralytics(p)])),
        "OpenPifPaf": numbered(truth, lambda p: {"predictions": [{"keypoints": flat(p)}]}, "frame"),
        "rtmlib by frames": each(lambda p: {"keypoints": [xy(p)], "scores": [p[:, 2].tolist()]}),
        "MediaPipe": marks,
        "MediaPipe as rows": each(lambda p: rows(p, size)),
        "MediaPipe tasks": [{"pose_landmarks": [points]} for points in marks],
        "MediaPipe solutions": [{"pose_landmarks": {"landmark": points}} for points in marks],
    }  # fmt: skip


def pictures(points, size):
    """Build a document of one picture of one person in every format that has a file a frame."""
    return {
        "our own": {"format": "coco-17", "people": [own(points)]},
        "COCO results": [{"image_id": 139, "keypoints": flat(points)}],
        "mmpose": [scored(points)],
        "OpenPose": {"version": 1.3, "people": [openpose(points, "openpose-25", 25)]},
        "ComfyUI": [canvas([openpose(points)], size)],
        "ViTPose": [scored(points, "scores")],
        "ultralytics": [ultralytics(points)],
        "OpenPifPaf": [{"keypoints": flat(points), "bbox": [1, 2, 3, 4], "category_id": 1}],
        "MediaPipe": landmarks(points, size),
    }
