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


def _finish(report: dict) -> None:
    for name, count in report["parameters"].items():
        print(f"{name:20}{count:>15,}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command; user errors end as a message and exit code 2, Ctrl-C as 130."""
    # Ended from outside, the half-written folder is removed as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    commands = {"magicanimate": magicanimate, **FEATURE_COMMANDS}
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
