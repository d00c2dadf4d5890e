"""Fits, warps and windows of the original's warping stage and sampler."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_model import GOLDEN

from tpc_jax.animators.magicanimate import MagicAnimateAnimator, MagicAnimateConfig
from tpc_jax.animators.plan import plan_run
from tpc_jax.options import Options
from tpc_jax.procrustes import transform
from tpc_jax.procrustes.solve import solve_similarity
from tpc_jax.warp import sample_image, sampling_grid

PUBLISHED = Options(as_published=True)


@pytest.fixture(scope="module")
def data():
    if not GOLDEN.exists():
        pytest.skip("the golden data of magicanimate is not there")
    return np.load(GOLDEN / "io.npz")


def test_similarities(data):
    """Of all fits but those where the original mistakes points for dimensions."""
    names = [name.removesuffix("_out_pts") for name in data.files if name.endswith("_out_pts")]
    names = [name for name in names if "quirk" not in name]
    assert names
    for name in names:
        ref, drv = (jnp.asarray(data[f"{name}_{which}_pts"]) for which in ("ref", "drv"))
        fit = solve_similarity(ref, drv, jnp.ones(len(ref)))
        moved = transform.apply(fit.drv_from_ref, ref)
        np.testing.assert_allclose(moved, data[f"{name}_out_pts"], atol=1e-3, rtol=0, err_msg=name)
        linear = data[f"{name}_matrix"][:2, :2]
        np.testing.assert_allclose(fit.drv_from_ref.linear, linear, atol=1e-4, rtol=0)


def test_warped_pictures(data):
    """To one grey level of OpenCV's, which samples at 1/32 pixel and filters nothing."""
    source = jnp.asarray(data["source_image"], jnp.float32) / 255
    size = data["cal_images"].shape[-3:-1]

    @jax.jit
    def warp(drv_from_ref):
        positions, _ = sampling_grid(drv_from_ref, *size)
        return jnp.clip(sample_image(source, positions), 0, 1)

    matrices = data["warp_matrices"].reshape(-1, 3, 3)
    wanted = data["cal_images"].reshape(-1, *size, 3)
    for matrix, picture in zip(matrices, wanted, strict=True):
        ours = 255 * warp(transform.from_matrix(jnp.asarray(matrix, jnp.float32)))
        assert np.abs(np.rint(ours) - picture).max() <= 1


def test_all_windows(data):
    published = json.loads((GOLDEN / "context_windows.json").read_text())
    assert published
    for key, windows in published.items():
        frames, length, overlap = map(int, key.split("_"))
        config = MagicAnimateConfig(window_length=length, window_overlap=overlap)
        program = plan_run(MagicAnimateAnimator(config), frames, PUBLISHED).program
        unpadded = program.habits._replace(pad_to_window=False)
        ours = dataclasses.replace(program, habits=unpadded).windows
        assert ours.frames.tolist() == windows, key
