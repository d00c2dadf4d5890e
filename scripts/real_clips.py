"""Judge calibrations on DensePose renderings of real people; see docs/calibration.md.

`python scripts/real_clips.py DIR` reads all videos in a folder. One frame of each is the reference,
turned and scaled, once with part maps and once with keypoints alone. Parts: share of the union of
both persons on which the same of 14 body segments is shown.
"""

import sys
from pathlib import Path

import numpy as np
import tyro

from tpc_jax.errors import UserError
from tpc_jax.pose.cast import choose_people
from tpc_jax.pose.reading import Motion, read_motion
from tpc_jax.studies.real_clips import Agreement, from_behind, measure, moved_reference, search

ANGLES, SCALES = (0.0, 60.0, 180.0), (1.0, 0.6)
_COLUMNS = ("none", "face", "lts", "refined", "searched", "share", "worse")


def main(
    folder: tyro.conf.Positional[Path], frame: int = 0, moved: bool = True, quick: bool = False
) -> None:
    """Print parts per clip and way of calibrating.

    Args:
        folder: Folder of DensePose videos (mp4).
        frame: Which frame of each clip is the reference.
        moved: Also turn and scale the reference.
        quick: Leave out the search for the best that a similarity could do.
    """
    paths = sorted(folder.glob("*.mp4"))
    if not paths:
        raise UserError(f"{folder}: holds no mp4 files; give a folder of DensePose videos")
    heads = "".join(f"{name:>9}" for name in _COLUMNS)
    print(f"{'clip':16} {'evidence':10}{'angle':>6}{'scale':>6}{heads}")
    for path in paths:
        motion = read_motion(path, "densepose")
        if not 0 <= frame < len(motion.frames):
            raise UserError(f"--frame {frame}: {path} has {len(motion.frames)} frames")
        _judge_clip(path.stem, motion, frame, moved, quick)


def _judge_clip(name: str, motion: Motion, frame: int, moved: bool, quick: bool) -> None:
    still = moved_reference(motion, frame)
    still = still._replace(keypoints=still.keypoints.select(np.s_[:1]), masks=still.masks[:1])
    alone = choose_people(still, motion)
    behind = from_behind(alone)
    best = None if quick else search(still, alone)
    for angle in ANGLES if moved else ANGLES[:1]:
        for scale in SCALES if moved else SCALES[:1]:
            reference = moved_reference(alone, frame, angle, scale)
            for evidence in ("parts", "keypoints"):
                found = measure(reference, alone, keypoints_alone=evidence == "keypoints")
                _print_row((name, evidence, angle, scale), found, best, slice(None))
                if behind.any():
                    row = (f"{name} behind", evidence, angle, scale)
                    _print_row(row, found, best, behind)


def _print_row(row: tuple, found: Agreement, best: np.ndarray | None, frames) -> None:
    name, evidence, angle, scale = row
    refined = float(found.refined[frames].mean())
    cells = [f"{float(x[frames].mean()):.3f}" for x in found]
    if best is None:
        cells += ["-", "-"]
    else:
        searched = float(best[frames].mean())
        cells += [f"{searched:.3f}", f"{refined / searched:.0%}"]
    cells.append(f"{Agreement(*(x[frames] for x in found)).share_worse:.1%}")
    values = "".join(f"{cell:>9}" for cell in cells)
    print(f"{name:16} {evidence:10}{angle:6.0f}{scale:6.1f}{values}", flush=True)


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except UserError as error:
        sys.exit(f"real_clips: {error}")
