"""Figures with known joints: a DensePose part map whose segments meet exactly at them."""

import cv2
import numpy as np

# A standing person of about 360 pixels, arms away from the body, COCO-17 order, centred at (0, 0).
STANDING = np.array(
    [
        (0, -128), (8, -137), (-8, -137), (20, -133), (-20, -133),
        (46, -92), (-46, -92), (72, -40), (-72, -40), (92, 8), (-92, 8),
        (22, 10), (-22, 10), (30, 90), (-30, 90), (34, 165), (-34, 165),
    ],
    float,
)  # fmt: skip

FRONT = {
    "torso": 2, "right_hand": 3, "left_hand": 4, "left_foot": 5, "right_foot": 6,
    "right_upper_leg": 9, "left_upper_leg": 10, "right_lower_leg": 13, "left_lower_leg": 14,
    "left_upper_arm": 17, "right_upper_arm": 18, "left_lower_arm": 21, "right_lower_arm": 22,
}  # fmt: skip
BACK = {
    "torso": 1, "right_hand": 3, "left_hand": 4, "left_foot": 5, "right_foot": 6,
    "right_upper_leg": 7, "left_upper_leg": 8, "right_lower_leg": 11, "left_lower_leg": 12,
    "left_upper_arm": 15, "right_upper_arm": 16, "left_lower_arm": 19, "right_lower_arm": 20,
}  # fmt: skip


def place(angle=0.0, scale=1.0, at=(256, 256), pose=STANDING):
    turn = np.deg2rad(angle)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return pose @ linear.T + at


def mirrored():
    """The standing person seen from behind: left and right change places on the screen."""
    return STANDING * [-1, 1]


def draw_parts(xy, size=(512, 512), parts=FRONT, skip=()):
    """Draw a part map of a person with joints `xy` (COCO-17)."""
    canvas = np.zeros(size, np.uint8)
    torso_length = np.linalg.norm(xy[[5, 6]].mean(0) - xy[[11, 12]].mean(0))
    unit = torso_length / 100

    def limb(part, start, end, width, name):
        if name not in skip:
            along = (end - start) / np.linalg.norm(end - start)
            across = np.array([-along[1], along[0]]) * width * unit
            quad = np.stack([start + across, end + across, end - across, start - across])
            cv2.fillConvexPoly(canvas, np.rint(quad * 16).astype(np.int32), int(part), shift=4)

    down = (xy[[11, 12]].mean(0) - xy[[5, 6]].mean(0)) / torso_length
    collar = xy[[5, 6]].mean(0) - 14 * unit * down
    for side, joints in (("left", (11, 13, 15)), ("right", (12, 14, 16))):
        hip, knee, ankle = xy[list(joints)]
        limb(parts[f"{side}_upper_leg"], hip, knee, 15, f"{side}_upper_leg")
        limb(parts[f"{side}_lower_leg"], knee, ankle, 11, f"{side}_lower_leg")
        toe = ankle + 18 * unit * down
        limb(parts[f"{side}_foot"], ankle, toe, 8, f"{side}_foot")
    if "torso" not in skip:
        half = (xy[5] - xy[6]) / 2 * 0.8
        waist = (xy[11] - xy[12]) / 2 * 1.7
        middle = xy[[11, 12]].mean(0)
        quad = np.stack([collar - half, collar + half, middle + waist, middle - waist])
        cv2.fillConvexPoly(canvas, np.rint(quad * 16).astype(np.int32), parts["torso"], shift=4)
    for side, joints in (("left", (5, 7, 9)), ("right", (6, 8, 10))):
        shoulder, elbow, wrist = xy[list(joints)]
        root = shoulder + 9 * unit * (shoulder - elbow) / np.linalg.norm(shoulder - elbow)
        limb(parts[f"{side}_upper_arm"], root, elbow, 9, f"{side}_upper_arm")
        limb(parts[f"{side}_lower_arm"], elbow, wrist, 7, f"{side}_lower_arm")
        tip = wrist + 22 * unit * (wrist - elbow) / np.linalg.norm(wrist - elbow)
        limb(parts[f"{side}_hand"], wrist, tip, 7, f"{side}_hand")
    if "head" not in skip:
        _draw_head(canvas, xy, collar, unit, down)
    return canvas


def _draw_head(canvas, xy, collar, unit, down):
    across = (xy[5] - xy[6]) / np.linalg.norm(xy[5] - xy[6])  # towards the person's left
    y, x = np.mgrid[: canvas.shape[0], : canvas.shape[1]]
    offset = np.stack([x, y], -1) - (collar - 28 * unit * down)
    side, height = offset @ across, offset @ down
    head = (side / (17 * unit)) ** 2 + (height / (24 * unit)) ** 2 <= 1
    neck = (np.abs(side) < 9 * unit) & (height > 0) & (height < 29 * unit)
    region = head | neck
    canvas[region & (side < 0)] = 23
    canvas[region & (side >= 0)] = 24
