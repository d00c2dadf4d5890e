"""Animate from a checkout: `python scripts/animate.py --help`; see `tpc-jax animate`."""

from _run import run

if __name__ == "__main__":
    run("animate")
