"""Settings of a training run of `tiny`."""

import dataclasses

from tpc_jax.animators.tiny import TinyConfig
from tpc_jax.model.config import Config


@dataclasses.dataclass(frozen=True)
class StageConfig(Config):
    """One stage of training.

    Attributes:
        steps: Optimiser steps.
        clips: Different people per batch.
        frames: Target frames per person.
        learning_rate: Peak rate of AdamW; warms up over 2 % of the steps, falls to 0 over the last
            30 %.
        matrix_learning_rate: Peak rate of Muon, which then trains all kernels; None leaves them to
            AdamW.
        ema_decay: Decay of the averaged parameters, which are what a stage hands on.
        seed: Seed of the data, the noise and the initial parameters.
    """

    steps: int
    clips: int
    frames: int
    learning_rate: float
    matrix_learning_rate: float | None = None
    ema_decay: float = 0.998
    seed: int = 0


def _vae() -> StageConfig:
    return StageConfig(steps=2000, clips=16, frames=1, learning_rate=2e-3, ema_decay=0.99)


def _images() -> StageConfig:
    return StageConfig(steps=2000, clips=4, frames=4, learning_rate=1e-3, matrix_learning_rate=1e-2)


def _clips() -> StageConfig:
    return StageConfig(steps=100, clips=4, frames=8, learning_rate=5e-4, matrix_learning_rate=5e-3)


@dataclasses.dataclass(frozen=True)
class TrainConfig(Config):
    """The three stages: autoencoder, single pictures, clips with motion modules.

    Attributes:
        model: The model that is trained.
        vae: Stage 1.
        images: Stage 2: targets drawn from anywhere in a clip, motion modules off.
        clips: Stage 3: runs of consecutive frames, motion modules on.
        motion_frames: Length of the motion from which a person's frames are drawn.
        foreground_weight: Weight of the person against 1 for the background, in every loss.
        kl_weight: Weight of the autoencoder's Kullback-Leibler term per latent number.
        part_map_share: Share of people driven by part maps; the others by skeletons.
        unconditional_share: Share of people whose reference is hidden, for guidance.
        pure_noise_share: Share of windows trained at the last timestep, which shows nothing of the
            target, so that the reference must be read; the others spread over all timesteps.
        save_every: Steps between checkpoints.
    """

    model: TinyConfig = dataclasses.field(default_factory=TinyConfig)
    vae: StageConfig = dataclasses.field(default_factory=_vae)
    images: StageConfig = dataclasses.field(default_factory=_images)
    clips: StageConfig = dataclasses.field(default_factory=_clips)
    motion_frames: int = 24
    foreground_weight: float = 3.0
    kl_weight: float = 1e-5
    part_map_share: float = 0.75
    unconditional_share: float = 0.05
    pure_noise_share: float = 0.75
    save_every: int = 100
