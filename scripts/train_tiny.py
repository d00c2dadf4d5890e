"""Train `tiny` from a checkout: `python scripts/train_tiny.py --help`; see `tpc-jax train`."""

from _run import run

if __name__ == "__main__":
    run("train")
