"""The golden data's tiny AnimateAnyone, run through the converter."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tpc_jax.animators.animateanyone import AnimateAnyoneAnimator
from tpc_jax.animators.load import Model, load
from tpc_jax.convert.animateanyone import describe_model
from tpc_jax.convert.core import convert_model

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "animateanyone"


def golden_arrays() -> np.lib.npyio.NpzFile:
    """Return inputs and results of the original; skip where they are not there."""
    if not GOLDEN.exists():
        pytest.skip("the golden data of animateanyone is not there", allow_module_level=True)
    return np.load(GOLDEN / "io.npz")


def load_golden(root: Path) -> Model:
    """Convert the golden model inside `root` and load it, with the canvas of the golden data."""
    arrays = golden_arrays()
    out = root / "converted"
    folders = (GOLDEN, GOLDEN / "vae", GOLDEN / "image_encoder", GOLDEN)
    convert_model(describe_model(*folders), out)
    animator, params, _ = load(out)
    size = arrays["ref_pixels_u8"].shape[:2]
    config = dataclasses.replace(animator.config, image_size=size)
    return Model(AnimateAnyoneAnimator(config), params)
