"""MagicAnimate's whole loops, filled by the converter, against the original code."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from golden_loops import run, solved_predictions
from golden_model import GOLDEN, convert_golden

from tpc_jax.animators.habits import Habits
from tpc_jax.animators.load import Model, load
from tpc_jax.animators.magicanimate import MagicAnimateAnimator, Texts
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.reading import CanvasClip, read_clip
from tpc_jax.animators.run import start_latents
from tpc_jax.conditioning.composite import blend_background, widen
from tpc_jax.model import params as P
from tpc_jax.options import Options
from tpc_jax.sampler.schedule import alphas_cumprod, run_levels, timesteps

pytestmark = pytest.mark.slow
STEPS, FRAMES, GROUP = 3, 10, 4


@pytest.fixture(scope="module")
def data():
    if not GOLDEN.exists():
        pytest.skip("the golden data of magicanimate is not there")
    return np.load(GOLDEN / "io.npz")


@pytest.fixture(scope="module")
def model(tmp_path_factory, data):
    """The converted model with the golden windows."""
    animator, params, _ = load(convert_golden(tmp_path_factory.mktemp("golden")))
    config = dataclasses.replace(animator.config, window_length=8, window_overlap=2)
    return Model(dataclasses.replace(animator, config=config), params)


@pytest.fixture(scope="module")
def texts(data):
    """The golden texts, whose two rows differ."""
    return Texts(*jnp.asarray(data["text_embeddings"]))


class Unpadded(MagicAnimateAnimator):
    """The original's sampler without `use_pad`, which the release switches on."""

    habits = Habits(closed_windows=True)


def plan(model, people: int, *, is_padded: bool = False):
    animator = model.animator if is_padded else Unpadded(model.animator.config)
    options = Options(
        tpc=people > 0, routing="masked", group_size=GROUP, propagation="first", steps=STEPS,
        as_published=True,
    )  # fmt: skip
    return plan_run(animator, FRAMES, options)


def clip(data, people: int) -> CanvasClip:
    return CanvasClip(
        data["source_image"], data["control"], None, data["ref_masks"][:people],
        lambda person, i: (data["cal_images"][person, i], data["cal_masks"][person, i]),
        data["pose_masks"][:people],
    )  # fmt: skip


def last(array):
    """Return videos [..., channels, frames, h, w] with channels last."""
    return np.moveaxis(array, -4, -1)


def largest(ours, theirs) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max())


# People, and whether the last frame is repeated up to a multiple of the window's length.
LOOPS = {"base": (0, False), "tpc1": (1, False), "tpc2": (2, False), "tpc1pad16": (1, True)}


def _sums_pixel_by_pixel(norm, x, **_):
    """Group norm with moments summed over one pixel after the other in float32, as torch's."""
    channels, groups = x.shape[-1], norm.num_groups
    zero = jnp.zeros((x.shape[0], channels))
    pixels = x.reshape(x.shape[0], -1, channels).swapaxes(0, 1)
    sums = jax.lax.scan(lambda s, p: ((s[0] + p, s[1] + p * p), None), (zero, zero), pixels)[0]
    count = pixels.shape[0] * channels // groups
    mean, square = (s.reshape(-1, groups, channels // groups).sum(-1) / count for s in sums)
    scale = 1 / jnp.sqrt(jnp.maximum(square - mean**2, 0) + norm.epsilon)
    mean, scale = (jnp.repeat(m, channels // groups, -1) for m in (mean, scale))
    scale = scale * norm.scale[...]
    shift = norm.bias[...] - scale * mean
    shape = (x.shape[0], *(1,) * (x.ndim - 2), channels)
    return x * scale.reshape(shape) + shift.reshape(shape)


@pytest.mark.parametrize("name", LOOPS)
def test_loops_step_by_step(model, texts, data, monkeypatch, name):
    """From the pictures to the last step; pictures are encoded in the original's order of sums."""
    people, is_padded = LOOPS[name]
    planned = plan(model, people, is_padded=is_padded)
    animator, params = planned.animator, model.params
    with monkeypatch.context() as patch:
        patch.setattr(nnx.GroupNorm, "__call__", _sums_pixel_by_pixel)
        # Repeats of the last frame are read as the last frame is: nothing more is encoded.
        conditions = read_clip(plan(model, people), params, texts, clip(data, people))
    reference = np.moveaxis(data["ref_latent"], 1, -1)
    assert largest(conditions.references.shared, reference) <= 1e-4
    padded = "loop_tpc1pad16_init_latents" if is_padded else "loop_init_latents"
    start = last(data[padded])[0]
    latents = run(planned, params, conditions, start)
    wanted = last(data[f"loop_{name}_latents"])[:, 0]
    errors = [largest(*pair) for pair in zip(latents, wanted, strict=True)]
    predicted = last(data[f"loop_{name}_noise_pred"])[:, 0]
    noise = largest(solved_predictions(planned, start, latents), predicted)
    print(f"{name}: latents {errors}, noise {noise:.1e}")
    assert max(errors) <= 3e-3
    assert noise <= 1.5e-3
    if name in ("base", "tpc1"):
        frames = animator.decode(params, jnp.asarray(latents[-1, [0, 9]])) / 2 + 0.5
        shown = np.moveaxis(data[f"loop_{name}_video_frames_0_9"], 1, -1)
        error = largest(np.clip(np.asarray(frames), 0, 1), shown)
        print(f"{name}: frames {error:.1e}")
        assert error <= 1e-3


def test_calibrated_latents(model, data, monkeypatch):
    """The original's latents hold more rounding of its norms than ours on these pictures.

    Warped pictures have wide black margins, on which random networks enlarge rounding a
    thousandfold. Summed in the original's order, ours are theirs.
    """
    animator, params, _ = model
    pixels = data["cal_images"][:, ::GROUP].reshape(-1, *data["cal_images"].shape[2:])
    images = jnp.asarray(pixels / np.float32(127.5) - np.float32(1))
    wanted = np.moveaxis(data["tpc2_cal_latents"], 2, -1)[:, ::GROUP]
    wanted = wanted.reshape(-1, *wanted.shape[2:])
    ours = jax.jit(lambda params, x: animator.encode(params, x))(params, images)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (params["vae"], images))
        vae = animator.networks()["vae"]
        exact = np.asarray(jax.jit(lambda params, x: P.bind(vae, params).encode(x))(*wide))
    assert exact.dtype == np.float64
    monkeypatch.setattr(nnx.GroupNorm, "__call__", _sums_pixel_by_pixel)
    reordered = jax.jit(lambda params, x: animator.encode(params, x))(params, images)
    errors = largest(ours, exact), largest(wanted, exact), largest(reordered, wanted)
    print("ours off exact {:.1e}, theirs {:.1e}; reordered off theirs {:.1e}".format(*errors))
    assert errors[0] <= 1.5e-4
    assert errors[0] < errors[1]
    assert largest(ours, wanted) <= 4e-4
    assert errors[2] <= 5e-6


def test_schedule(model, data):
    config = model.animator.config
    np.testing.assert_allclose(
        alphas_cumprod(config.schedule), data["ddim_alphas_cumprod"], rtol=1e-5
    )
    for count in (3, 25):
        wanted = data[f"ddim_timesteps_{count}"]
        np.testing.assert_array_equal(timesteps(config.schedule, count), wanted)
    levels = run_levels(config.schedule, 25)
    assert levels.next_signal[-1] ** 2 == data["ddim_final_alpha_cumprod"] == 1.0
    assert config.num_steps == 25
    assert config.guidance_scale == (7.5,)


def test_windows(model):
    published = json.loads((GOLDEN / "context_windows.json").read_text())
    config, program = model.animator.config, plan(model, 0).program
    checked = 0
    for key, windows in published.items():
        frames, length, overlap = map(int, key.split("_"))
        if (length, overlap) == (config.window_length, config.window_overlap):
            ours = dataclasses.replace(program, num_frames=frames).windows
            assert ours.frames.tolist() == windows
            checked += 1
    assert checked
    assert plan(model, 0, is_padded=True).program.windows.frames.max() == 15


def test_blending(data):
    masks = data["pose_masks"][:1] > 0
    np.testing.assert_array_equal([widen(m) for m in masks[0]], data["pad_blend_mask"])
    frames = np.random.default_rng(0).integers(0, 256, data["control"].shape, np.uint8)
    blended = blend_background(frames, data["source_image"], masks)
    inside = data["pad_blend_mask"]
    np.testing.assert_array_equal(blended[inside], frames[inside])
    still = np.broadcast_to(data["source_image"], frames.shape)
    np.testing.assert_array_equal(blended[~inside], still[~inside])


def test_start_noise_is_tiled(model, texts, data):
    padded = plan(model, 0, is_padded=True)
    conditions = read_clip(padded, model.params, texts, clip(data, 0))
    noise = start_latents(padded, conditions)
    assert noise.shape == (16, *model.animator.latent_shape)
    np.testing.assert_array_equal(noise[:8], noise[8:])
