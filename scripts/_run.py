"""Device choice for the scripts, in front of the installed command.

python scripts/animate.py --device gpu --settings configs/tiny_long_clip.toml --reference ...
"""

import os
import sys
from pathlib import Path

from tpc_jax.commands.settings import take_option
from tpc_jax.errors import UserError

PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tpc_jax" / "xla"


def run(command: str) -> None:
    """Run a `tpc-jax` command with the script's own option taken off the line."""
    arguments = sys.argv[1:]
    try:
        device = take_option(arguments, "--device")
    except UserError as error:
        sys.exit(str(error))
    if device is not None:
        if device not in PLATFORMS:
            sys.exit(f"--device must be one of {', '.join(PLATFORMS)}, got {device}")
        os.environ["JAX_PLATFORMS"] = PLATFORMS[device]
    # Compiled programs are kept between runs: on accelerators compiling takes minutes.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))

    from tpc_jax.cli import main

    main([command, *arguments])
