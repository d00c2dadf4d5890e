"""Writers of the layouts of published data sets."""

import base64
import json

import cv2
import numpy as np

from tpc_jax.io.images import write_image
from tpc_jax.pose.densepose import render_densepose

SIZE, NUM_FRAMES = 64, 6


def write_disco_video(folder, clip, *, inner="images", first=1):
    """Write a video as DisCo's code prepares it; keypoints with three decimals."""
    for index, frame in enumerate(clip.frames):
        name = f"{first + index:04d}.png"
        write_image(folder / inner / name, frame)
        painted = np.where(clip.masks[0, index, ..., None], (253, 231, 36), (68, 1, 84))
        (folder / "groundsam").mkdir(exist_ok=True)
        bgr = np.ascontiguousarray(painted[..., ::-1].astype(np.uint8))
        cv2.imwrite(str(folder / "groundsam" / f"{name}.mask.jpg"), bgr)
        write_image(folder / "densepose" / name, render_densepose(clip.parts[index, None])[0])
        xy, conf = clip.keypoints.xy[0, index], clip.keypoints.conf[0, index]
        points = [
            [round(float(x), 3), round(float(y), 3), float(c)] if c else [-1, -1, -1]
            for (x, y), c in zip(xy, conf, strict=True)
        ]
        (folder / "openpose_json").mkdir(exist_ok=True)
        path = folder / "openpose_json" / f"{name}.json"
        path.write_text(json.dumps([{"keypoints": points}]))


def row(key, picture, *more, suffix=".png"):
    encoded = cv2.imencode(suffix, np.ascontiguousarray(picture[..., ::-1]))[1]
    return "\t".join([key, base64.b64encode(encoded).decode(), *more]) + "\n"
