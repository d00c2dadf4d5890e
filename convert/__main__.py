"""The converter's command: `python -m convert MODEL ...`."""

import signal
import sys
from pathlib import Path
from typing import Literal

import tyro

from convert.feature_commands import FEATURE_COMMANDS
from tpc_jax.errors import UserError

# The heavy imports (JAX, Flax) are in the commands, so that --help is quick.


def magicanimate(
    sd15: Path,
    vae: Path,
    magicanimate: Path,
    out: Path,
    dtype: Literal["float32", "bfloat16"] = "float32",
    inference_config: Path | None = None,
) -> None:
    """Convert MagicAnimate's published files into a folder for `tpc-jax animate --model`.

    Args:
        sd15: Folder of Stable Diffusion 1.5 with unet, text_encoder and tokenizer.
        vae: Folder of sd-vae-ft-mse.
        magicanimate: Folder of MagicAnimate with appearance_encoder, densepose_controlnet and
            temporal_attention.
        out: Folder to make.
        dtype: Type of storage; bfloat16 halves the size and rounds.
        inference_config: The original's inference config (YAML or JSON), needed only if its motion
            modules or noise schedule differ from the published ones.
    """
    from convert.core import convert_model
    from convert.magicanimate import describe_model

    _finish(convert_model(describe_model(sd15, vae, magicanimate, inference_config), out, dtype))
    print(f"wrote {out}")


def dreampose(
    sd14: Path,
    clip: Path,
    unet: Path,
    adapter: Path,
    out: Path,
    vae: Path | None = None,
    image_size: tuple[int, int] = (640, 512),
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
    """Convert DreamPose's published files into a folder for `tpc-jax animate --model`.

    Args:
        sd14: Folder of Stable Diffusion 1.4 with unet (its config), vae and scheduler.
        clip: Folder of CLIP ViT-B/32.
        unet: The denoiser, such as unet_epoch_20.pth.
        adapter: The adapter, such as adapter_20.pth.
        out: Folder to make.
        vae: An autoencoder fine-tuned on the person, such as vae_1499.pth.
        image_size: Height and width of the pictures in pixels; the adapter fits one area only.
        dtype: Type of storage; bfloat16 halves the size and rounds.
    """
    from convert.core import convert_model
    from convert.dreampose import NOTE, describe_model

    model = describe_model(sd14, clip, unet, adapter, vae, image_size)
    _finish(convert_model(model, out, dtype))
    print(f"wrote {out}\n{NOTE}")


def disco(
    variations: Path,
    disco: Path,
    out: Path,
    recipe: Literal["cfg", "no-cfg"] = "cfg",
    image_size: int = 256,
    window_length: int | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
    """Convert DisCo's published files into a folder for `tpc-jax animate --model`.

    Args:
        variations: Folder of sd-image-variations; of it only the configs are read.
        disco: The weights, mp_rank_00_model_states.pt, of the image or the temporal model.
        out: Folder to make.
        recipe: Whether the weights were trained with dropped references (cfg) or not.
        image_size: Side of the pictures in pixels.
        window_length: Frames denoised together; 8, or 16 with temporal module, if left out.
        dtype: Type of storage; bfloat16 halves the size and rounds.
    """
    from convert.core import convert_model
    from convert.disco import describe_model

    model = describe_model(variations, disco, recipe, image_size, window_length)
    _finish(convert_model(model, out, dtype))
    print(f"wrote {out}")


def animateanyone(
    sd15: Path,
    vae: Path,
    image_encoder: Path,
    weights: Path,
    out: Path,
    dtype: Literal["float32", "bfloat16"] = "float32",
    inference_config: Path | None = None,
) -> None:
    """Convert AnimateAnyone's published files into a folder for `tpc-jax animate --model`.

    Args:
        sd15: Folder of Stable Diffusion 1.5; only unet/config.json is read.
        vae: Folder of sd-vae-ft-mse.
        image_encoder: Folder of the image encoder of sd-image-variations.
        weights: Folder with denoising_unet.pth, motion_module.pth, reference_unet.pth and
            pose_guider.pth.
        out: Folder to make.
        dtype: Type of storage; bfloat16 halves the size and rounds.
        inference_config: The original's inference config (YAML or JSON), needed only if its motion
            modules or noise schedule differ from the published ones.
    """
    from convert.animateanyone import describe_model
    from convert.core import convert_model

    conversion = describe_model(sd15, vae, image_encoder, weights, inference_config)
    _finish(convert_model(conversion, out, dtype))
    print(f"wrote {out}")


def _finish(report: dict) -> None:
    for name, count in report["parameters"].items():
        print(f"{name:20}{count:>15,}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command; user errors end as a message and exit code 2, Ctrl-C as 130."""
    # Ended from outside, the half-written folder is removed as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    commands = {
        "magicanimate": magicanimate,
        "animateanyone": animateanyone,
        "dreampose": dreampose,
        "disco": disco,
        **FEATURE_COMMANDS,
    }
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog="python -m convert", args=arguments)
    except UserError as error:
        print(f"convert: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("convert: interrupted; nothing is left half-written", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
