"""How well an exact warp of body parts would do: what `tiny`'s aligned score is to be read against.

`python scripts/part_warp.py` takes the held-out people of `tpc-jax sensitivity`. Each part of the
target is copied from the aligned reference by the map between the true bones of both pictures, on
the target's true part map. `tiny` has neither the reference's bones nor the exact place of anything
that is no joint; the warp cannot turn a torso or fill in what the reference hides.
"""

import cv2
import numpy as np
import tyro

from tpc_jax.pose.skeletons import KEYPOINT_INDEX
from tpc_jax.studies.evaluation.pairs import DrivenPair, drawn_pair
from tpc_jax.studies.evaluation.scores import score_frames
from tpc_jax.studies.evaluation.truth import View, true_clip

# DensePose ids that move with a bone; hands and feet go on along forearm and shin.
_BONES = {
    ("left_shoulder", "left_elbow"): (15, 17),
    ("right_shoulder", "right_elbow"): (16, 18),
    ("left_elbow", "left_wrist"): (19, 21, 4),
    ("right_elbow", "right_wrist"): (20, 22, 3),
    ("left_hip", "left_knee"): (8, 10),
    ("right_hip", "right_knee"): (7, 9),
    ("left_knee", "left_ankle"): (12, 14, 5),
    ("right_knee", "right_ankle"): (11, 13, 6),
}
_TORSO, _HEAD = (1, 2), (23, 24)


def part_frames(keypoints: np.ndarray) -> dict[int, np.ndarray]:
    """Return per part id the affine map from the part's own coordinates to pixels."""
    joint = {name: keypoints[index].astype(float) for name, index in KEYPOINT_INDEX.items()}
    left, right = (
        {name: joint[f"{side}_{name}"] for name in ("ear", "shoulder", "hip")}
        for side in ("left", "right")
    )
    middle = {name: (left[name] + right[name]) / 2 for name in left}
    frames = {}
    for (start, end), parts in _BONES.items():
        along = joint[end] - joint[start]
        across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-3)
        frames |= dict.fromkeys(parts, _affine(along, across, joint[start]))
    width = (left["shoulder"] - right["shoulder"] + left["hip"] - right["hip"]) / 2
    down = middle["hip"] - middle["shoulder"]
    frames |= dict.fromkeys(_TORSO, _affine(width, down, middle["shoulder"]))
    neck = middle["shoulder"] - middle["ear"]
    frames |= dict.fromkeys(_HEAD, _affine(neck[::-1] * [1, -1], neck, middle["ear"]))
    return frames


def _affine(*columns: np.ndarray) -> np.ndarray:
    return np.vstack([np.stack(columns, axis=1), [0.0, 0.0, 1.0]])


def warp_parts(pair: DrivenPair) -> np.ndarray:
    """Return the true frames with the person replaced by copies of the reference's parts."""
    reference, driving = pair
    image, out = reference.image, driving.frames.copy()
    source = part_frames(reference.keypoints.xy[0])
    person = reference.masks[0]
    average = image[person].mean(0).astype(np.uint8)
    columns = (out, driving.keypoints.xy[:, 0], driving.parts, driving.masks[0])
    for picture, xy, parts, mask in zip(*columns, strict=True):
        places = np.full((*mask.shape, 2), -1.0, np.float32)
        nearest = _spread(parts)
        for part, frame in part_frames(xy).items():
            y, x = np.nonzero(mask & (nearest == part))
            there = source[part] @ np.linalg.pinv(frame) @ np.stack([x, y, np.ones_like(x)])
            places[y, x] = there[:2].T
        copied = cv2.remap(image, places, None, cv2.INTER_LINEAR)
        is_seen = cv2.remap(person.astype(np.float32), places, None, cv2.INTER_LINEAR) > 0.5
        picture[mask] = np.where(is_seen[..., None], copied, average)[mask]
    return out


def _spread(parts: np.ndarray) -> np.ndarray:
    """Give pixels without a part (hair, clothes, carried things) the nearest part's id."""
    _, label = cv2.distanceTransformWithLabels(
        (parts == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ids = np.zeros(int(label.max()) + 1, parts.dtype)
    ids[label[parts > 0]] = parts[parts > 0]
    return ids[label]


def main(clips: int = 64, frames: int = 8, size: int = 64, seed: int = 0) -> None:
    """Print the mean PSNR on the person in square pictures of a size."""
    found, view = [], View((size, size), (size, size))
    for index in range(clips):
        pair = drawn_pair(index, size, num_frames=frames, seed=seed)
        scores = score_frames(warp_parts(pair), true_clip(pair.driving, view))
        found.append(scores["foreground_psnr"])
    mean = np.mean(found)
    print(f"{clips} people, {size} x {size}: {mean:.1f} dB on the person")


if __name__ == "__main__":
    tyro.cli(main)
