"""LPIPS distances and the features behind FID, FID-VID and FVD, on a bound network.

Pictures are 8-bit, or floats in [0, 1]; what a network wants of them is done here. The functions
are not jitted: `tpc_jax.metrics.streaming` runs them compiled and in batches.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, UInt8

from tpc_jax.metrics.modes import Mode, check_mode
from tpc_jax.metrics.networks.synthetic import CLIP_SIZE, PICTURE_SIZE
from tpc_jax.metrics.resize import resize
from tpc_jax.model.params import Network, Params, bind

Pictures = Float[Array, "images height width 3"] | UInt8[Array, "images height width 3"]
Clips = Float[Array, "clips frames height width 3"] | UInt8[Array, "clips frames height width 3"]

_FID_SIZE = (299, 299)
_FID_VID_SIZE = (112, 112)
_FID_VID_FRAMES = 16
_FVD_SIZE = (224, 224)
# Kinetics' mean colour in grey levels, red first.
_FID_VID_MEAN = np.array([114.7748, 107.7354, 99.4750], np.float32)


def lpips_distance(
    network: Network, params: Params, pred: Pictures, target: Pictures, *, mode: Mode = "correct"
) -> Float[Array, " images"]:
    """Compute the learned perceptual distance of each pair of pictures.

    Args:
        network: `feature_network("lpips_vgg")` or `"lpips_alex"`.
        params: Its parameters.
        pred: Generated pictures.
        target: Ground truth; order does not matter.
        mode: `correct` gives the network pictures in [-1, 1], for which its heads were trained;
            `disco` 8-bit pictures in [0, 1], as DisCo's evaluation does (with VGG).

    Returns:
        Distances from 0, without unit.

    Raises:
        ValueError: Different shapes, pictures that are neither float nor 8-bit, unknown mode.

    Source:
        Zhang et al. 2018, the `lpips` package; DisCo's evaluation.
    """
    check_mode(mode)
    if pred.shape != target.shape:
        raise ValueError(f"pred and target must have one shape, got {pred.shape}, {target.shape}")
    images = [_grey_levels(x, mode) / 255.0 for x in (pred, target)]
    if mode == "correct":
        images = [2.0 * x - 1.0 for x in images]
    return bind(network, params)(*images)


def fid_input(images: Pictures, mode: Mode = "correct") -> Float[Array, "images 299 299 3"]:
    """Prepare pictures for Inception V3.

    Args:
        images: Pictures of any size.
        mode: `correct` shrinks with Pillow's bicubic filter, anti-aliased, and takes
            `(x - 128) / 128` (clean-fid); `disco` takes 8-bit pictures, samples them bilinearly
            without anti-aliasing and takes `2 x - 1` (pytorch-fid).

    Source:
        Parmar et al. 2022 and the clean-fid package; the pytorch-fid package.
    """
    check_mode(mode)
    levels = _grey_levels(images, mode)
    if mode == "correct":
        return (resize(levels, _FID_SIZE, "bicubic") - 128.0) / 128.0
    return 2.0 * resize(levels / 255.0, _FID_SIZE, "bilinear", antialias=False) - 1.0


def fid_features(
    network: Network, params: Params, images: Pictures, *, mode: Mode = "correct"
) -> Float[Array, "images features"]:
    """Compute the pooled features of Inception V3, of which FID compares the statistics.

    Args:
        network: `feature_network("inception_v3")`.
        params: Its parameters.
        images: Pictures; all frames of all videos make one set.
        mode: See `fid_input`.

    Raises:
        ValueError: Pictures that are neither float nor 8-bit, unknown mode.
    """
    return bind(network, params)(fid_input(images, mode))


def fid_vid_input(clips: Clips, mode: Mode = "correct") -> Float[Array, "segments 16 112 112 3"]:
    """Prepare clips for the 3-D ResNet, cut into segments of 16 frames.

    Pillow's bicubic filter on float channels, neither rounded nor clipped, then grey levels minus
    Kinetics' mean. A last segment that is too short repeats the clip's last frame.

    Args:
        clips: Clips of any size and length.
        mode: `disco` rounds the frames to 8 bits first, as files do.

    Returns:
        All segments of the first clip, then those of the second.
    """
    check_mode(mode)
    missing = -clips.shape[1] % _FID_VID_FRAMES
    padded = jnp.pad(clips, ((0, 0), (0, missing), (0, 0), (0, 0), (0, 0)), mode="edge")
    segments = padded.reshape(-1, _FID_VID_FRAMES, *clips.shape[2:])
    return resize(_grey_levels(segments, mode), _FID_VID_SIZE, "bicubic") - _FID_VID_MEAN


def fid_vid_features(
    network: Network, params: Params, clips: Clips, *, mode: Mode = "correct"
) -> Float[Array, "clips features"]:
    """Compute the features of the 3-D ResNet, averaged over the segments of each clip.

    Args:
        network: `feature_network("resnet3d_50")`.
        params: Its parameters.
        clips: Clips, usually of 16 frames.
        mode: See `fid_vid_input`.

    Raises:
        ValueError: Pictures that are neither float nor 8-bit, unknown mode.

    Source:
        DisCo's evaluation, `FVD-3DRN50`.
    """
    features = bind(network, params)(fid_vid_input(clips, mode))
    return jnp.mean(features.reshape(clips.shape[0], -1, features.shape[-1]), axis=1)


def fvd_input(clips: Clips, mode: Mode = "correct") -> Float[Array, "clips frames 224 224 3"]:
    """Prepare clips for I3D: Pillow's bicubic filter on float channels, then `x / 127.5 - 1`.

    Args:
        clips: Clips of any size and length.
        mode: `disco` rounds the frames to 8 bits first, as files do.
    """
    check_mode(mode)
    return resize(_grey_levels(clips, mode), _FVD_SIZE, "bicubic") / 127.5 - 1.0


def fvd_features(
    network: Network, params: Params, clips: Clips, *, mode: Mode = "correct"
) -> Float[Array, "clips features"]:
    """Compute the logits of I3D, of which FVD compares the statistics: each clip at once.

    Args:
        network: `feature_network("i3d")`.
        params: Its parameters.
        clips: Clips, usually of 16 frames.
        mode: See `fvd_input`.

    Raises:
        ValueError: Pictures that are neither float nor 8-bit, unknown mode.

    Source:
        Unterthiner et al. 2018; DisCo's evaluation, `FVD-3DInception`.
    """
    return bind(network, params)(fvd_input(clips, mode))


def synthetic_picture_features(
    network: Network, params: Params, images: Pictures, *, mode: Mode = "correct"
) -> Float[Array, "images features"]:
    """Compute the synthetic features of pictures; see `metrics.networks.synthetic`.

    Args:
        network: `synthetic_network("pictures")`.
        params: Its parameters.
        images: Pictures of any size.
        mode: Only `correct`; the field has no such features.

    Raises:
        ValueError: Pictures that are neither float nor 8-bit, another mode.
    """
    bound: Any = bind(network, params)
    return bound.features(_synthetic_input(images, PICTURE_SIZE, mode))


def synthetic_clip_features(
    network: Network, params: Params, clips: Clips, *, mode: Mode = "correct"
) -> Float[Array, "clips features"]:
    """Compute the synthetic features of clips; see `synthetic_picture_features`."""
    bound: Any = bind(network, params)
    return bound.features(_synthetic_input(clips, CLIP_SIZE, mode))


def _synthetic_input(images: Array, size: int, mode: Mode) -> Array:
    if mode != "correct":
        raise ValueError(f"synthetic features know mode 'correct' only, got {mode!r}")
    return resize(_grey_levels(images, mode) / 255.0, (size, size), "bicubic")


def _grey_levels(images: Array, mode: Mode) -> Float[Array, "..."]:
    """Return values 0...255 as float32, whole ones in mode `disco`."""
    if images.shape[-1] != 3:
        raise ValueError(f"pictures must have 3 channels last, got shape {images.shape}")
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"pictures must be uint8 or floats in [0, 1], got {images.dtype}")
    levels = images.astype(jnp.float32) * 255.0
    return jnp.round(jnp.clip(levels, 0.0, 255.0)) if mode == "disco" else levels
