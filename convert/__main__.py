"""The converter in a checkout: `python -m convert MODEL ...` is `tpc-jax convert MODEL ...`."""

import sys

from tpc_jax.cli import main

main(["convert", *sys.argv[1:]])
