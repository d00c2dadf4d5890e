"""Losses of the three stages, as pure functions of parameters, batch and key."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from tpc_jax.animators.tiny import TinyAnimator
from tpc_jax.conditioning.masks import EVERYONE
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.params import Network, Params
from tpc_jax.sampler.schedule import alphas_cumprod
from tpc_jax.studies.training.batches import Batch
from tpc_jax.studies.training.config import TrainConfig

_REFERENCE_BIT = 2


def to_model_range(pixels) -> Float[Array, "*shape"]:
    """Map uint8 pictures to [-1, 1]."""
    return pixels.astype(jnp.float32) / 127.5 - 1.0


def vae_loss(
    params: Params, batch: Batch, key: jax.Array, *, network: Network, config: TrainConfig
) -> Float[Array, ""]:
    """Return absolute plus squared reconstruction error and a weak Kullback-Leibler term."""
    images = to_model_range(batch.frames[:, 0])
    vae = P.bind(network, params)
    mean, log_variance = vae.moments(images)
    noise = jax.random.normal(key, mean.shape)
    latents = mean + jnp.exp(0.5 * log_variance) * noise
    error = vae.decode(latents * vae.config.scaling_factor) - images
    weight = _weights(batch.mask[:, 0], config.foreground_weight)[..., None]
    reconstruction = jnp.mean(weight * (jnp.abs(error) + 4.0 * error**2))
    divergence = 0.5 * jnp.mean(mean**2 + jnp.exp(log_variance) - 1.0 - log_variance)
    return reconstruction + config.kl_weight * divergence


def denoiser_loss(
    params: Params,
    batch: Batch,
    key: jax.Array,
    *,
    vae: Params,
    animator: TinyAnimator,
    config: TrainConfig,
    use_motion: bool,
) -> Float[Array, ""]:
    """Return the weighted squared error of the predicted sample.

    The network predicts clean latents: a small one cannot carry the noise of many channels to its
    output, which predicting noise or velocity asks of it.

    With motion the frames of a person form a window with one timestep; without, every frame is a
    window of its own.
    """
    clips, frames = batch.frames.shape[:2]
    encode = jax.vmap(lambda images: animator.encode({"vae": vae}, images))
    latents = jax.lax.stop_gradient(encode(to_model_range(batch.frames)))
    reference = jax.lax.stop_gradient(encode(to_model_range(batch.reference)[:, None])[:, 0])
    pose = animator.pose(params, jnp.asarray(batch.pose).reshape(-1, *batch.pose.shape[2:]))
    pose = pose.reshape(clips, frames, *pose.shape[1:])

    time_key, noise_key = jax.random.split(key)
    per_window = (clips, 1) if use_motion else (clips, frames)
    timesteps = jnp.broadcast_to(_timesteps(time_key, per_window, config), (clips, frames))
    squared = jnp.asarray(alphas_cumprod(config.model.schedule), jnp.float32)[timesteps]
    signal, sigma = (jnp.sqrt(s)[..., None, None, None] for s in (squared, 1.0 - squared))
    noisy = signal * latents + sigma * jax.random.normal(noise_key, latents.shape)

    references = _references(animator, params, reference, batch.is_conditional, frames, use_motion)
    if not use_motion:
        noisy, pose = (x.reshape(clips * frames, 1, *x.shape[2:]) for x in (noisy, pose))
    row_timesteps = timesteps[:, 0] if use_motion else timesteps.reshape(-1)
    row_timesteps = row_timesteps.astype(jnp.float32)
    (prediction,) = animator.predict(
        params, (), noisy, row_timesteps, references, pose, is_guided=False
    )
    error = (prediction.reshape(latents.shape) - latents) ** 2
    weight = _weights(_shrink(batch.mask, latents.shape[2:4]), config.foreground_weight)
    return jnp.mean(weight[..., None] * error)


def _timesteps(key: jax.Array, shape: tuple[int, int], config: TrainConfig):
    count = config.model.schedule.num_train_timesteps
    evenly, last = jax.random.split(key)
    timesteps = jax.random.randint(evenly, shape, 0, count)
    is_last = jax.random.bernoulli(last, config.pure_noise_share, shape)
    return jnp.where(is_last, count - 1, timesteps)


def _references(animator, params, latents, is_conditional, frames: int, use_motion: bool):
    """Give every window its person's features, hidden where the window is unconditional."""
    bits = jnp.where(is_conditional, _REFERENCE_BIT, 0).astype(jnp.uint32)
    repeats = 1 if use_motion else frames
    queries = frames if use_motion else 1

    def read(tokens):
        tokens = jnp.repeat(tokens, repeats, axis=0)[:, None]
        key_bits = jnp.repeat(bits, repeats)[:, None, None]
        shape = (tokens.shape[0], queries, tokens.shape[2])
        query_bits = jnp.full(shape, EVERYONE | _REFERENCE_BIT, jnp.uint32)
        return ReferenceTokens(
            (tokens,), (jnp.broadcast_to(key_bits, tokens.shape[:3]),), query_bits
        )

    return tuple(read(tokens) for tokens in animator.features(params, (), latents))


def _weights(mask, foreground_weight: float):
    """Return per-position weights of mean 1."""
    weight = 1.0 + (foreground_weight - 1.0) * mask
    return weight / jnp.mean(weight)


def _shrink(mask, size: tuple[int, ...]):
    """Average a mask over the cells of a smaller grid."""
    clips, frames, height, width = mask.shape
    cells = mask.reshape(clips, frames, size[0], height // size[0], size[1], width // size[1])
    return cells.astype(jnp.float32).mean(axis=(3, 5))
