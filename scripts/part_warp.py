"""How well an exact warp of body parts would do: what `tiny`'s aligned score is to be read against.

`python scripts/part_warp.py` takes the held-out people of `tpc-jax sensitivity`. Each part of the
target is copied from the aligned reference by the map between the true bones of both pictures, on
the target's true part map. `tiny` has neither the reference's bones nor the exact place of anything
that is no joint; the warp cannot turn a torso or fill in what the reference hides.
"""

import cv2
import numpy as np
import tyro

from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.studies.datasets.splits import LoadedPair
from tpc_jax.studies.evaluation.pairs import drawn_pair
from tpc_jax.studies.evaluation.scores import score_frames
from tpc_jax.studies.evaluation.truth import true_clip
from tpc_jax.studies.people.coordinates import part_frames


def warp_parts(pair: LoadedPair) -> np.ndarray:
    """Return the true frames with the person replaced by copies of the reference's parts."""
    image, motion, out = pair.reference.image, pair.motion, pair.motion.frames.copy()
    if motion.parts is None or motion.masks is None:
        raise ValueError("pair must have a motion with parts and masks")
    source = part_frames(np.asarray(pair.reference.keypoints.xy[0]))
    person = pair.reference.masks[0]
    average = image[person].mean(0).astype(np.uint8)
    columns = (out, np.asarray(motion.keypoints.xy[0]), motion.parts, motion.masks[0])
    for picture, xy, parts, mask in zip(*columns, strict=True):
        places = np.full((2, *mask.shape), -1.0, np.float32)
        nearest = _spread(parts)
        for part, frame in part_frames(xy).items():
            y, x = np.nonzero(mask & (nearest == part))
            there = source[part] @ np.linalg.pinv(frame) @ np.stack([x, y, np.ones_like(x)])
            places[:, y, x] = there[:2]
        copied, share = (
            cv2.remap(x, places[0], places[1], cv2.INTER_LINEAR)
            for x in (image, person.astype(np.float32))
        )
        is_seen = share > 0.5
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
    found = []
    for index in range(clips):
        pair = drawn_pair(index, size, num_frames=frames, seed=seed)
        scores = score_frames(warp_parts(pair), true_clip(pair.motion, Canvas((size, size))))
        found.append(scores["foreground_psnr"])
    mean = np.mean(found)
    print(f"{clips} people, {size} x {size}: {mean:.1f} dB on the person")


if __name__ == "__main__":
    tyro.cli(main)
