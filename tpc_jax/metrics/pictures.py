"""All picture metrics of generated frames in one call, in one of the two modes."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, UInt8

from tpc_jax.io.images import resize_opencv
from tpc_jax.metrics.image import mean_absolute_error, overflowing_psnr, psnr, ssim
from tpc_jax.metrics.modes import Mode, check_mode
from tpc_jax.metrics.resize import central_square, crop_square

DISCO_SIZE = 256

Generated = UInt8[np.ndarray, "frames pred_height pred_width 3"]
Frames = UInt8[np.ndarray, "frames height width 3"]
Scored = UInt8[np.ndarray, "frames scored_height scored_width 3"]
Masks = Bool[np.ndarray, "frames height width"] | Bool[Array, "frames height width"]


class PictureScores(NamedTuple):
    """Scores of each picture of a set.

    Attributes:
        mode: By which definitions.
        height: Size at which they were computed, in pixels.
        width: The same.
        values: One number per picture, by metric; NaN where a region is empty.
    """

    mode: Mode
    height: int
    width: int
    values: dict[str, Float[np.ndarray, " frames"]]

    @property
    def label(self) -> str:
        """What to print beside the numbers: L1 and others depend on the size."""
        return f"{self.mode}, {self.width}x{self.height}"


def picture_scores(
    pred: Generated,
    target: Frames,
    *,
    mode: Mode = "correct",
    size: int | None = None,
    masks: Mapping[str, Masks] | None = None,
) -> PictureScores:
    """Score generated pictures against ground truth.

    Args:
        pred: Generated pictures, as read from files.
        target: Ground truth in the same order.
        mode: `correct` gives `mae`, `psnr` and `ssim` at the pictures' own size, which must agree.
            `disco` gives `l1`, `mae` (grey levels), `psnr`, `psnr_first_release` and `ssim`, at the
            resized central square. There the generated pictures may have a size of their own; as
            in DisCo's code OpenCV then resizes them.
        size: Side of the central square; `correct` takes none by default, `disco` 256.
        masks: Regions by name, such as those of `region_masks`, at the pictures' own size. Their
            metrics are called `foreground_psnr` and so on. Not for `disco` or with `size`.

    Returns:
        The scores, labelled.

    Raises:
        ValueError: Different counts or sizes, an unknown mode, or masks where there can be none.
    """
    check_mode(mode)
    if masks and (mode == "disco" or size is not None):
        raise ValueError("masks need mode='correct' and the pictures' own size")
    pred, target = prepare_pictures(pred, target, mode=mode, size=size)
    values = dict(_compiled(mode)(pred, target, dict(masks or {})))
    arrays = {name: np.asarray(value, np.float64) for name, value in values.items()}
    height, width = target.shape[1:3]
    return PictureScores(mode, height, width, arrays)


def prepare_pictures(
    pred: Generated, target: Frames, *, mode: Mode = "correct", size: int | None = None
) -> tuple[Scored, Scored]:
    """Bring generated pictures and ground truth to the size at which they are scored.

    Args:
        pred: Generated pictures.
        target: Ground truth.
        mode: See `picture_scores`.
        size: Side of the central square; `correct` keeps the pictures by default.

    Raises:
        ValueError: Different counts, sizes that mode `correct` cannot compare, unknown mode.
    """
    check_mode(mode)
    for name, frames in (("pred", pred), ("target", target)):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(
                f"{name} must be uint8 (frames, height, width, 3), got {frames.dtype} "
                f"{frames.shape}; round floats with io.images.to_uint8"
            )
    if len(pred) != len(target) or len(pred) == 0:
        raise ValueError(f"pred and target must pair up, got {len(pred)} and {len(target)} frames")
    if mode == "correct" and pred.shape != target.shape:
        raise ValueError(
            f"pred is {pred.shape[1:3]}, target {target.shape[1:3]}; resize one on purpose, or "
            "use mode='disco', which resizes pred"
        )
    side = DISCO_SIZE if mode == "disco" and size is None else size
    if side is None:
        return pred, target
    if pred.shape == target.shape:
        return central_square(pred, side), central_square(target, side)
    squares = crop_square(pred)
    resized = np.stack([resize_opencv(frame, side, side) for frame in squares])
    return resized, central_square(target, side)


@functools.cache
def _compiled(mode: Mode):
    return jax.jit(_disco_scores if mode == "disco" else _correct_scores)


def _correct_scores(pred: Array, target: Array, masks: Mapping[str, Array]) -> dict[str, Array]:
    pred, target = _unit_range(pred), _unit_range(target)
    metrics = {"mae": mean_absolute_error, "psnr": psnr, "ssim": ssim}
    scores = {name: metric(pred, target) for name, metric in metrics.items()}
    for region, mask in masks.items():
        for name, metric in metrics.items():
            scores[f"{region}_{name}"] = metric(pred, target, mask)
    return scores


def _disco_scores(pred: Array, target: Array, _masks: Mapping[str, Array]) -> dict[str, Array]:
    pred, target = _unit_range(pred), _unit_range(target)
    height, width = target.shape[1:3]
    l1 = mean_absolute_error(pred, target, mode="disco")
    return {
        "l1": l1,
        "mae": l1 * (height * width),
        "psnr": psnr(pred, target, mode="disco"),
        "psnr_first_release": overflowing_psnr(pred, target),
        "ssim": ssim(pred, target),
    }


def _unit_range(frames: Array) -> Float[Array, "frames height width 3"]:
    return frames.astype(jnp.float32) / 255.0
