import dataclasses
import json
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_animateanyone import SIZE, reference_image, small_animateanyone, small_config
from small_clips import random_clip
from small_magicanimate import shape_of

from tpc_jax._types import Keypoints
from tpc_jax.animate import animate_clip
from tpc_jax.animators.animateanyone import (
    AnimateAnyoneAnimator,
    AnimateAnyoneConfig,
    networks,
)
from tpc_jax.animators.clip import sample_clip, start_latents
from tpc_jax.animators.cost import abstract_conditions, estimate_clip
from tpc_jax.animators.encoding import encode_clip, keeps_features
from tpc_jax.animators.interface import Animator
from tpc_jax.animators.load import load_animator
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.conditioning.canvas import fit_images
from tpc_jax.conditioning.clip_pixels import clip_pixels
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.checkpoint import save_checkpoint
from tpc_jax.pose.dwpose import draw_motion, whole_body
from tpc_jax.pose.reading import Motion, Reference

FRAMES = 5
ROUTINGS = [None, "open", "masked", "union", "replace", "composite"]


@pytest.fixture(scope="module")
def model():
    animator, params = small_animateanyone()
    return animator, animator.with_reference(params, reference_image())


def clip(frames=FRAMES):
    return random_clip(frames, people=1, size=SIZE)


def run(model, options, given=None):
    """Return the latents of a whole run."""
    animator, params = model
    given = clip() if given is None else given
    options = options.resolve(animator)
    conditions = encode_clip(animator, params, given, options)
    start = start_latents(animator, len(given.pose), options)
    *_, latents = sample_clip(animator, params, conditions, options, start)
    return np.asarray(latents)


def test_it_is_an_animator_of_the_published_size(model):
    assert isinstance(model[0], Animator)
    published = AnimateAnyoneAnimator()
    assert published.latent_shape == (98, 64, 4)
    assert set(published.token_grids) == {(98, 64), (49, 32), (25, 16), (13, 8)}
    assert published.reads == (True,) * 16
    assert not published.features_depend_on_t


def test_published_parameter_counts():
    counts = {name: P.count(n.spec) for name, n in networks(AnimateAnyoneConfig()).items()}
    assert counts == {
        "vae": 83_653_863,
        "unet": 859_520_964 + 453_209_280,
        # Without what lies behind the last tokens, which the published file has.
        "appearance_encoder": 857_066_560,
        "pose_net": 1_086_480,
        "image_encoder": 303_966_208,
    }


def test_the_embedding_of_the_reference_replaces_its_encoder(model):
    animator, params = small_animateanyone()
    assert set(model[1]) == {*params, "context"} - {"image_encoder"}
    encoder = P.bind(animator.networks["image_encoder"], params["image_encoder"])
    pixels = clip_pixels(reference_image()[None], 8)
    np.testing.assert_allclose(model[1]["context"], encoder(jnp.asarray(pixels)), atol=1e-5)
    other = animator.with_reference(params, reference_image(1))
    assert np.abs(other["context"] - model[1]["context"]).max() > 1e-2


@pytest.fixture(scope="module")
def halves(model):
    animator = model[0]
    rng = np.random.default_rng(0)
    latents, pose = (
        jnp.asarray(rng.normal(size=(1, 4, *shape)), jnp.float32)
        for shape in (animator.latent_shape, (*animator.latent_shape[:2], 8))
    )
    options = AnimateOptions("open", steps=1)
    shared = encode_clip(animator, model[1], clip(), options).references.shared
    jitted = jax.jit(animator.denoise_branches)

    def call(context=model[1]["context"], pose=pose, scale=1.0):
        read = tuple(ReferenceTokens((scale * x[None],), (None,), None) for x in shared)
        params = {**model[1], "context": context}
        return [np.asarray(x) for x in jitted(params, latents, jnp.full(1, 500.0), read, pose)]

    return call, pose


def test_the_unconditional_half_feels_the_pose_only(halves):
    call, pose = halves
    unconditional, conditional = call()
    assert np.abs(unconditional - conditional).max() > 1e-3
    for changed in (call(scale=2.0), call(context=jnp.ones((1, 6)))):
        np.testing.assert_array_equal(changed[0], unconditional)
        assert np.abs(changed[1] - conditional).max() > 1e-3
    for half, before in zip(call(pose=2 * pose), (unconditional, conditional), strict=True):
        assert np.abs(half - before).max() > 1e-3


@pytest.mark.parametrize("routing", ["open", "union", "composite"])
def test_features_that_do_not_fit_are_encoded_anew_with_the_same_result(model, routing):
    animator, params = model
    for policy in ("random", "first"):
        kept = AnimateOptions(routing, group_size=2, policy=policy, steps=2)
        anew = dataclasses.replace(kept, cache_bytes=0)
        stored = [encode_clip(animator, params, clip(), o).references for o in (kept, anew)]
        assert [isinstance(s.per_frame[0], tuple) for s in stored] == [True, False]
        assert len(stored[1].per_frame[0]) == (3 if policy == "first" else FRAMES)
        if (policy, routing) == ("random", "union"):
            np.testing.assert_allclose(run(model, anew), run(model, kept), atol=2e-4)


def test_the_limit_counts_all_pictures(model):
    animator, params = model
    options = AnimateOptions()
    sizes = [h * w * 8 * 4 for h, w in animator.token_grids]
    fits = dataclasses.replace(options, cache_bytes=6 * sum(sizes))
    assert keeps_features(animator, params, 6, fits)
    assert not keeps_features(animator, params, 7, fits)


@pytest.mark.parametrize("routing", ROUTINGS)
def test_shapes_are_known_before_anything_is_encoded(model, routing):
    animator, params = model
    for cache in (0, 2**30):
        options = AnimateOptions(routing, group_size=2, steps=1, cache_bytes=cache)
        ours = abstract_conditions(animator, params, FRAMES, 1, options)
        encoded = encode_clip(animator, params, clip(), options)
        if routing in ("masked", "union"):  # how many keys are visible depends on the masks
            hidden = lambda c: c._replace(references=c.references._replace(visible=()))  # noqa: E731
            ours, encoded = hidden(ours), hidden(encoded)
        assert shape_of(ours) == shape_of(encoded)


def test_an_estimate_needs_no_reference():
    animator, params = small_animateanyone()
    estimate = estimate_clip(animator, params, 4, 1, AnimateOptions(steps=1))
    assert estimate.parameter_bytes == P.num_bytes(params)
    assert estimate.step_flops > 1e6


@pytest.mark.slow
def test_closed_windows_group_frames_by_their_place_in_the_clip(model):
    """Calibrated pictures that are alike within groups leave no choice to the draw."""
    given = clip(6)
    index = np.array([0, 0, 2, 2, 4, 4])
    alike = given._replace(images=given.images[:, index], masks=given.masks[:, index])
    options = AnimateOptions("open", group_size=2, steps=1, closed_windows=True, window_stride=2)
    drawn, first = (
        run(model, dataclasses.replace(options, policy=policy), alike)
        for policy in ("random", "first")
    )
    np.testing.assert_allclose(drawn, first, atol=1e-5)


def test_settings_survive_storage_and_sizes_can_be_chosen(model, tmp_path):
    animator, params = small_animateanyone()
    config = animator.config
    assert AnimateAnyoneConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    folder = tmp_path / "small"
    save_checkpoint(folder, {"animator": "animateanyone", **config.to_dict()}, params)
    loaded, restored = load_animator(folder)
    assert loaded == animator
    jax.tree.map(np.testing.assert_array_equal, restored, params)
    assert load_animator(folder, size=(16, 32)).animator.latent_shape == (4, 8, 4)
    with pytest.raises(UserError, match=r"image_size must be multiples of 4, got \(18, 32\)"):
        load_animator(folder, size=(18, 32))
    with pytest.raises(UserError, match="tiny: makes pictures of one size; leave out the size"):
        load_animator("tiny", size=(64, 64))


def driving(kind, people=None, size=(60, 40)):
    rng = np.random.default_rng(2)
    xy = rng.uniform(5, 35, (1, 2, 17, 2)).astype(np.float32)
    frames = rng.integers(0, 256, (2, *size, 3), np.uint8)
    keypoints = Keypoints(xy, np.ones(xy.shape[:-1], np.float32))
    return Motion(frames, Fraction(10), kind, keypoints, None, None, people)


def test_the_pose_picture_is_the_rendering_or_drawn_from_keypoints():
    shown = driving("openpose")
    rendering = pose_pictures(shown, SIZE, "dwpose")
    np.testing.assert_array_equal(rendering, fit_images(shown.frames, SIZE))
    camera = driving("rgb")
    points = np.concatenate([camera.keypoints.xy, camera.keypoints.conf[..., None]], -1)
    drawn = draw_motion(whole_body(points, "coco-17"), (60, 40), 512)
    assert drawn.shape == (2, 768, 512, 3)
    again = pose_pictures(camera, SIZE, "dwpose")
    np.testing.assert_array_equal(again, fit_images(drawn, SIZE))
    # Points of a file are drawn even where a rendering is there.
    people = whole_body(np.random.default_rng(3).uniform(5, 35, (1, 2, 133, 3)), "wholebody-133")
    detailed = pose_pictures(shown._replace(people=people), SIZE, "dwpose")
    assert (detailed != rendering).any()


@pytest.mark.slow
def test_blended_frames_lie_between(model):
    animator, params = small_animateanyone()
    picture = reference_image()
    empty = Keypoints(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32))
    reference = Reference(picture, empty, np.zeros((0, *picture.shape[:2]), bool))
    options = AnimateOptions(None, steps=1)
    frames, more = (
        animate_clip(animator, params, reference, driving("openpose"), None, o)
        for o in (options, dataclasses.replace(options, interpolate=3))
    )
    assert frames.shape[0] == 2
    assert more.shape == (4, *frames.shape[1:])
    np.testing.assert_array_equal(more[[0, -1]], frames)
    both = dataclasses.replace(options, interpolate=2, blend_background=True)
    with pytest.raises(ValueError, match="leave out interpolate"):
        animate_clip(animator, params, reference, driving("openpose"), None, both)


@pytest.mark.parametrize("size", [(40, 26), (0, 24)])
def test_sizes_that_do_not_divide_into_cells(size):
    with pytest.raises(ValueError, match="image_size must be multiples of 4"):
        small_config(image_size=size)
