import dataclasses
import functools
import json
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_magicanimate import SIDE, random_clip, shape_of, small_config, small_magicanimate

from tpc_jax._types import Keypoints
from tpc_jax.animators import magicanimate
from tpc_jax.animators.clip import sample_clip, start_latents
from tpc_jax.animators.cost import abstract_conditions
from tpc_jax.animators.encoding import encode_clip
from tpc_jax.animators.interface import Animator
from tpc_jax.animators.load import load_animator
from tpc_jax.animators.magicanimate import (
    EMPTY_PROMPT,
    PROMPT,
    MagicAnimateAnimator,
    MagicAnimateConfig,
    networks,
    with_prompt,
)
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.animators.references import window_groups, window_references
from tpc_jax.animators.tiny import TinyAnimator
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.checkpoint import CONFIG_FILE, save_checkpoint
from tpc_jax.pose.densepose import PALETTE, render_densepose
from tpc_jax.pose.reading import Motion

FRAMES = 3
MASKED = AnimateOptions("masked", group_size=2, policy="first", steps=1)


@pytest.fixture(scope="module")
def model():
    return small_magicanimate()


def run(model, clip, options, start=None):
    """Return the latents of a whole run."""
    animator, params = model
    options = options.resolve(animator)
    conditions = encode_clip(animator, params, clip, options)
    if start is None:
        start = start_latents(animator, len(clip.pose), options)
    *_, latents = sample_clip(animator, params, conditions, options, jnp.array(start))
    return np.asarray(latents)


@pytest.fixture(scope="module")
def window(model):
    """One window of a masked run: everything that `denoise` takes but the references' choice."""
    animator, params = model
    conditions = encode_clip(animator, params, random_clip(FRAMES), MASKED)
    rng = np.random.default_rng(1)
    latents = jnp.asarray(rng.normal(size=(FRAMES, *animator.latent_shape)), jnp.float32)

    @jax.jit
    def prepare(params, latents, references, pose):
        timestep = jnp.float32(500)
        encode = functools.partial(animator.reference_features, params, timestep=timestep)
        groups = window_groups(jnp.arange(FRAMES), jnp.arange(2), MASKED.group_size, 2)
        shared = encode(references.shared)
        read = window_references(references, shared, jnp.arange(FRAMES), groups, encode)
        control = animator.control(params, latents, timestep, pose)
        return read, jax.tree.map(lambda x: x[None], control)

    read, control = prepare(params, latents, conditions.references, conditions.pose)
    return latents[None], jnp.full(1, 500.0), read, control


@pytest.fixture(scope="module")
def halves(model):
    jitted = jax.jit(model[0].denoise_branches)
    return lambda params, *window: [np.asarray(half) for half in jitted(params, *window)]


@pytest.fixture(scope="module")
def denoise(model):
    return jax.jit(model[0].denoise)


def test_both_systems_are_animators(model):
    assert isinstance(model[0], Animator)
    assert isinstance(TinyAnimator(), Animator)
    published = MagicAnimateAnimator()
    assert published.latent_shape == (64, 64, 4)
    pairs = zip(published.token_grids, published.reads, strict=True)
    sides = [grid[0] for grid, reads in pairs if reads]
    assert sides == [8, *[16] * 3, *[32] * 3, *[64] * 3]


def test_published_parameter_counts():
    counts = {name: P.count(n.spec) for name, n in networks(MagicAnimateConfig()).items()}
    assert counts == {
        "vae": 83_653_863,
        # Spatial layers and motion modules, whose position tables are computed.
        "unet": 859_520_964 + 417_137_600,
        "controlnet": 361_279_120,
        "appearance_encoder": 857_066_560,
        "context": 77 * 768,
    }


def test_the_unconditional_half_does_not_feel_the_references(model, window, halves, denoise):
    params = model[1]
    latents, timesteps, read, control = window
    unconditional, conditional = halves(params, latents, timesteps, read, control)
    louder = jax.tree.map(lambda x: 2 * x if x.dtype == jnp.float32 else x, read)
    other = halves(params, latents, timesteps, louder, control)
    np.testing.assert_array_equal(other[0], unconditional)
    assert np.abs(other[1] - conditional).max() > 1e-3
    plain = denoise(params, latents, timesteps, None, control)
    np.testing.assert_allclose(unconditional, plain, atol=1e-5)
    with_references = denoise(params, latents, timesteps, read, control)
    np.testing.assert_allclose(conditional, with_references, atol=1e-5)
    assert np.abs(unconditional - conditional).max() > 1e-3


def test_representatives_serve_their_groups_as_pictures_of_each_frame_would(model, window, denoise):
    params = model[1]
    latents, timesteps, read, control = window

    def dense(layer):
        if layer is None:
            return None
        index = layer.picture_of_frame[0]
        spread = lambda x: x if x is None or x.shape[1] == 1 else x[:, index]  # noqa: E731
        tokens, bits = (tuple(map(spread, parts)) for parts in layer[:2])
        return layer._replace(tokens=tokens, key_bits=bits, picture_of_frame=None)

    assert any(layer is not None for layer in read)
    expected = denoise(params, latents, timesteps, tuple(map(dense, read)), control)
    ours = denoise(params, latents, timesteps, read, control)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_a_prompt_reaches_the_conditional_half_only(model, window, halves):
    animator, params = model
    ids = np.array([[14, 3, 5, 15, 15, 15]], np.int32)
    prompted = with_prompt(animator.config, params, ids)
    encoder = networks(animator.config)["text_encoder"]
    embedding = P.bind(encoder, params["text_encoder"])(jnp.asarray(ids))[0]
    np.testing.assert_allclose(prompted["context"][PROMPT], embedding, atol=1e-5)
    assert PROMPT not in params["context"]
    plain, texted = (halves(p, *window) for p in (params, prompted))
    np.testing.assert_allclose(texted[0], plain[0], atol=1e-5)
    assert np.abs(texted[1] - plain[1]).max() > 1e-3
    # Two texts, hence two ways down: the empty prompt given as one changes nothing.
    empty = {
        **params,
        "context": {k: params["context"][EMPTY_PROMPT] for k in (EMPTY_PROMPT, PROMPT)},
    }
    for ours, expected in zip(halves(empty, *window), plain, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.fixture(scope="module")
def masked(model):
    return run(model, random_clip(FRAMES), MASKED)


def test_people_have_no_order(model, masked):
    clip = random_clip(FRAMES)
    fields = ("reference_masks", "images", "masks", "target_masks")
    swapped = clip._replace(**{name: getattr(clip, name)[::-1] for name in fields})
    np.testing.assert_allclose(run(model, swapped, MASKED), masked, atol=1e-4)
    wrong = clip._replace(images=clip.images[::-1])
    assert np.abs(run(model, wrong, MASKED) - masked).max() > 1e-3


@pytest.mark.slow
def test_repeated_frames_are_frames_that_repeat(model, masked):
    clip = random_clip(FRAMES)
    stretched = clip._replace(
        pose=clip.pose[[0, 1, 2, 2]],
        images=clip.images[:, [0, 1, 2, 2]],
        masks=clip.masks[:, [0, 1, 2, 2]],
        target_masks=clip.target_masks[:, [0, 1, 2, 2]],
    )
    expected = run(model, stretched, MASKED)
    padded = run(model, clip, dataclasses.replace(MASKED, pad_to_window=True))
    np.testing.assert_allclose(padded, expected, atol=1e-5)
    # Frames of a window depend on each other, so the repeats make a difference.
    assert np.abs(padded[:FRAMES] - masked).max() > 1e-4


@pytest.mark.parametrize("routing", [None, "open", "union", "replace", "composite"])
def test_shapes_are_known_before_anything_is_encoded(model, routing):
    animator, params = model
    for policy in ("first", "random"):
        options = AnimateOptions(routing, group_size=2, policy=policy)
        ours = abstract_conditions(animator, params, FRAMES, 2, options)
        encoded = encode_clip(animator, params, random_clip(FRAMES), options)
        if routing == "union":
            hidden = lambda c: c._replace(references=c.references._replace(visible=()))  # noqa: E731
            ours, encoded = hidden(ours), hidden(encoded)
        assert shape_of(ours) == shape_of(encoded)


def test_settings_survive_storage():
    config = small_config()
    assert MagicAnimateConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert MagicAnimateConfig.from_dict({}) == MagicAnimateConfig()


def test_a_stored_model_comes_back_without_its_text_encoder(model, tmp_path):
    animator, params = model
    folder = tmp_path / "small"
    save_checkpoint(folder, {"animator": "magicanimate", **animator.config.to_dict()}, params)
    loaded, restored = load_animator(folder)
    assert loaded == animator
    assert set(restored) == set(params) - {"text_encoder"}
    for name, part in restored.items():
        jax.tree.map(np.testing.assert_array_equal, part, params[name])
    with pytest.raises(UserError, match="tokenizer"):
        load_animator(folder, prompt="somebody dances")
    config = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps({**config, "text_encoder": None}))
    with pytest.raises(UserError, match="unknown text_encoder"):
        load_animator(folder)


def test_tiny_reads_no_prompts():
    with pytest.raises(UserError, match="reads no prompts"):
        load_animator("tiny", prompt="somebody dances")


def motion(frames, parts) -> Motion:
    people = Keypoints(np.zeros((1, len(frames), 17, 2)), np.zeros((1, len(frames), 17)))
    kind = "openpose" if parts is None else "densepose"
    return Motion(frames, Fraction(10), kind, people, None, parts)


def test_the_control_picture_is_the_rendering_itself():
    parts = np.zeros((2, 16, 32), np.uint8)
    parts[:, 4:12, 8:16] = 2
    rendering = render_densepose(parts)
    shown = pose_pictures(motion(rendering, parts), (SIDE, SIDE), "densepose")
    np.testing.assert_array_equal(shown[:, 8:24], rendering)
    # The bars of a wide motion have the background's colour.
    assert (shown[:, :8] == PALETTE[0]).all()
    # A motion with ordinary pictures is painted from its part maps.
    camera = np.random.default_rng(0).integers(0, 256, rendering.shape, np.uint8)
    again = pose_pictures(motion(camera, parts), (SIDE, SIDE), "densepose")
    np.testing.assert_array_equal(again, shown)


def test_other_motions_are_refused():
    skeleton = motion(np.zeros((2, 16, 16, 3), np.uint8), None)
    with pytest.raises(UserError, match="driven by DensePose renderings") as error:
        pose_pictures(skeleton, (SIDE, SIDE), magicanimate.MagicAnimateAnimator.pose_kind)
    assert "\n" not in str(error.value)
