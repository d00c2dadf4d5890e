"""All scores of one animated clip, by region, and which of them a variant may be judged by."""

import jax
import numpy as np
from jaxtyping import Bool, UInt8

from tpc_jax.io.images import from_uint8
from tpc_jax.metrics.pictures import picture_scores
from tpc_jax.metrics.placement import LEAST_MATCH, picture_placement
from tpc_jax.metrics.temporal import flicker, frame_difference_error
from tpc_jax.studies.evaluation.truth import Truth

# Scores that ask where in the picture something is are unfair to those who move the motion: their
# person stands, rightly, elsewhere. Colours by body part ask only what the person looks like.
FAIR_WHEN_MOVED = ("part_color_error",)
# Of the generated person against the motion's, see `placement_errors`.
PLACEMENT_ERRORS = ("scale_error", "rotation_error", "shift_error")
_NUM_PARTS = 25
# Of the field's convention, see `metrics.modes`.
DISCO_SCORES = ("l1", "psnr", "ssim")
# Fewer pixels of a part say little about its colour.
_LEAST_PIXELS = 4


_jit_flicker = jax.jit(flicker)
_jit_motion = jax.jit(frame_difference_error)
# Of single pictures: one program serves clips of any length.
_jit_placement = jax.jit(picture_placement)


def score_frames(
    frames: UInt8[np.ndarray, "frames height width 3"],
    truth: Truth,
    parts: UInt8[np.ndarray, "frames height width"] | None = None,
    *,
    is_moved: bool = False,
    use_disco: bool = False,
) -> dict[str, float]:
    """Score an animated clip, averaged over its frames.

    Args:
        frames: The animated clip.
        truth: The true clip.
        parts: Part maps that the clip was made from, if they are not the truth's.
        is_moved: Whether its person stands elsewhere than the truth's by design; then only
            `FAIR_WHEN_MOVED` is given.
        use_disco: Whether to score as DisCo's evaluation does too, at 256x256.

    Returns:
        `mae`, `psnr`, `ssim`, the same by region (`foreground_psnr` and so on), `flicker`,
        `motion_error` by region, `part_color_error`, those of `placement_errors`, `disco_l1` and so
        on. What cannot be told is left out.
    """
    scores = {}
    if truth.parts is not None:
        own = truth.parts if parts is None else parts
        scores["part_color_error"] = part_color_error(frames, own, truth.frames, truth.parts)
    if not is_moved:
        scores |= _placed_scores(frames, truth)
        if truth.masks is not None:
            scores |= placement_errors(frames, truth.frames, truth.masks)
        if use_disco:
            values = picture_scores(frames, truth.frames, mode="disco").values
            scores |= {f"disco_{name}": _mean(values[name]) for name in DISCO_SCORES}
    return {name: float(value) for name, value in scores.items() if np.isfinite(value)}


def _placed_scores(frames, truth: Truth) -> dict[str, float]:
    values = picture_scores(frames, truth.frames, masks=truth.regions).values
    scores = {name: _mean(value) for name, value in values.items()}
    if len(frames) > 1:
        pred, target = from_uint8(frames), from_uint8(truth.frames)
        scores["flicker"] = float(_jit_flicker(pred, target))
        scores["motion_error"] = float(_jit_motion(pred, target))
        for name in ("foreground", "background"):
            if name in truth.regions:
                error = _jit_motion(pred, target, truth.regions[name])
                scores[f"{name}_motion_error"] = float(error)
    return scores


def placement_errors(
    frames: UInt8[np.ndarray, "frames height width 3"],
    target: UInt8[np.ndarray, "frames height width 3"],
    masks: Bool[np.ndarray, "frames height width"],
) -> dict[str, float]:
    """Compare size, turn and place of the person with the motion's, frame by frame.

    Args:
        frames: Generated clip.
        target: Ground truth.
        masks: Its person.

    Returns:
        `scale_error`, |log of the size ratio|; `rotation_error`, degrees; `shift_error`, person
        heights; each the median over the frames that show a person. `person_found` is the share of
        them in which the generated one is found; where it is not, errors count as beyond all
        others, so that a clip with the person lost in half of its frames has infinite ones.
    """
    errors = []
    for pred, true, mask in zip(frames, target, masks, strict=True):
        if mask.any():
            found = _jit_placement(from_uint8(pred), from_uint8(true), mask)
            error = [abs(np.log(found.scale)), abs(np.degrees(found.angle)), np.hypot(*found.shift)]
            errors.append(error if found.match >= LEAST_MATCH else [np.inf] * len(error))
    if not errors:
        return {}
    medians = dict(zip(PLACEMENT_ERRORS, np.median(errors, axis=0).tolist(), strict=True))
    return {**medians, "person_found": float(np.isfinite(errors).all(axis=1).mean())}


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def part_color_error(
    pred: UInt8[np.ndarray, "frames height width 3"],
    pred_parts: UInt8[np.ndarray, "frames height width"],
    target: UInt8[np.ndarray, "frames height width 3"],
    target_parts: UInt8[np.ndarray, "frames height width"],
) -> float:
    """Compare mean colours of body parts, wherever they are.

    `mean |mean colour of the part in pred - the same in target|` over frames, channels and the
    parts that both show; place, size and turn do not matter, clothes on the wrong limb do.

    Args:
        pred: Generated clip.
        pred_parts: DensePose part ids by which it was generated.
        target: Ground truth.
        target_parts: Its part ids.

    Returns:
        Error as a fraction of full scale; NaN where no part is shown by both.

    Source:
        Own definition.
    """
    sums = [_part_colors(*pair) for pair in ((pred, pred_parts), (target, target_parts))]
    both = np.logical_and(*(count >= _LEAST_PIXELS for _, count in sums))
    ours, theirs = (total[both] / count[both, None] for total, count in sums)
    return float(np.abs(ours - theirs).mean() / 255) if both.any() else float("nan")


def _part_colors(frames, parts) -> tuple[np.ndarray, np.ndarray]:
    """Return sum of colours [frames parts 3] and pixels [frames parts] of parts 1 to 24."""
    index = parts.astype(np.int64) + _NUM_PARTS * np.arange(len(parts))[:, None, None]
    length = _NUM_PARTS * len(parts)
    count = np.bincount(index.ravel(), minlength=length).reshape(-1, _NUM_PARTS)
    channels = [
        np.bincount(index.ravel(), frames[..., c].ravel(), length).reshape(-1, _NUM_PARTS)
        for c in range(3)
    ]
    return np.stack(channels, -1)[:, 1:], count[:, 1:]
