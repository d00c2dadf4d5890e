"""Sizes and switches of every network, as frozen dataclasses.

Defaults are those of Stable Diffusion 1.5, so a config file only says what differs.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

# Not `typing.Self`, which the type checks of the tests cannot read.
ConfigType = TypeVar("ConfigType", bound="Config")


class Config:
    """Adds strict reading from a mapping to a frozen dataclass."""

    @classmethod
    def from_dict(cls: type[ConfigType], values: Mapping[str, Any]) -> ConfigType:
        """Build the config from plain values; nested configs are mappings, tuples may be lists.

        Raises:
            ValueError: A key is unknown, or a value is not among the field's choices.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise ValueError(f"unknown {cls.__name__} keys {unknown}; known: {sorted(fields)}")
        return cls(**{name: cls._read(fields[name], value) for name, value in values.items()})

    @classmethod
    def _read(cls, field: dataclasses.Field, value: Any) -> Any:
        choices = get_args(field.type)
        if get_origin(field.type) is Literal and value not in choices:
            raise ValueError(f"{field.name} must be one of {choices}, got {value!r}")
        for kind in (field.type, *choices):  # the choices of `X | None` are X and None
            if isinstance(kind, type) and issubclass(kind, Config) and value is not None:
                if not isinstance(value, Mapping):
                    raise ValueError(f"{field.name} must be a table of settings, got {value!r}")
                return kind.from_dict(value)
        return tuple(value) if isinstance(value, list) else value

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads back."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class MotionConfig(Config):
    """Attention over the frame axis after each (resnet, transformer) pair.

    Attributes:
        num_heads: Attention heads; the head width is channels / num_heads.
        norm_num_groups: Groups of the norm in front of each module.
        max_frames: Rows of the position table: the longest window.
        use_mid_block: Whether the mid block has a module too (AnimateAnyone: yes).
    """

    num_heads: int = 8
    norm_num_groups: int = 32
    max_frames: int = 24
    use_mid_block: bool = False


@dataclasses.dataclass(frozen=True)
class UNetConfig(Config):
    """The denoiser and the appearance encoder, which share one layout.

    Attributes:
        in_channels: Channels of the noisy latents.
        out_channels: Channels of the prediction.
        block_out_channels: Width per level, finest first.
        layers_per_block: Resnets per down block; up blocks have one more.
        attention_levels: Which levels carry spatial transformers, finest first.
        num_heads: Attention heads at every level (Stable Diffusion calls it attention_head_dim).
        cross_attention_dim: Width of the context tokens; None builds no cross-attention.
        norm_num_groups: Groups of the resnet and transformer norms.
        norm_over_frames: Whether resnet norms pool over all frames of a window (MagicAnimate).
        reads: Which transformers read reference features, "full" or "midup".
        motion: Motion modules, or None for a network of single pictures.
        temporal: Whether resnets convolve over the frames of a window too, and transformers attend
            over them (DisCo with temporal module); needs `norm_over_frames`.
        position_grid: Height and width of a table added after the first convolution, which tells a
            small network where its tokens lie; it starts as sinusoids and is learnt; latents must
            have this size. None (as in Stable Diffusion) has no table.
    """

    in_channels: int = 4
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    attention_levels: tuple[bool, ...] = (True, True, True, False)
    num_heads: int = 8
    cross_attention_dim: int | None = 768
    norm_num_groups: int = 32
    norm_over_frames: bool = False
    reads: Literal["full", "midup"] = "full"
    motion: MotionConfig | None = None
    temporal: bool = False
    position_grid: tuple[int, int] | None = None

    def __post_init__(self):
        """Check that the levels agree."""
        if len(self.attention_levels) != len(self.block_out_channels):
            raise ValueError(
                f"attention_levels must have one entry per level ({len(self.block_out_channels)}), "
                f"got {len(self.attention_levels)}"
            )
        if self.temporal and not self.norm_over_frames:
            raise ValueError("temporal needs norm_over_frames True")

    @property
    def context_width(self) -> int:
        """Width of the context tokens.

        Raises:
            ValueError: No context is read.
        """
        if self.cross_attention_dim is None:
            raise ValueError("cross_attention_dim must be the width of the context, got None")
        return self.cross_attention_dim


@dataclasses.dataclass(frozen=True)
class ControlNetConfig(Config):
    """The copy of the denoiser's way down that reads a condition picture.

    Attributes:
        trunk: Sizes of the way down and the mid block; single pictures, so no motion modules,
            unless it is `temporal`.
        condition_in_channels: Channels of the condition picture.
        condition_channels: Widths of the convolutions over the condition picture; every level but
            the first halves the size. None: the condition has the size of latents, and one
            convolution goes to the trunk's width (DisCo's background).
    """

    trunk: UNetConfig = dataclasses.field(default_factory=UNetConfig)
    condition_in_channels: int = 3
    condition_channels: tuple[int, ...] | None = (16, 32, 96, 256)

    def __post_init__(self):
        """Check that the trunk is one of single pictures."""
        is_pooled = self.trunk.norm_over_frames and not self.trunk.temporal
        if self.trunk.motion is not None or is_pooled:
            raise ValueError("trunk must have motion None and norm_over_frames False")


@dataclasses.dataclass(frozen=True)
class VAEConfig(Config):
    """The autoencoder between pictures and latents.

    Attributes:
        in_channels: Channels of the picture.
        latent_channels: Channels of the latents.
        block_out_channels: Width per level, finest first.
        layers_per_block: Resnets per encoder level; decoder levels have one more.
        norm_num_groups: Groups of every norm.
        scaling_factor: Latents are the posterior mean times this factor.
        patch_size: Side of the pixel blocks folded into channels before the first convolution.
        has_shortcut: Whether a linear map of pixel blocks runs beside encoder and decoder, which
            then only learn what it leaves over (not in Stable Diffusion).
    """

    in_channels: int = 3
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    scaling_factor: float = 0.18215
    patch_size: int = 1
    has_shortcut: bool = False

    @property
    def downscale(self) -> int:
        """Pixels per latent cell along one side."""
        return self.patch_size * 2 ** (len(self.block_out_channels) - 1)


@dataclasses.dataclass(frozen=True)
class PoseNetConfig(Config):
    """The convolutional branch that turns a pose picture into features at latent size.

    Attributes:
        in_channels: Channels of the pose picture.
        block_out_channels: Width per level; every level but the first halves the size.
        out_channels: Width of the features: the denoiser's first width.
    """

    in_channels: int = 3
    block_out_channels: tuple[int, ...] = (16, 32, 96, 256)
    out_channels: int = 320

    @property
    def downscale(self) -> int:
        """Pixels per cell of the features along one side."""
        return 2 ** (len(self.block_out_channels) - 1)


@dataclasses.dataclass(frozen=True)
class TextConfig(Config):
    """The text encoder of CLIP ViT-L/14.

    Attributes:
        vocab_size: Rows of the token table; the last two are the start and the end token.
        width: Features per token.
        mlp_width: Hidden features of the feed-forward layers.
        num_layers: Transformer layers.
        num_heads: Attention heads; the head width is width / num_heads.
        max_tokens: Rows of the position table: tokens of a prompt with start, end and padding.
    """

    vocab_size: int = 49408
    width: int = 768
    mlp_width: int = 3072
    num_layers: int = 12
    num_heads: int = 12
    max_tokens: int = 77

    @property
    def start_token(self) -> int:
        """Index of the token in front of every prompt (configs on disk hold a wrong one)."""
        return self.vocab_size - 2

    @property
    def end_token(self) -> int:
        """Index of the token behind every prompt, which also pads it."""
        return self.vocab_size - 1


@dataclasses.dataclass(frozen=True)
class VisionConfig(Config):
    """The vision encoder of CLIP ViT-L/14 with its projection.

    Attributes:
        width: Features per token.
        mlp_width: Hidden features of the feed-forward layers.
        num_layers: Transformer layers.
        num_heads: Attention heads; the head width is width / num_heads.
        image_size: Side of the square pictures in pixels.
        patch_size: Side of the pixel blocks that become tokens.
        projection_width: Features of the projected embedding; None has no projection.
    """

    width: int = 1024
    mlp_width: int = 4096
    num_layers: int = 24
    num_heads: int = 16
    image_size: int = 224
    patch_size: int = 14
    projection_width: int | None = 768

    @property
    def num_tokens(self) -> int:
        """Tokens of a picture: its patches and one for the whole."""
        return (self.image_size // self.patch_size) ** 2 + 1


@dataclasses.dataclass(frozen=True)
class AdapterConfig(Config):
    """DreamPose's adapter, which joins CLIP's tokens with a picture's latents.

    Attributes:
        num_pooled: Cells of the latents after pooling: what each latent channel is read from.
        width: Features per token.
        num_tokens: Tokens that come in from CLIP and go out.
        latent_channels: Channels of the latents, one further token each.
    """

    num_pooled: int = 1280
    width: int = 768
    num_tokens: int = 50
    latent_channels: int = 4
