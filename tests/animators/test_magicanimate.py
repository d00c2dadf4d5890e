import dataclasses
import functools
import json
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_clips import random_clip, recalibrated, run_clip, shape_of_conditions
from small_magicanimate import SIDE, small_config, small_magicanimate

from tpc_jax._types import Keypoints
from tpc_jax.animators.cost import step_inputs
from tpc_jax.animators.habits import Habits
from tpc_jax.animators.load import load
from tpc_jax.animators.magicanimate import MagicAnimateAnimator, MagicAnimateConfig
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.reading import read_clip
from tpc_jax.animators.run import window_reader
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.checkpoint import CONFIG_FILE, save_checkpoint
from tpc_jax.options import Options
from tpc_jax.pose.densepose import PALETTE, render_densepose
from tpc_jax.pose.reading import Motion
from tpc_jax.sampler.table import row_of

# Compiles for long.
pytestmark = pytest.mark.slow

FRAMES, CANVAS = 3, Canvas((SIDE, SIDE))
MASKED = Options(routing="masked", group_size=2, propagation="first", steps=1)


@pytest.fixture(scope="module")
def model():
    return small_magicanimate()


def read(model, prompt=None):
    """Return what the model reads of a reference and a prompt; of pictures nothing."""
    animator, params = model
    blank = np.zeros((*animator.canvas.size, 3), np.uint8)
    return animator.read_reference(params, blank, blank.any(-1), prompt)


def run(model, clip, options):
    """Return the latents of a whole run."""
    animator, params = model
    return run_clip(plan_run(animator, len(clip.pose), options), params, read(model), clip)


@pytest.fixture(scope="module")
def window(model):
    """One window of a masked run: all arrays that `predict` takes but the parameters."""
    animator, params = model
    plan = plan_run(animator, FRAMES, MASKED)
    conditions = read_clip(plan, params, read(model), random_clip(FRAMES))
    rng = np.random.default_rng(1)
    latents = jnp.asarray(rng.normal(size=(1, FRAMES, *animator.latent_shape)), jnp.float32)

    @jax.jit
    def references(params, conditions, row):
        reader = window_reader(plan.program, params, conditions, jax.random.key(0), row)
        return reader(jnp.arange(FRAMES))

    row = row_of(plan.table, 0)._replace(timestep=np.int32(500))
    read_tokens = references(params, conditions, row)
    return conditions.reading, latents, jnp.full(1, 500.0), read_tokens, conditions.pose[None]


@pytest.fixture(scope="module")
def halves(model):
    jitted = jax.jit(functools.partial(model[0].predict, is_guided=True))
    return lambda params, *window: [np.asarray(half) for half in jitted(params, *window)]


@pytest.fixture(scope="module")
def predict(model):
    """Return the only prediction of a run without guidance."""
    jitted = jax.jit(functools.partial(model[0].predict, is_guided=False))

    def run(params, *window):
        (prediction,) = jitted(params, *window)
        return prediction

    return run


def test_the_published_sizes():
    published = MagicAnimateAnimator()
    assert published.latent_shape == (64, 64, 4)
    sides = [grid[0] for grid in published.readers if grid is not None]
    assert len(published.readers) == 16
    assert sides == [8, *[16] * 3, *[32] * 3, *[64] * 3]


def test_published_parameter_counts():
    counts = {name: P.count(n.spec) for name, n in MagicAnimateAnimator().networks().items()}
    assert counts == {
        "vae": 83_653_863,
        # Spatial layers and motion modules, whose position tables are computed.
        "unet": 859_520_964 + 417_137_600,
        "controlnet": 361_279_120,
        "appearance_encoder": 857_066_560,
        "context": 77 * 768,
    }


def test_the_unconditional_half_does_not_feel_the_references(model, window, halves, predict):
    params = model[1]
    *before, references, pose = window
    unconditional, conditional = halves(params, *window)
    louder = jax.tree.map(lambda x: 2 * x if x.dtype == jnp.float32 else x, references)
    other = halves(params, *before, louder, pose)
    np.testing.assert_array_equal(other[0], unconditional)
    assert np.abs(other[1] - conditional).max() > 1e-3
    plain = predict(params, *before, (None,) * len(references), pose)
    np.testing.assert_allclose(unconditional, plain, atol=1e-5)
    np.testing.assert_allclose(conditional, predict(params, *window), atol=1e-5)
    assert np.abs(unconditional - conditional).max() > 1e-3


def test_representatives_serve_their_groups_as_pictures_of_each_frame_would(model, window, predict):
    params = model[1]
    *before, references, pose = window

    def dense(layer):
        if layer is None:
            return None
        index = layer.picture_of_frame[0]
        spread = lambda x: x if x is None or x.shape[1] == 1 else x[:, index]  # noqa: E731
        tokens, bits = (tuple(map(spread, parts)) for parts in layer[:2])
        return layer._replace(tokens=tokens, key_bits=bits, picture_of_frame=None)

    assert any(layer is not None for layer in references)
    expected = predict(params, *before, tuple(map(dense, references)), pose)
    np.testing.assert_allclose(predict(params, *window), expected, atol=1e-5)


def test_a_prompt_reaches_the_conditional_half_only(model, window, halves):
    animator, params = model
    ids = np.array([[14, 3, 5, 15, 15, 15]], np.int32)
    prompted = read(model, ids)
    encoder = P.bind(animator.networks()["text_encoder"], params["text_encoder"])
    embedding = encoder(jnp.asarray(ids))[0]
    np.testing.assert_allclose(prompted.prompt, embedding, atol=1e-5)
    assert read(model).prompt is None
    # The ControlNet reads the prompt for both halves; without its word only one half feels it.
    silent = {**params, "controlnet": jax.tree.map(jnp.zeros_like, params["controlnet"])}
    plain, texted = (halves(silent, texts, *window[1:]) for texts in (window[0], prompted))
    np.testing.assert_allclose(texted[0], plain[0], atol=1e-5)
    assert np.abs(texted[1] - plain[1]).max() > 1e-3
    # Two texts, hence two ways down: the empty prompt given as one changes nothing.
    empty = prompted._replace(prompt=prompted.empty)
    same, plain = (halves(params, texts, *window[1:]) for texts in (empty, window[0]))
    for ours, expected in zip(same, plain, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_the_controlnet_reads_the_prompt(model, window, halves):
    params, prompted = model[1], read(model, np.array([[14, 3, 5, 15, 15, 15]], np.int32))
    alone = prompted._replace(empty=prompted.prompt, prompt=None)
    both, texted, plain = (
        halves(params, texts, *window[1:]) for texts in (alone, prompted, window[0])
    )
    np.testing.assert_allclose(texted[1], both[1], atol=1e-5)
    for other in (plain, both):
        assert np.abs(texted[0] - other[0]).max() > 1e-3


def test_what_is_encoded_of_pictures_reads_the_prompt(model):
    animator, params = model
    latents = jnp.ones((1, *animator.latent_shape))
    texts = read(model, np.array([[14, 3, 5, 15, 15, 15]], np.int32))
    encode = jax.jit(lambda reading: animator.features(params, reading, latents, 500.0))
    plain, texted, again = map(
        encode, (read(model), texts, texts._replace(empty=texts.prompt, prompt=None))
    )
    layers = [layer for layer in zip(plain, texted, again, strict=True) if layer[0] is not None]
    assert max(np.abs(one - other).max() for one, other, _ in layers) > 1e-3
    for _, one, other in layers:
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.fixture(scope="module")
def masked(model):
    return run(model, random_clip(FRAMES), MASKED)


def test_people_have_no_order(model, masked):
    clip = random_clip(FRAMES)
    images, masks = clip.calibrated
    swapped = recalibrated(clip, images=images[::-1], masks=masks[::-1])._replace(
        reference_masks=clip.reference_masks[::-1], target_masks=clip.target_masks[::-1]
    )
    np.testing.assert_allclose(run(model, swapped, MASKED), masked, atol=1e-4)
    wrong = recalibrated(clip, images=images[::-1])
    assert np.abs(run(model, wrong, MASKED) - masked).max() > 1e-3


class Padding(MagicAnimateAnimator):
    """Of the released sampler's habits the repeats of the last frame alone."""

    habits = Habits(pad_to_window=True)


def test_repeated_frames_are_frames_that_repeat(model, masked):
    clip, index = random_clip(FRAMES), [0, 1, 2, 2]
    images, masks = clip.calibrated
    stretched = recalibrated(clip, images=images[:, index], masks=masks[:, index])._replace(
        pose=clip.pose[index], target_masks=clip.target_masks[:, index]
    )
    expected = run(model, stretched, MASKED)
    padding = Padding(model[0].config), model[1]
    padded = run(padding, clip, dataclasses.replace(MASKED, as_published=True))
    np.testing.assert_allclose(padded, expected, atol=1e-5)
    # Frames of a window depend on each other, so the repeats make a difference.
    assert np.abs(padded[:FRAMES] - masked).max() > 1e-4


@pytest.mark.parametrize("routing", [None, "open", "union", "replace", "composite"])
def test_shapes_are_known_before_anything_is_encoded(model, routing):
    animator, params = model
    for policy in ("first", "random"):
        options = Options(
            tpc=routing is not None, routing=routing or "auto", group_size=2, propagation=policy
        )
        plan = plan_run(animator, FRAMES, options)
        ours = step_inputs(plan, params, 2).conditions
        encoded = read_clip(plan, params, read(model), random_clip(FRAMES))
        assert shape_of_conditions(plan, ours) == shape_of_conditions(plan, encoded)


def test_settings_survive_storage():
    config = small_config()
    assert MagicAnimateConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert MagicAnimateConfig.from_dict({}) == MagicAnimateConfig()


def test_a_stored_model_comes_back_without_its_text_encoder(model, tmp_path):
    animator, params = model
    folder = tmp_path / "small"
    save_checkpoint(folder, {"animator": "magicanimate", **animator.config.to_dict()}, params)
    loaded, restored, prompt = load(folder)
    assert loaded == animator
    assert prompt is None
    assert set(restored) == set(params) - {"text_encoder"}
    for name, part in restored.items():
        jax.tree.map(np.testing.assert_array_equal, part, params[name])
    with pytest.raises(UserError, match="tokenizer"):
        load(folder, prompt="somebody dances")
    config = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps({**config, "text_encoder": None}))
    with pytest.raises(UserError, match="unknown text_encoder"):
        load(folder)


def test_tiny_reads_no_prompts():
    with pytest.raises(UserError, match="reads no prompts"):
        load("tiny", prompt="somebody dances")


def motion(frames, parts) -> Motion:
    people = Keypoints(np.zeros((1, len(frames), 17, 2)), np.zeros((1, len(frames), 17)))
    kind = "openpose" if parts is None else "densepose"
    return Motion(frames, Fraction(10), kind, people, None, parts)


def test_the_control_picture_is_the_rendering_itself():
    parts = np.zeros((2, 16, 32), np.uint8)
    parts[:, 4:12, 8:16] = 2
    rendering = render_densepose(parts)
    shown = pose_pictures(motion(rendering, parts), CANVAS, "densepose")
    np.testing.assert_array_equal(shown[:, 8:24], rendering)
    # The bars of a wide motion have the background's colour.
    assert (shown[:, :8] == PALETTE[0]).all()
    # A motion with ordinary pictures is painted from its part maps.
    camera = np.random.default_rng(0).integers(0, 256, rendering.shape, np.uint8)
    again = pose_pictures(motion(camera, parts), CANVAS, "densepose")
    np.testing.assert_array_equal(again, shown)


def test_other_motions_are_refused():
    skeleton = motion(np.zeros((2, 16, 16, 3), np.uint8), None)
    with pytest.raises(UserError, match="driven by DensePose renderings") as error:
        pose_pictures(skeleton, CANVAS, MagicAnimateAnimator.pose_kind)
    assert "\n" not in str(error.value)
