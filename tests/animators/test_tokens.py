"""What DreamPose and DisCo promise, on small models with random weights."""

import dataclasses
import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_clips import Pictures, recalibrated, run_clip, shape_of
from small_tokens import small_disco, small_dreampose

from tpc_jax.animators import disco, dreampose
from tpc_jax.animators.base import CONTEXT
from tpc_jax.animators.cost import estimate_run, step_inputs
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.reading import CanvasClip, read_clip, with_neighbours
from tpc_jax.animators.run import start_latents
from tpc_jax.animators.tokens import NULL
from tpc_jax.conditioning.pose_pictures import channels_of
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.options import Options
from tpc_jax.sampler.schedule import alphas_cumprod

# Compiles for long.
pytestmark = pytest.mark.slow

FRAMES = 4
MODELS = {"dreampose": small_dreampose, "disco": small_disco}
OPEN = Options(routing="open", group_size=2, steps=2)
PLAIN = dataclasses.replace(OPEN, tpc=False)


def make_case(name: str, seed: int = 0):
    """Return animator, parameters, what is read of a reference, and a clip of noise of a person."""
    animator, params = MODELS[name]()
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (20, 16, 3), np.uint8)
    mask = np.zeros((20, 16), bool)
    mask[4:16, 4:12] = True
    images = rng.integers(0, 256, (1, FRAMES, 20, 16, 3), np.uint8)
    masks = np.broadcast_to(mask, images.shape[:-1])
    size = animator.canvas.size
    pose = rng.integers(0, 256, (FRAMES, *size, 3), np.uint8)
    if channels_of(animator.pose_kind) == 2:
        pose = rng.uniform(size=(FRAMES, *size, 2)).astype(np.float32)
    canvas_masks = np.zeros((1, FRAMES, *size), np.uint8)
    calibrated = Pictures(animator.read_pictures(images, masks), canvas_masks)
    background = np.zeros((*size, 3), np.uint8)
    clip = CanvasClip(
        animator.read_pictures(image, mask), pose, background, canvas_masks[:, 0], calibrated,
        canvas_masks,
    )  # fmt: skip
    return animator, params, animator.read_reference(params, image, mask), clip


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    return make_case(request.param)


def run(case, options):
    animator, params, reading, clip = case
    return run_clip(plan_run(animator, len(clip.pose), options), params, reading, clip)


def test_published_parameter_counts():
    counts = {name: P.count(n.spec) for name, n in dreampose.DreamPoseAnimator().networks().items()}
    assert counts == {
        "vae": 83_653_863,
        "unet": 859_520_964 + 10 * 9 * 320,
        "image_encoder": 87_456_000,
        "adapter": 1280 * 768 + 768 + 54 * 50 + 50,
        "context": 50 * 768,
    }
    counts = {name: P.count(n.spec) for name, n in disco.DiscoAnimator().networks().items()}
    assert counts == {
        "vae": 83_653_863,
        "unet": 859_520_964,
        "pose_controlnet": 361_279_120,
        "background_controlnet": 360_204_480,
        "image_encoder": 303_966_208,
        "context": 257 * 768,
    }


def test_the_published_temporal_denoiser():
    """22 residual blocks with 4 tensors more and 16 transformers with 5 more that are used."""
    unet = dataclasses.replace(disco.DiscoConfig().unet, temporal=True, norm_over_frames=True)
    network = disco.DiscoAnimator(disco.DiscoConfig(unet=unet)).networks()["unet"]
    assert len(P.flatten(network.spec)) == 686 + 22 * 4 + 16 * 5


def test_a_calibrated_picture_that_is_the_reference_changes_nothing(case):
    *model, clip = case
    images = np.broadcast_to(clip.reference, clip.calibrated.images.shape)
    plain = run(case, PLAIN)
    atol = 2e-4 * np.abs(plain).max()
    same = recalibrated(clip, images=images)
    np.testing.assert_allclose(run((*model, same), OPEN), plain, atol=atol)
    assert np.abs(run(case, OPEN) - plain).max() > 1e-2


def test_replacing_reads_the_calibrated_picture_alone(case):
    """By itself and twice beside itself are the same; the reference is not read by its tokens."""
    *model, clip = case
    replaced = dataclasses.replace(OPEN, routing="replace")
    alone = run(case, replaced)
    other = clip._replace(reference=clip.reference[::-1])
    np.testing.assert_array_equal(run((*model, other), replaced), alone)
    images, masks = (np.concatenate([x] * 2) for x in clip.calibrated)
    two = recalibrated(clip, images=images, masks=masks)._replace(
        reference_masks=np.concatenate([clip.reference_masks] * 2),
        target_masks=np.concatenate([clip.target_masks] * 2),
    )
    atol = 2e-4 * np.abs(alone).max()
    np.testing.assert_allclose(run((*model, two), replaced), alone, atol=atol)


def test_one_picture_speaks_for_its_group(case):
    """With policy "first" frames 1 and 3 read what 0 and 2 read."""
    *model, clip = case
    first = dataclasses.replace(OPEN, propagation="first")
    images = clip.calibrated.images.copy()
    images[:, 1::2] = images[:, ::-1][:, 1::2]
    np.testing.assert_array_equal(
        run((*model, recalibrated(clip, images=images)), first), run(case, first)
    )
    images[:, 0] = images[:, 1]
    changed = run((*model, recalibrated(clip, images=images)), first)
    assert np.abs(changed - run(case, first))[:2].max() > 1e-2


def test_branches_begin_with_nothing_and_end_with_everything(case):
    animator, params, reading, clip = case
    plan = plan_run(animator, FRAMES, OPEN)
    conditions = read_clip(plan, params, reading, clip)
    (shared,) = conditions.references.shared
    rng = np.random.default_rng(0)
    latents = jnp.asarray(rng.normal(size=(1, 2, *animator.latent_shape)), jnp.float32)
    tokens = (ReferenceTokens((shared[None],), (None,), None, None),)
    inputs = (params, reading, latents, jnp.full(1, 500.0))
    pose = conditions.pose[None, :2]
    guided, plain = (
        jax.jit(functools.partial(animator.predict, is_guided=is_guided))
        for is_guided in (True, False)
    )
    branches = guided(*inputs, tokens, pose)
    assert len(branches) == 1 + len(plan.scales)
    (everything,) = plain(*inputs, tokens, pose)
    np.testing.assert_allclose(branches[-1], everything, atol=1e-4)
    np.testing.assert_allclose(branches[0], nothing(case, plain, latents, pose), atol=1e-4)
    for one, other in itertools.pairwise(branches):
        assert np.abs(one - other).max() > 1e-3


def nothing(case, predict, latents, pose):
    """Return the prediction for the null tokens: DisCo's keeps the pose, DreamPose's does not."""
    animator, params, reading, _ = case
    null = params[CONTEXT][NULL]
    tokens = (ReferenceTokens((null[None, None],), (None,), None, None),)
    if isinstance(animator, disco.DiscoAnimator):
        reading = reading._replace(tokens=null)
    else:
        pose = jnp.zeros_like(pose)
    (prediction,) = predict(params, reading, latents, jnp.full(1, 500.0), tokens, pose)
    return prediction


@pytest.mark.parametrize("routing", ["masked", "union"])
def test_routings_by_place_are_refused(case, routing):
    options = dataclasses.replace(OPEN, routing=routing)
    with pytest.raises(
        UserError, match=f"routing {routing} means nothing .* it knows open, replace"
    ):
        plan_run(case[0], FRAMES, options)


def test_default_routing_and_guidance(case):
    animator = case[0]
    plan = plan_run(animator, FRAMES, Options())
    assert plan.routing == "open"
    np.testing.assert_array_equal(plan.scales, animator.config.guidance_scale)
    count = len(animator.config.guidance_scale)
    with pytest.raises(UserError, match=f"this model has {count} guidance scales, got 4"):
        plan_run(animator, FRAMES, Options(guidance_scale=(1.0,) * 4))


@pytest.mark.parametrize("routing", [None, "open", "replace"])
@pytest.mark.parametrize("cache_gib", [0.0, 1.0])
def test_shapes_are_known_before_anything_is_encoded(case, routing, cache_gib):
    animator, params, reading, clip = case
    options = Options(
        tpc=routing is not None, routing=routing or "auto", group_size=2, cache_gib=cache_gib
    )
    plan = plan_run(animator, FRAMES, options)
    ours = step_inputs(plan, jax.eval_shape(lambda: params), 1).conditions
    assert shape_of(ours) == shape_of(read_clip(plan, params, reading, clip))


def test_an_estimate(case):
    animator, params, *_ = case
    plans = [plan_run(animator, n, OPEN) for n in (2, 8)]
    short, long = (estimate_run(plan, params, 1) for plan in plans)
    assert short.num_steps == plans[0].num_steps == len(plans[0].table.timestep)
    assert 3.5 * short.step_flops < long.step_flops < 4.5 * short.step_flops


def test_features_that_do_not_fit_are_encoded_at_every_step(case):
    """In double precision: over the steps rounding of single precision grows to 1.6e-4."""
    animator, params, reading, clip = case
    with jax.enable_x64(True):
        wide = P.cast({"params": params, "reading": reading}, jnp.float64)
        wide = animator, *wide.values(), clip
        kept, anew = (run(wide, dataclasses.replace(OPEN, **o)) for o in ({}, {"cache_gib": 0.0}))
    assert kept.dtype == np.float64
    np.testing.assert_allclose(anew, kept, atol=1e-4)


def test_settings_survive_storage(case):
    config = case[0].config
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_dreampose_starts_from_the_reference():
    animator, params, reading, clip = make_case("dreampose")
    plan = plan_run(animator, FRAMES, PLAIN)
    conditions = read_clip(plan, params, reading, clip)
    start = np.asarray(start_latents(plan, conditions))
    np.testing.assert_array_equal(start, np.broadcast_to(start[:1], start.shape))
    signal = np.sqrt(alphas_cumprod(animator.config.schedule)[plan.table.timestep[0]])
    other = conditions._replace(reading=reading + 1)
    moved = np.asarray(start_latents(plan, other)) - start
    np.testing.assert_allclose(moved, signal, atol=1e-5)


def test_poses_at_the_ends_stand_in_for_those_that_lack():
    animator, _ = small_dreampose()
    pose = jnp.arange(4.0)[:, None, None, None] * jnp.ones((4, 1, 1, 2)) + jnp.array([0.0, 0.5])
    windows = np.asarray(with_neighbours(pose, animator.pose_reach))[:, 0, 0]
    assert windows.shape == (4, 10)
    expected = [[0, 0, 0, 1, 2], [1, 0, 1, 2, 3], [0, 1, 2, 3, 2], [1, 2, 3, 3, 3]]
    np.testing.assert_array_equal(windows[:, ::2], expected)
    np.testing.assert_array_equal(windows[:, 1::2] - windows[:, ::2], 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": (32, 16)}, "gives 32 pooled cells, but the adapter is made for 24"),
        ({"num_poses": 3}, "unet must have 10 channels, got 14"),
    ],
)
def test_dreampose_s_parts_must_fit(change, message):
    config = small_dreampose()[0].config
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **change)


def test_disco_s_scene_does_not_move():
    """What the background ControlNet reads comes from the reference, whatever is calibrated."""
    animator, params = small_disco()
    image = np.full((16, 16, 3), 200, np.uint8)
    mask = np.zeros((16, 16), bool)
    mask[:8] = True
    other = animator.read_reference(params, 255 - image, mask)
    same_scene = image.copy()
    same_scene[:8] = 3
    first = animator.read_reference(params, image, mask)
    again = animator.read_reference(params, same_scene, mask)
    np.testing.assert_array_equal(first.latents, again.latents)
    assert np.abs(first.latents - other.latents).max() > 1e-3
    assert np.abs(first.tokens - again.tokens).max() > 1e-3


def test_disco_must_know_where_the_person_is():
    animator, params = small_disco()
    with pytest.raises(UserError, match="say where the person is"):
        animator.read_reference(params, np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), bool))


def test_frames_of_the_temporal_variant_see_each_other():
    animator, params = small_disco(temporal=True)
    rng = np.random.default_rng(0)
    latents = jnp.asarray(rng.normal(size=(1, 2, *animator.latent_shape)), jnp.float32)
    pose = jnp.asarray(rng.normal(size=(1, 2, 8, 8, 8)), jnp.float32)
    null = params[CONTEXT][NULL]
    scene = disco.Scene(latents[0, 0], null)
    tokens = (ReferenceTokens((null[None, None],), (None,), None, None),)

    @jax.jit
    def predict(latents):
        timesteps = jnp.full(1, 500.0)
        (prediction,) = animator.predict(
            params, scene, latents, timesteps, tokens, pose, is_guided=False
        )
        return prediction

    moved = predict(latents.at[0, 1].add(1.0)) - predict(latents)
    assert np.abs(moved[0, 0]).max() > 1e-3
