"""MagicAnimate's whole loops, filled by the converter, against the original code."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from golden_model import GOLDEN, convert_golden

from tpc_jax.animators.clip import clip_windows, sample_clip, start_latents
from tpc_jax.animators.encoding import CanvasClip, encode_clip
from tpc_jax.animators.load import load_animator
from tpc_jax.animators.magicanimate import EMPTY_PROMPT, PROMPT, networks
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.conditioning.composite import blend_background, widen
from tpc_jax.model import params as P
from tpc_jax.sampler.schedule import alphas_cumprod, step_table, timesteps

pytestmark = pytest.mark.slow
STEPS, FRAMES, GROUP = 3, 10, 4


@pytest.fixture(scope="module")
def data():
    if not GOLDEN.exists():
        pytest.skip("the golden data of magicanimate is not there")
    return np.load(GOLDEN / "io.npz")


@pytest.fixture(scope="module")
def model(tmp_path_factory, data):
    """The converted model with the golden windows and texts, whose two rows differ."""
    animator, params = load_animator(convert_golden(tmp_path_factory.mktemp("golden")))
    config = dataclasses.replace(animator.config, window_length=8, window_overlap=2)
    unconditional, conditional = jnp.asarray(data["text_embeddings"])
    context = {EMPTY_PROMPT: unconditional, PROMPT: conditional}
    return dataclasses.replace(animator, config=config), {**params, "context": context}


def options(people: int, **changes) -> AnimateOptions:
    routing = "masked" if people else None
    return AnimateOptions(routing, GROUP, "first", STEPS, closed_windows=True, **changes)


def clip(data, people: int) -> CanvasClip:
    masks = ("cal_masks", "pose_masks")
    return CanvasClip(
        data["source_image"], data["control"], None, data["ref_masks"][:people],
        data["cal_images"][:people], *(data[name][:people] for name in masks),
    )  # fmt: skip


def last(array):
    """Return videos [..., channels, frames, h, w] with channels last."""
    return np.moveaxis(array, -4, -1)


def noise_predictions(schedule, start, latents):
    """Solve every DDIM step for the prediction that it took."""
    table = step_table(schedule, STEPS)
    signal, noise, next_signal, next_noise = (np.asarray(x, np.float64) for x in table[1:])
    before = np.concatenate([start[None], latents[:-1]])
    columns = [x[:, None, None, None, None] for x in (signal, noise, next_signal, next_noise)]
    signal, noise, next_signal, next_noise = columns
    ratio = next_signal / signal
    return (latents - ratio * before) / (next_noise - ratio * noise)


def largest(ours, theirs) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max())


LOOPS = {
    "base": (0, {}),
    "tpc1": (1, {}),
    "tpc2": (2, {}),
    "tpc1pad16": (1, {"pad_to_window": True}),
}


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
def test_loops_step_by_step(model, data, monkeypatch, name):
    """From the pictures to the last step; pictures are encoded in the original's order of sums."""
    animator, params = model
    people, changes = LOOPS[name]
    settings = options(people, **changes)
    with monkeypatch.context() as patch:
        patch.setattr(nnx.GroupNorm, "__call__", _sums_pixel_by_pixel)
        conditions = encode_clip(animator, params, clip(data, people), settings)
    reference = np.moveaxis(data["ref_latent"], 1, -1)
    assert largest(conditions.references.shared, reference) <= 1e-4
    padded = "loop_tpc1pad16_init_latents" if changes else "loop_init_latents"
    start = last(data[padded])[0]
    steps = sample_clip(animator, params, conditions, settings, jnp.asarray(start))
    latents = np.stack([np.asarray(x) for x in steps])
    wanted = last(data[f"loop_{name}_latents"])[:, 0]
    errors = [largest(*pair) for pair in zip(latents, wanted, strict=True)]
    predicted = last(data[f"loop_{name}_noise_pred"])[:, 0]
    noise = largest(noise_predictions(animator.schedule, start, latents), predicted)
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
    animator, params = model
    pixels = data["cal_images"][:, ::GROUP].reshape(-1, *data["cal_images"].shape[2:])
    images = jnp.asarray(pixels / np.float32(127.5) - np.float32(1))
    wanted = np.moveaxis(data["tpc2_cal_latents"], 2, -1)[:, ::GROUP]
    wanted = wanted.reshape(-1, *wanted.shape[2:])
    ours = jax.jit(lambda params, x: animator.encode(params, x))(params, images)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (params["vae"], images))
        vae = networks(animator.config)["vae"]
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
    animator, _ = model
    np.testing.assert_allclose(
        alphas_cumprod(animator.schedule), data["ddim_alphas_cumprod"], rtol=1e-5
    )
    for count in (3, 25):
        wanted = data[f"ddim_timesteps_{count}"]
        np.testing.assert_array_equal(timesteps(animator.schedule, count), wanted)
    table = step_table(animator.schedule, 25)
    assert table.next_signal[-1] ** 2 == data["ddim_final_alpha_cumprod"] == 1.0
    assert animator.config.num_steps == 25
    assert animator.guidance_scale == 7.5


def test_windows(model):
    animator, _ = model
    published = json.loads((GOLDEN / "context_windows.json").read_text())
    settings = options(0)
    checked = 0
    for key, windows in published.items():
        frames, length, overlap = map(int, key.split("_"))
        if (length, overlap) == (animator.window_length, animator.window_overlap):
            assert clip_windows(animator, frames, settings).frames.tolist() == windows
            checked += 1
    assert checked
    assert clip_windows(animator, FRAMES, options(0, pad_to_window=True)).frames.max() == 15


def test_blending(data):
    masks = data["pose_masks"][:1] > 0
    np.testing.assert_array_equal([widen(m) for m in masks[0]], data["pad_blend_mask"])
    frames = np.random.default_rng(0).integers(0, 256, data["control"].shape, np.uint8)
    blended = blend_background(frames, data["source_image"], masks)
    inside = data["pad_blend_mask"]
    np.testing.assert_array_equal(blended[inside], frames[inside])
    still = np.broadcast_to(data["source_image"], frames.shape)
    np.testing.assert_array_equal(blended[~inside], still[~inside])


def test_start_noise_is_tiled(model):
    animator, _ = model
    noise = start_latents(animator, FRAMES, AnimateOptions(tiled_noise=True, pad_to_window=True))
    assert noise.shape == (16, 16, 16, 4)
    np.testing.assert_array_equal(noise[:8], noise[8:])
