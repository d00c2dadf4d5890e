"""Train the synthetic features: `python scripts/train_synthetic_features.py --out DIR`."""

import sys
from pathlib import Path

import tyro

from tpc_jax.errors import UserError
from tpc_jax.studies.training.synthetic_features import train_synthetic_features


def main(out: Path, runs: Path = Path("runs/synthetic_features")) -> None:
    """Train both networks; a stopped training goes on where it was.

    Args:
        out: Folder to make.
        runs: Working folder: checkpoints and loss curves.
    """
    try:
        train_synthetic_features(out, runs)
    except UserError as error:
        sys.exit(f"train_synthetic_features: {error}")
    print(f"wrote {out}")


if __name__ == "__main__":
    tyro.cli(main)
