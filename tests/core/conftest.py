"""The calibration core is tested in float64 with implicit promotion forbidden."""

import jax
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def strict_numerics(full_optimization):
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(20241024)
