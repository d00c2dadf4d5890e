"""Calibrate from a checkout: `python scripts/calibrate.py --help`; see `tpc-jax calibrate`."""

from _run import run

if __name__ == "__main__":
    run("calibrate")
