import dataclasses
import functools
import json
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_animateanyone import SIZE, reference_image, small_animateanyone, small_config
from small_clips import random_clip, recalibrated, run_clip, shape_of_conditions

from tpc_jax._types import Keypoints
from tpc_jax.animation import animate
from tpc_jax.animators.animateanyone import AnimateAnyoneAnimator, AnimateAnyoneConfig
from tpc_jax.animators.cost import estimate_run, step_inputs
from tpc_jax.animators.habits import Habits
from tpc_jax.animators.load import Model, load
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.reading import keeps_features, read_clip
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.conditioning.clip_pixels import clip_pixels
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.checkpoint import save_checkpoint
from tpc_jax.options import Options
from tpc_jax.pose.dwpose import draw_motion, whole_body
from tpc_jax.pose.reading import Motion, Reference

FRAMES, CANVAS = 5, Canvas(SIZE)
ROUTINGS = [None, "open", "masked", "union", "replace", "composite"]


@pytest.fixture(scope="module")
def model():
    return small_animateanyone()


@pytest.fixture(scope="module")
def embedding(model):
    return read(model)


def read(model, seed=0):
    """Return what the model reads of a reference as it came."""
    animator, params = model
    image = reference_image(seed)
    return animator.read_reference(params, image, np.zeros(image.shape[:2], bool))


def clip(frames=FRAMES):
    return random_clip(frames, people=1, size=SIZE)


def run(model, embedding, options, given=None):
    """Return the latents of a whole run."""
    animator, params = model
    given = clip() if given is None else given
    return run_clip(plan_run(animator, len(given.pose), options), params, embedding, given)


def test_an_animator_of_the_published_size():
    published = AnimateAnyoneAnimator()
    assert published.latent_shape == (98, 64, 4)
    assert set(published.readers) == {(98, 64), (49, 32), (25, 16), (13, 8)}
    assert len(published.readers) == 16
    assert not published.encodes_every_step


@pytest.mark.slow
def test_published_parameter_counts():
    counts = {name: P.count(n.spec) for name, n in AnimateAnyoneAnimator().networks().items()}
    assert counts == {
        "vae": 83_653_863,
        "unet": 859_520_964 + 453_209_280,
        # Without what lies behind the last tokens, which the published file has.
        "appearance_encoder": 857_066_560,
        "pose_net": 1_086_480,
        "image_encoder": 303_966_208,
    }


def test_the_embedding_of_the_reference_is_its_encoder_s(model, embedding):
    animator, params = model
    encoder = P.bind(animator.networks()["image_encoder"], params["image_encoder"])
    pixels = clip_pixels(reference_image()[None], 8)
    np.testing.assert_allclose(embedding, encoder(jnp.asarray(pixels)), atol=1e-5)
    assert np.abs(read(model, seed=1) - embedding).max() > 1e-2


@pytest.fixture(scope="module")
def halves(model, embedding):
    animator, params = model
    rng = np.random.default_rng(0)
    latents, pose = (
        jnp.asarray(rng.normal(size=(1, 4, *shape)), jnp.float32)
        for shape in (animator.latent_shape, (*animator.latent_shape[:2], 8))
    )
    plan = plan_run(animator, FRAMES, Options(routing="open", steps=1))
    shared = read_clip(plan, params, embedding, clip()).references.shared
    jitted = jax.jit(functools.partial(animator.predict, is_guided=True))

    def call(context=embedding, pose=pose, scale=1.0):
        tokens = tuple(ReferenceTokens((scale * x[None],), (None,), None) for x in shared)
        halves = jitted(params, context, latents, jnp.full(1, 500.0), tokens, pose)
        return [np.asarray(half) for half in halves]

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


@pytest.mark.slow
@pytest.mark.parametrize("routing", ["open", "union", "composite"])
def test_features_that_do_not_fit_are_encoded_anew_with_the_same_result(model, embedding, routing):
    animator, params = model
    for policy in ("random", "first"):
        kept = Options(routing=routing, group_size=2, propagation=policy, steps=2)
        anew = dataclasses.replace(kept, cache_gib=0.0)
        stored = [
            read_clip(plan_run(animator, FRAMES, o), params, embedding, clip()).references
            for o in (kept, anew)
        ]
        assert [isinstance(s.per_frame[0], tuple) for s in stored] == [True, False]
        assert len(stored[1].per_frame[0]) == (3 if policy == "first" else FRAMES)
        if (policy, routing) == ("random", "union"):
            runs = [run(model, embedding, o) for o in (anew, kept)]
            np.testing.assert_allclose(*runs, atol=2e-4)


def test_the_limit_counts_all_pictures(model, embedding):
    animator, params = model
    sizes = [h * w * 8 * 4 for h, w in animator.readers]
    plan = plan_run(animator, FRAMES, Options(cache_gib=6 * sum(sizes) / 2**30))
    given = params, embedding, clip().reference
    assert keeps_features(plan, *given, 6)
    assert not keeps_features(plan, *given, 7)


@pytest.mark.parametrize("routing", ROUTINGS)
def test_shapes_are_known_before_anything_is_encoded(model, embedding, routing):
    animator, params = model
    for cache in (0.0, 1.0):
        options = Options(
            tpc=routing is not None, routing=routing or "auto", group_size=2, steps=1,
            cache_gib=cache,
        )  # fmt: skip
        plan = plan_run(animator, FRAMES, options)
        ours = step_inputs(plan, params, 1).conditions
        encoded = read_clip(plan, params, embedding, clip())
        assert shape_of_conditions(plan, ours) == shape_of_conditions(plan, encoded)


def test_an_estimate_needs_no_reference(model):
    animator, params = model
    estimate = estimate_run(plan_run(animator, 4, Options(steps=1)), params, 1)
    assert estimate.parameter_bytes == P.num_bytes(params)
    assert estimate.step_flops > 1e6


class Striding(AnimateAnyoneAnimator):
    """With windows of neighbouring frames and of every second one."""

    habits = Habits(closed_windows=True, window_stride=2)


@pytest.mark.slow
def test_closed_windows_group_frames_by_their_place_in_the_clip(model, embedding):
    """Calibrated pictures that are alike within groups leave no choice to the draw."""
    given, index = clip(6), [0, 0, 2, 2, 4, 4]
    images, masks = given.calibrated
    alike = recalibrated(given, images=images[:, index], masks=masks[:, index])
    striding = Striding(model[0].config), model[1]
    options = Options(routing="open", group_size=2, steps=1, as_published=True)
    drawn, first = (
        run(striding, embedding, dataclasses.replace(options, propagation=policy), alike)
        for policy in ("random", "first")
    )
    np.testing.assert_allclose(drawn, first, atol=1e-5)


def test_settings_survive_storage_and_sizes_can_be_chosen(model, tmp_path):
    animator, params = model
    config = animator.config
    assert AnimateAnyoneConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    folder = tmp_path / "small"
    save_checkpoint(folder, {"animator": "animateanyone", **config.to_dict()}, params)
    loaded, restored, _ = load(folder)
    assert loaded == animator
    jax.tree.map(np.testing.assert_array_equal, restored, params)
    assert load(folder, size=(16, 32)).animator.latent_shape == (4, 8, 4)
    with pytest.raises(UserError, match=r"image_size must be multiples of 4, got \(18, 32\)"):
        load(folder, size=(18, 32))
    with pytest.raises(UserError, match="tiny: makes pictures of one size; leave out the size"):
        load("tiny", size=(64, 64))


def driving(kind, people=None, size=(60, 40)):
    rng = np.random.default_rng(2)
    xy = rng.uniform(5, 35, (1, 2, 17, 2)).astype(np.float32)
    frames = rng.integers(0, 256, (2, *size, 3), np.uint8)
    keypoints = Keypoints(xy, np.ones(xy.shape[:-1], np.float32))
    return Motion(frames, Fraction(10), kind, keypoints, None, None, people)


def test_the_pose_picture_is_the_rendering_or_drawn_from_keypoints():
    shown = driving("openpose")
    rendering = pose_pictures(shown, CANVAS, "dwpose")
    np.testing.assert_array_equal(rendering, CANVAS.pictures(shown.frames))
    camera = driving("rgb")
    points = np.concatenate([camera.keypoints.xy, camera.keypoints.conf[..., None]], -1)
    drawn = draw_motion(whole_body(points, "coco-17"), (60, 40), 512)
    assert drawn.shape == (2, 768, 512, 3)
    again = pose_pictures(camera, CANVAS, "dwpose")
    np.testing.assert_array_equal(again, CANVAS.pictures(drawn))
    # Points of a file are drawn even where a rendering is there.
    people = whole_body(np.random.default_rng(3).uniform(5, 35, (1, 2, 133, 3)), "wholebody-133")
    detailed = pose_pictures(shown._replace(people=people), CANVAS, "dwpose")
    assert (detailed != rendering).any()


@pytest.mark.slow
def test_blended_frames_lie_between(model):
    picture = reference_image()
    empty = Keypoints(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32))
    reference = Reference(picture, empty, np.zeros((0, *picture.shape[:2]), bool))
    options = Options(tpc=False, steps=1)
    frames, more = (
        animate(Model(*model), reference, driving("openpose"), o)
        for o in (options, dataclasses.replace(options, interpolate=3))
    )
    assert frames.shape[0] == 2
    assert more.shape == (4, *frames.shape[1:])
    np.testing.assert_array_equal(more[[0, -1]], frames)
    with pytest.raises(UserError, match="exclude each other: frames between have no masks"):
        Options(interpolate=2, blend_background=True)


@pytest.mark.parametrize("size", [(40, 26), (0, 24)])
def test_sizes_that_do_not_divide_into_cells(size):
    with pytest.raises(ValueError, match="image_size must be multiples of 4"):
        small_config(image_size=size)
