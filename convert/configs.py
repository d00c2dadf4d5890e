"""Published configurations, translated into ours; what our networks cannot do is refused."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tpc_jax.convert.read import Source
from tpc_jax.convert.recognise import TOKEN_WIDTHS
from tpc_jax.errors import UserError
from tpc_jax.model.config import (
    ControlNetConfig,
    MotionConfig,
    PoseNetConfig,
    TextConfig,
    UNetConfig,
    VAEConfig,
    VisionConfig,
)
from tpc_jax.model.motion import position_table
from tpc_jax.sampler.schedule import ScheduleConfig

# Settings with the only value that our networks know; older files leave most of them out.
_UNET_FIXED = {
    "act_fn": "silu",
    "norm_eps": 1e-5,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "center_input_sample": False,
    "use_linear_projection": False,
    "only_cross_attention": False,
    "dual_cross_attention": False,
    "resnet_time_scale_shift": "default",
    "transformer_layers_per_block": 1,
    "time_embedding_type": "positional",
    "attention_type": "default",
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "num_attention_heads": None,
    "class_embed_type": None,
    "addition_embed_type": None,
    "num_class_embeds": None,
    "encoder_hid_dim": None,
}
_CONTROLNET_FIXED = {
    "controlnet_conditioning_channel_order": "rgb",
    "global_pool_conditions": False,
}
_VAE_FIXED = {
    "act_fn": "silu",
    "mid_block_add_attention": True,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
}
_VAE_SCALE = 0.18215
_CLIP_FIXED = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_VISION_FIXED = {**_CLIP_FIXED, "num_channels": 3}
_SCHEDULE_FIXED = {
    "trained_betas": None,
    "clip_sample": False,
    "thresholding": False,
    "skip_prk_steps": True,
}
# Settings of a schedule that may be left out, and what diffusers takes then.
_SCHEDULE = {
    "num_train_timesteps": 1000,
    "steps_offset": 0,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
}
_MOTION_FIXED = {
    "num_transformer_block": 1,
    "attention_block_types": ["Temporal_Self", "Temporal_Self"],
    "temporal_position_encoding": True,
    "temporal_attention_dim_div": 1,
}
# Half precision stores the table of positions with errors up to 0.004.
_POSITIONS_TOLERANCE = 5e-3
_VIDEO_FIXED = {
    "use_motion_module": True,
    "unet_use_cross_frame_attention": False,
    "unet_use_temporal_attention": False,
    "motion_module_decoder_only": False,
    "motion_module_type": "Vanilla",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of one published file.

    Attributes:
        path: The file, for messages.
        values: What it says.
    """

    path: Path
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            raise UserError(f"{self.path}: {name} is missing; download the file again")
        value = self.values[name]
        return tuple(value) if isinstance(value, list) else value

    def get(self, name: str, default: Any) -> Any:
        """Return a setting that may be left out."""
        return self[name] if name in self.values else default

    def inside(self, name: str) -> "Settings":
        """Return a table inside this one."""
        value = self[name]
        if not isinstance(value, Mapping):
            raise UserError(f"{self.path}: {name} must be a table, got {value!r}")
        return Settings(self.path, value)

    def require(self, fixed: Mapping[str, Any]) -> None:
        """Check settings of which only one value is supported.

        Raises:
            UserError: With all that differ.
        """
        wrong = [
            f"{name} {self.values[name]!r} (only {value!r})"
            for name, value in fixed.items()
            if self.values.get(name, value) != value
        ]
        if wrong:
            raise UserError(f"{self.path}: not supported: {', '.join(wrong)}")


def unet_config(settings: Settings, **options: Any) -> UNetConfig:
    """Translate the config of diffusers' `UNet2DConditionModel` or of MagicAnimate's encoder.

    Args:
        settings: The published config.
        options: Fields of ours that it does not know.

    Raises:
        UserError: Something is missing or not supported.
    """
    if other := TOKEN_WIDTHS.get(_one_value(settings, "cross_attention_dim")):
        raise UserError(f"{settings.path}: of {other}; give that of Stable Diffusion 1.5")
    settings.require(_UNET_FIXED)
    levels = _attention_levels(settings, "down_block_types")
    if (
        "up_block_types" in settings.values
        and _attention_levels(settings, "up_block_types") != (levels[::-1])
    ):
        raise UserError(f"{settings.path}: up_block_types must mirror down_block_types")
    return UNetConfig(
        in_channels=settings["in_channels"],
        out_channels=settings.get("out_channels", 4),
        block_out_channels=settings["block_out_channels"],
        layers_per_block=settings["layers_per_block"],
        attention_levels=levels,
        num_heads=_one_value(settings, "attention_head_dim"),
        cross_attention_dim=_one_value(settings, "cross_attention_dim"),
        norm_num_groups=settings["norm_num_groups"],
        **options,
    )


def controlnet_config(settings: Settings) -> ControlNetConfig:
    """Translate the config of diffusers' `ControlNetModel`."""
    settings.require(_CONTROLNET_FIXED)
    return ControlNetConfig(
        trunk=unet_config(settings),
        condition_in_channels=settings.get("conditioning_channels", 3),
        condition_channels=settings.get("conditioning_embedding_out_channels", (16, 32, 96, 256)),
    )


def vae_config(settings: Settings) -> VAEConfig:
    """Translate the config of diffusers' `AutoencoderKL`."""
    settings.require(_VAE_FIXED)
    # Files before diffusers 0.8 leave it out.
    scale = settings.get("scaling_factor", _VAE_SCALE)
    if scale != _VAE_SCALE:
        raise UserError(
            f"{settings.path}: scaling_factor {scale} is not {_VAE_SCALE}: the autoencoder of "
            "another model (0.13025: Stable Diffusion XL); give that of Stable Diffusion 1"
        )
    for name, kind in (
        ("down_block_types", "DownEncoderBlock2D"),
        ("up_block_types", "UpDecoderBlock2D"),
    ):
        if set(settings.get(name, (kind,))) != {kind}:
            raise UserError(f"{settings.path}: {name} may only hold {kind}")
    return VAEConfig(
        in_channels=settings["in_channels"],
        latent_channels=settings["latent_channels"],
        block_out_channels=settings["block_out_channels"],
        layers_per_block=settings["layers_per_block"],
        norm_num_groups=settings["norm_num_groups"],
        scaling_factor=scale,
    )


def text_config(settings: Settings) -> TextConfig:
    """Translate the config of transformers' `CLIPTextModel`."""
    settings.require(_CLIP_FIXED)
    return TextConfig(
        vocab_size=settings["vocab_size"],
        width=settings["hidden_size"],
        mlp_width=settings["intermediate_size"],
        num_layers=settings["num_hidden_layers"],
        num_heads=settings["num_attention_heads"],
        max_tokens=settings["max_position_embeddings"],
    )


def vision_config(settings: Settings, *, is_projected: bool = True) -> VisionConfig:
    """Translate the config of transformers' `CLIPVisionModel`, or of all of CLIP.

    Args:
        settings: The published config; transformers leaves out what has the size of ViT-B/32.
        is_projected: Whether the projection is wanted.
    """
    if "vision_config" in settings.values:
        settings = settings.inside("vision_config")
    settings.require(_VISION_FIXED)
    return VisionConfig(
        width=settings.get("hidden_size", 768),
        mlp_width=settings.get("intermediate_size", 3072),
        num_layers=settings.get("num_hidden_layers", 12),
        num_heads=settings.get("num_attention_heads", 12),
        image_size=settings.get("image_size", 224),
        patch_size=settings.get("patch_size", 32),
        projection_width=settings.get("projection_dim", 512) if is_projected else None,
    )


def schedule_config(
    settings: Settings, scheduler: Literal["DDIMScheduler", "PNDMScheduler"] = "DDIMScheduler"
) -> ScheduleConfig:
    """Translate the arguments of diffusers' `DDIMScheduler` or `PNDMScheduler`.

    Args:
        settings: The published config.
        scheduler: Which of them it belongs to, unless it says so itself.

    Raises:
        UserError: Something is missing or not supported.
    """
    settings.require(_SCHEDULE_FIXED)
    is_plms = settings.get("_class_name", scheduler) == "PNDMScheduler"
    published = {name: settings.get(name, default) for name, default in _SCHEDULE.items()}
    published |= {name: settings[name] for name in ("beta_start", "beta_end", "beta_schedule")}
    published |= {
        "rescale_zero_terminal_snr": settings.get("rescale_betas_zero_snr", False),
        "set_alpha_to_one": settings.get("set_alpha_to_one", not is_plms),
        "sampler": "plms" if is_plms else "ddim",
    }
    try:
        return ScheduleConfig.from_dict(published)
    except ValueError as error:
        raise UserError(f"{settings.path}: {error}") from error


def motion_config(settings: Settings, levels: int) -> MotionConfig:
    """Translate the inference config of AnimateDiff's descendants.

    Args:
        settings: The published file; `motion_module_norm_num_groups` is 32 where it is left out,
            as the original has it.
        levels: Levels of the denoiser, each of which must have motion modules.
    """
    video = settings.inside("unet_additional_kwargs")
    video.require({**_VIDEO_FIXED, "motion_module_resolutions": [2**n for n in range(levels)]})
    motion = video.inside("motion_module_kwargs")
    motion.require(_MOTION_FIXED)
    return MotionConfig(
        num_heads=motion["num_attention_heads"],
        norm_num_groups=settings.get("motion_module_norm_num_groups", 32),
        max_frames=motion["temporal_position_encoding_max_len"],
        use_mid_block=video.get("motion_module_mid_block", False),
    )


def check_positions(config: UNetConfig, motion: Source) -> None:
    """Check stored tables of positions against the ones that the denoiser computes.

    Raises:
        UserError: A table has another length or other numbers.
    """
    rows = config.motion.max_frames if config.motion else 0
    for name, tensor in motion.tensors.items():
        if not name.endswith("pos_encoder.pe"):
            continue
        shape = (1, rows, tensor.shape[-1])
        if tensor.shape != shape:
            raise UserError(
                f"{motion.path}: {name} has shape {tensor.shape} where {shape} was expected; "
                "give the matching file by --inference-config"
            )
        table = np.asarray(tensor.read(), np.float32)[0]
        if not np.abs(table - position_table(*shape[1:])).max() <= _POSITIONS_TOLERANCE:
            raise UserError(f"{motion.path}: {name} is not the usual table of sines; not supported")


def pose_net_config(source: Source) -> PoseNetConfig:
    """Read the sizes of a pose guider off its weights, for no config of it is published.

    Raises:
        UserError: The weights are not those of a pose guider.
    """

    def kernel(name: str) -> tuple[int, ...]:
        tensor = source.tensors.get(f"{name}.weight")
        if tensor is None or len(tensor.shape) != 4:
            raise UserError(f"{source.path}: not a pose guider: no kernel {name}.weight in it")
        return tensor.shape

    blocks = sum(bool(re.fullmatch(r"blocks\.\d+\.weight", name)) for name in source.tensors)
    first = kernel("conv_in")
    # Every second block widens and halves.
    widths = [first[0], *(kernel(f"blocks.{index}")[0] for index in range(1, blocks, 2))]
    return PoseNetConfig(first[1], tuple(widths), kernel("conv_out")[0])


def _attention_levels(settings: Settings, name: str) -> tuple[bool, ...]:
    """Tell which blocks have transformers; MagicAnimate names some blocks 3D."""
    kinds = settings[name]
    known = {
        f"{start}{way}Block{end}D" for start in ("", "CrossAttn") for way in ("Down", "Up")
        for end in (2, 3)
    }  # fmt: skip
    if not isinstance(kinds, Sequence) or not set(kinds) <= known:
        raise UserError(f"{settings.path}: {name} {kinds!r} is not supported")
    return tuple(kind.startswith("CrossAttn") for kind in kinds)


def _one_value(settings: Settings, name: str) -> int:
    """Return a number that may be repeated for every level."""
    value = settings[name]
    values = set(value) if isinstance(value, tuple) else {value}
    if len(values) != 1 or not isinstance(value := values.pop(), int):
        raise UserError(f"{settings.path}: {name} must be one number, got {settings[name]!r}")
    return value
