"""Fine-tuning of DreamPose on the pictures of one person, in two resumable stages."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from tpc_jax.animators.base import CONTEXT
from tpc_jax.animators.dreampose import DreamPoseAnimator
from tpc_jax.animators.tokens import NULL
from tpc_jax.conditioning.uv import fit_uv
from tpc_jax.model import params as P
from tpc_jax.model.config import Config
from tpc_jax.model.params import Params
from tpc_jax.sampler.schedule import alphas_cumprod
from tpc_jax.studies.training.config import StageConfig
from tpc_jax.studies.training.loop import run_stage


def _denoiser() -> StageConfig:
    return StageConfig(steps=500, clips=1, frames=1, learning_rate=1e-5)


def _decoder() -> StageConfig:
    return StageConfig(steps=1500, clips=4, frames=1, learning_rate=5e-5)


@dataclasses.dataclass(frozen=True)
class FinetuneConfig(Config):
    """Both stages; the defaults are those of the original for one person.

    Attributes:
        denoiser: Stage 1: denoiser and adapter, on the noise. `clips` is the batch.
        decoder: Stage 2: the autoencoder's decoder, on the pictures.
        target_range: "unit" encodes pictures in [0, 1], as the published weights are trained;
            "signed" in [-1, 1].
        drop_share: Share of batches without pose, without picture or without both, a third each.
        crop_share: Share of samples that lose a margin.
        crop_pixels: Most pixels that they lose at a side pair.
        save_every: Steps between checkpoints.
    """

    denoiser: StageConfig = dataclasses.field(default_factory=_denoiser)
    decoder: StageConfig = dataclasses.field(default_factory=_decoder)
    target_range: Literal["unit", "signed"] = "unit"
    drop_share: float = 0.0
    crop_share: float = 0.7
    crop_pixels: int = 25
    save_every: int = 100


class PersonBatch(NamedTuple):
    """Pictures of one person with their poses.

    Attributes:
        reference: The pictures that are read.
        target: The pictures that are denoised.
        pose: DensePose coordinates of the targets, in [0, 1].
        has_picture: False hides the references.
        has_pose: False hides the poses.
    """

    reference: UInt8[np.ndarray, "samples height width 3"]
    target: UInt8[np.ndarray, "samples height width 3"]
    pose: Float[np.ndarray, "samples height width 2"]
    has_picture: Bool[np.ndarray, ""]
    has_pose: Bool[np.ndarray, ""]


def finetune(
    animator: DreamPoseAnimator,
    params: Params,
    pictures: UInt8[np.ndarray, "pictures height width 3"],
    uv: Float[np.ndarray, "pictures height width 2"],
    config: FinetuneConfig,
    directory: Path,
) -> Params:
    """Fine-tune denoiser, adapter and decoder, going on from what `directory` holds.

    Args:
        animator: The model.
        params: Its parameters.
        pictures: Pictures of the person.
        uv: DensePose coordinates of the same pictures.
        config: Settings of both stages.
        directory: Working folder: checkpoints and loss curves per stage.

    Returns:
        All parameters, with the null context that belongs to the new adapter.

    Source: DreamPose `finetune-unet.py`, `finetune-vae.py`; target and pose come from one picture,
        and the references are read in the range of inference.
    """
    batches = functools.partial(make_batches, animator, pictures, uv, config)
    # Copies: a stage donates what it starts from.
    trained = jax.tree.map(jnp.copy, {name: params[name] for name in ("unet", "adapter")})
    loss = functools.partial(
        denoiser_loss, frozen=params, animator=animator, target_range=config.target_range
    )
    stage = config.denoiser
    trained = run_stage(
        "denoiser", directory / "denoiser", stage, trained, loss,
        functools.partial(batches, stage), config.save_every,
    )  # fmt: skip
    vae, stage = params["vae"], config.decoder
    loss = functools.partial(
        decoder_loss, frozen=vae, animator=animator, target_range=config.target_range
    )
    decoder = run_stage(
        "decoder", directory / "decoder", stage,
        jax.tree.map(jnp.copy, {"decoder": vae["decoder"]}), loss,
        functools.partial(batches, stage), config.save_every,
    )  # fmt: skip
    params = {**params, **trained, "vae": {**vae, **decoder}}
    null = jnp.asarray(animator.stored_null_tokens(params))
    return {**params, CONTEXT: {NULL: null}}


def make_batches(
    animator: DreamPoseAnimator,
    pictures,
    uv,
    config: FinetuneConfig,
    stage: StageConfig,
    first: int,
) -> Iterator[PersonBatch]:
    """Yield the batches from a step on, each fully determined by (seed, step)."""
    canvas = animator.canvas
    step = first
    while True:
        rng = np.random.default_rng((stage.seed, step))
        targets = rng.integers(len(pictures), size=stage.clips)
        references = rng.integers(len(pictures), size=stage.clips)
        cropped = [_crop(rng, pictures[j], uv[j], config) for j in targets]
        kind = rng.uniform() / config.drop_share if config.drop_share else 1.0
        yield PersonBatch(
            canvas.pictures(pictures[references]),
            np.stack([canvas.pictures(image) for image, _ in cropped]),
            np.concatenate([fit_uv(pose[None], canvas.size) for _, pose in cropped]),
            np.array(kind < 1 / 3 or kind >= 1),
            np.array(1 / 3 <= kind < 2 / 3 or kind >= 1),
        )
        step += 1


def _crop(rng: np.random.Generator, image, uv, config: FinetuneConfig):
    """Take a random margin off a picture and its coordinates, alike."""
    if rng.uniform() >= config.crop_share:
        return image, uv
    lost = [min(int(rng.integers(config.crop_pixels + 1)), side // 2) for side in image.shape[:2]]
    top, left = (int(rng.integers(count + 1)) for count in lost)
    height, width = (side - count for side, count in zip(image.shape[:2], lost, strict=True))
    piece = (slice(top, top + height), slice(left, left + width))
    return image[piece], uv[piece]


def denoiser_loss(
    trained: Params,
    batch: PersonBatch,
    key: Array,
    *,
    frozen: Params,
    animator: DreamPoseAnimator,
    target_range: str,
) -> Float[Array, ""]:
    """Return the mean squared error of the predicted noise.

    All five slots hold the target's own pose, as in the original's data set. What is hidden is
    zeros: the picture for both encoders, the pose for the denoiser.
    """
    time_key, noise_key, sample_key = jax.random.split(key, 3)
    params = {**frozen, **trained}
    latents = _sampled(animator, params["vae"], batch.target, target_range, sample_key)
    latents = jax.lax.stop_gradient(latents)
    unit = jnp.asarray(batch.reference, jnp.float32) / 255
    context = animator.picture_tokens(params, unit * batch.has_picture)
    pose = animator.pose({}, jnp.asarray(batch.pose))
    pose = jnp.tile(pose, (1, 1, 1, animator.config.num_poses)) * batch.has_pose
    count = animator.config.schedule.num_train_timesteps
    timesteps = jax.random.randint(time_key, (len(latents),), 0, count)
    squared = jnp.asarray(alphas_cumprod(animator.config.schedule), jnp.float32)[timesteps]
    signal, level = (jnp.sqrt(x)[:, None, None, None] for x in (squared, 1 - squared))
    noise = jax.random.normal(noise_key, latents.shape)
    noisy = jnp.concatenate([signal * latents + level * noise, pose], axis=-1)
    unet = P.bind(animator.networks()["unet"], params["unet"])
    predicted = unet(noisy[:, None], timesteps.astype(jnp.float32), context=context)[:, 0]
    return jnp.mean((predicted - noise) ** 2)


def decoder_loss(
    trained: Params,
    batch: PersonBatch,
    key: Array,
    *,
    frozen: Params,
    animator: DreamPoseAnimator,
    target_range: str,
) -> Float[Array, ""]:
    """Return the mean squared error of decoded pictures, both clipped to [-1, 1]."""
    vae = {**frozen, **trained}
    latents = _sampled(animator, vae, batch.target, target_range, key)
    decoded = P.bind(animator.networks()["vae"], vae).decode(jax.lax.stop_gradient(latents))
    target = _to_range(batch.target, target_range)
    return jnp.mean((jnp.clip(decoded, -1, 1) - target) ** 2)


def _sampled(animator: DreamPoseAnimator, vae: Params, images, target_range: str, key: Array):
    """Draw scaled latents of pictures from the autoencoder's posterior."""
    network = P.bind(animator.networks()["vae"], vae)
    mean, log_variance = network.moments(_to_range(images, target_range))
    noise = jax.random.normal(key, mean.shape)
    return animator.config.vae.scaling_factor * (mean + jnp.exp(0.5 * log_variance) * noise)


def _to_range(images, target_range: str):
    unit = images.astype(jnp.float32) / 255
    return unit if target_range == "unit" else 2.0 * unit - 1.0
