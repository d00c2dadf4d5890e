"""Training of `tiny` from nothing to a checkpoint, in three resumable stages."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tpc_jax.animators.tiny import TinyAnimator, TinyConfig
from tpc_jax.model import params as P
from tpc_jax.model.params import Params
from tpc_jax.model.pose_net import PoseNet
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE
from tpc_jax.studies.training.batches import make_batch, prefetch
from tpc_jax.studies.training.config import StageConfig, TrainConfig
from tpc_jax.studies.training.loop import run_stage
from tpc_jax.studies.training.losses import denoiser_loss, to_model_range, vae_loss


def train_tiny(config: TrainConfig, directory: Path) -> tuple[TinyConfig, Params]:
    """Train all stages, going on from what `directory` holds.

    Args:
        config: Model and stages.
        directory: Working folder: checkpoints and loss curves per stage.

    Returns:
        The model's configuration, with the measured latent scale, and its parameters.
    """
    vae = train_vae(config, directory / "vae")
    scale = latent_scale(config, vae)
    model = dataclasses.replace(
        config.model, vae=dataclasses.replace(config.model.vae, scaling_factor=scale)
    )
    config = dataclasses.replace(config, model=model)
    params = _initial_denoiser(config)
    still = {**params, "unet": without_motion(params["unet"])}
    still = _train_denoiser("images", config, directory / "images", still, vae, use_motion=False)
    params = {**still, "unet": with_motion(still["unet"], params["unet"])}
    params = _train_denoiser("clips", config, directory / "clips", params, vae, use_motion=True)
    return model, {"vae": vae, **params}


def train_vae(config: TrainConfig, directory: Path) -> Params:
    """Train the autoencoder on single frames and return its averaged parameters."""
    network = TinyAnimator(config.model).networks()["vae"]
    params = P.initialize(VAE, config.model.vae, key=jax.random.key(config.vae.seed))
    loss = functools.partial(vae_loss, network=network, config=config)
    batches = _batches(config, config.vae, consecutive=False)
    return run_stage("vae", directory, config.vae, params, loss, batches, config.save_every)


def latent_scale(config: TrainConfig, vae: Params) -> float:
    """Return the factor that gives latents a standard deviation of 1."""
    animator = TinyAnimator(config.model)
    batch = make_batch(config, dataclasses.replace(config.vae, clips=64), 0, consecutive=False)
    latents = jax.jit(animator.encode)(
        {"vae": vae}, to_model_range(jnp.asarray(batch.frames[:, 0]))
    )
    return float(np.round(config.model.vae.scaling_factor / np.std(latents), 5))


def _train_denoiser(
    name: str,
    config: TrainConfig,
    directory: Path,
    params: Params,
    vae: Params,
    *,
    use_motion: bool,
) -> Params:
    stage: StageConfig = getattr(config, name)
    model = config.model if use_motion else _without_motion_config(config.model)
    loss = functools.partial(
        denoiser_loss,
        vae=vae,
        animator=TinyAnimator(model),
        config=config,
        use_motion=use_motion,
    )
    batches = _batches(config, stage, consecutive=use_motion)
    return run_stage(name, directory, stage, params, loss, batches, config.save_every)


def _batches(config: TrainConfig, stage: StageConfig, *, consecutive: bool):
    make = functools.partial(make_batch, config, stage, consecutive=consecutive)
    return functools.partial(prefetch, make)


def _initial_denoiser(config: TrainConfig) -> Params:
    keys = jax.random.split(jax.random.key(config.images.seed), 3)
    model = config.model
    return {
        "unet": P.initialize(UNet, model.unet, key=keys[0]),
        "appearance_encoder": P.initialize(AppearanceEncoder, model.unet, key=keys[1]),
        "pose_net": P.initialize(PoseNet, model.pose_net, key=keys[2]),
    }


def _without_motion_config(model: TinyConfig) -> TinyConfig:
    return dataclasses.replace(model, unet=dataclasses.replace(model.unet, motion=None))


def without_motion(params: Params) -> Params:
    """Drop every motion module from a denoiser's parameters."""
    if not isinstance(params, dict):
        return params
    return {k: without_motion(v) for k, v in params.items() if k != "motion_modules"}


def with_motion(still: Params, motion: Params) -> Params:
    """Take the motion modules of `motion` and everything else of `still`."""
    if not isinstance(motion, dict):
        return still
    return {
        name: with_motion(still[name], value) if name in still else value
        for name, value in motion.items()
    }
