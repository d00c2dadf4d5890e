"""What DreamPose and DisCo promise, on small models with random weights."""

import dataclasses
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_magicanimate import shape_of
from small_tokens import small_disco, small_dreampose

from tpc_jax.animators import disco, dreampose
from tpc_jax.animators.clip import clip_table, sample_clip, start_clip
from tpc_jax.animators.cost import abstract_conditions, estimate_clip
from tpc_jax.animators.encoding import CanvasClip, encode_clip
from tpc_jax.animators.interface import Animator
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.animators.tokens import CONTEXT, NULL, SCENE
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.sampler.schedule import alphas_cumprod

FRAMES = 4
MODELS = {"dreampose": small_dreampose, "disco": small_disco}
OPEN = AnimateOptions("open", group_size=2, steps=2)


def make_case(name: str, seed: int = 0):
    """Return animator, parameters with a reference, and a clip of noise with one person."""
    animator, params = MODELS[name]()
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (20, 16, 3), np.uint8)
    mask = np.zeros((20, 16), bool)
    mask[4:16, 4:12] = True
    images = rng.integers(0, 256, (1, FRAMES, 20, 16, 3), np.uint8)
    masks = np.broadcast_to(mask, images.shape[:-1])
    size = animator.image_size
    pose = rng.integers(0, 256, (FRAMES, *size, 3), np.uint8)
    if animator.pose_channels == 2:
        pose = rng.uniform(size=(FRAMES, *size, 2)).astype(np.float32)
    canvas_masks = np.zeros((1, FRAMES, *size), np.uint8)
    background = np.zeros((*size, 3), np.uint8)
    clip = CanvasClip(
        animator.read_pictures(image, mask), pose, background, canvas_masks[:, 0],
        animator.read_pictures(images, masks), canvas_masks, canvas_masks,
    )  # fmt: skip
    return animator, animator.with_reference(params, image, mask), clip


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    return make_case(request.param)


def run(case, options):
    animator, params, clip = case
    conditions = encode_clip(animator, params, clip, options)
    start = start_clip(animator, params, len(clip.pose), options)
    *_, latents = sample_clip(animator, params, conditions, options, jnp.array(start))
    return np.asarray(latents)


def test_they_are_animators(case):
    assert isinstance(case[0], Animator)


def test_published_parameter_counts():
    counts = {
        name: P.count(n.spec) for name, n in dreampose.networks(dreampose.DreamPoseConfig()).items()
    }
    assert counts == {
        "vae": 83_653_863,
        "unet": 859_520_964 + 10 * 9 * 320,
        "image_encoder": 87_456_000,
        "adapter": 1280 * 768 + 768 + 54 * 50 + 50,
        "context": 50 * 768,
    }
    counts = {name: P.count(n.spec) for name, n in disco.networks(disco.DiscoConfig()).items()}
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
    network = disco.networks(disco.DiscoConfig(unet=unet))["unet"]
    assert len(P.flatten(network.spec)) == 686 + 22 * 4 + 16 * 5


def test_a_calibrated_picture_that_is_the_reference_changes_nothing(case):
    animator, params, clip = case
    same = clip._replace(images=np.broadcast_to(clip.reference, clip.images.shape))
    plain = run((animator, params, clip), dataclasses.replace(OPEN, routing=None))
    atol = 2e-4 * np.abs(plain).max()
    np.testing.assert_allclose(run((animator, params, same), OPEN), plain, atol=atol)
    assert np.abs(run(case, OPEN) - plain).max() > 1e-2


def test_replacing_reads_the_calibrated_picture_alone(case):
    """By itself and twice beside itself are the same; the reference is not read by its tokens."""
    animator, params, clip = case
    replaced = dataclasses.replace(OPEN, routing="replace")
    alone = run(case, replaced)
    other = clip._replace(reference=clip.reference[::-1])
    np.testing.assert_array_equal(run((animator, params, other), replaced), alone)
    two = clip._replace(
        images=np.concatenate([clip.images] * 2), masks=np.concatenate([clip.masks] * 2)
    )
    atol = 2e-4 * np.abs(alone).max()
    np.testing.assert_allclose(run((animator, params, two), replaced), alone, atol=atol)


def test_one_picture_speaks_for_its_group(case):
    """With policy "first" frames 1 and 3 read what 0 and 2 read."""
    animator, params, clip = case
    first = dataclasses.replace(OPEN, policy="first")
    images = clip.images.copy()
    images[:, 1::2] = images[:, ::-1][:, 1::2]
    np.testing.assert_array_equal(
        run((animator, params, clip._replace(images=images)), first), run(case, first)
    )
    images[:, 0] = images[:, 1]
    changed = run((animator, params, clip._replace(images=images)), first)
    assert np.abs(changed - run(case, first))[:2].max() > 1e-2


def test_branches_begin_with_nothing_and_end_with_everything(case):
    animator, params, clip = case
    conditions = encode_clip(animator, params, clip, OPEN)
    shared = conditions.references.shared[0]
    rng = np.random.default_rng(0)
    latents = jnp.asarray(rng.normal(size=(1, 2, *animator.latent_shape)), jnp.float32)
    read = (ReferenceTokens((shared[None],), (None,), None, None),)
    inputs = (params, latents, jnp.full(1, 500.0))
    pose = conditions.pose[None, :2]
    branches = jax.jit(animator.denoise_branches)(*inputs, read, pose)
    assert len(branches) == (3 if animator.pose_channels == 2 else 2)
    nothing = jax.jit(lambda *x: animator.denoise(*x, None, pose))(*inputs)
    everything = jax.jit(animator.denoise)(*inputs, read, pose)
    np.testing.assert_allclose(branches[0], nothing, atol=1e-4)
    np.testing.assert_allclose(branches[-1], everything, atol=1e-4)
    for one, other in itertools.pairwise(branches):
        assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("routing", ["masked", "union"])
def test_routings_by_place_are_refused(case, routing):
    options = dataclasses.replace(OPEN, routing=routing)
    with pytest.raises(
        UserError, match=f"routing {routing} means nothing .* it knows open, replace"
    ):
        encode_clip(*case[:2], case[2], options)


def test_default_routing_and_guidance(case):
    animator = case[0]
    options = AnimateOptions().resolve(animator)
    assert options.routing == "open"
    count = len(options.guidance_scale) if isinstance(options.guidance_scale, tuple) else 1
    with pytest.raises(UserError, match=f"this model has {count} guidance scales, got 4"):
        AnimateOptions(guidance_scale=(1.0,) * 4).resolve(animator)


@pytest.mark.parametrize("routing", [None, "open", "replace"])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_shapes_are_known_before_anything_is_encoded(case, routing, cache_bytes):
    animator, params, clip = case
    options = AnimateOptions(routing, group_size=2, cache_bytes=cache_bytes)
    shapes = jax.eval_shape(lambda: params)
    ours = abstract_conditions(animator, shapes, FRAMES, 1, options)
    assert shape_of(ours) == shape_of(encode_clip(animator, params, clip, options))


def test_an_estimate(case):
    animator, params, _ = case
    short, long = (estimate_clip(animator, params, n, 1, OPEN) for n in (2, 8))
    assert short.num_steps == len(clip_table(animator, OPEN).timestep)
    assert 3.5 * short.step_flops < long.step_flops < 4.5 * short.step_flops


@pytest.mark.slow
def test_features_that_do_not_fit_are_encoded_at_every_step(case):
    """In double precision: over the steps rounding of single precision grows to 1.6e-4."""
    animator, params, clip = case
    with jax.enable_x64(True):
        wide = animator, P.cast(params, jnp.float64), clip
        kept, anew = (run(wide, dataclasses.replace(OPEN, **o)) for o in ({}, {"cache_bytes": 0}))
    assert kept.dtype == np.float64
    np.testing.assert_allclose(anew, kept, atol=1e-4)


def test_settings_survive_storage(case):
    config = case[0].config
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_dreampose_starts_from_the_reference():
    animator, params, _ = make_case("dreampose")
    options = AnimateOptions(None, steps=2)
    start = np.asarray(start_clip(animator, params, FRAMES, options))
    np.testing.assert_array_equal(start, np.broadcast_to(start[:1], start.shape))
    timestep = clip_table(animator, options).timestep[0]
    signal = np.sqrt(alphas_cumprod(animator.schedule)[timestep])
    other = {**params, SCENE: params[SCENE] + 1}
    moved = np.asarray(start_clip(animator, other, FRAMES, options)) - start
    np.testing.assert_allclose(moved, signal, atol=1e-5)


def test_poses_at_the_ends_stand_in_for_those_that_lack():
    animator, _ = small_dreampose()
    pose = jnp.arange(4.0)[:, None, None, None] * jnp.ones((4, 1, 1, 2)) + jnp.array([0.0, 0.5])
    windows = np.asarray(animator.pose_context(pose))[:, 0, 0]
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
    animator, params, _ = make_case("disco")
    assert set(params[SCENE]) == {"latents", "tokens"}
    image = np.full((16, 16, 3), 200, np.uint8)
    mask = np.zeros((16, 16), bool)
    mask[:8] = True
    other = animator.with_reference(params, 255 - image, mask)
    same_scene = image.copy()
    same_scene[:8] = 3
    first = animator.with_reference(params, image, mask)[SCENE]
    again = animator.with_reference(params, same_scene, mask)[SCENE]
    np.testing.assert_array_equal(first["latents"], again["latents"])
    assert np.abs(first["latents"] - other[SCENE]["latents"]).max() > 1e-3
    assert np.abs(first["tokens"] - again["tokens"]).max() > 1e-3


def test_disco_must_know_where_the_person_is():
    animator, params = small_disco()
    image = np.zeros((16, 16, 3), np.uint8)
    for mask in (None, np.zeros((16, 16), bool)):
        with pytest.raises(UserError, match="say where the person is"):
            animator.with_reference(params, image, mask)


def test_frames_of_the_temporal_variant_see_each_other():
    animator, params = small_disco(temporal=True)
    rng = np.random.default_rng(0)
    latents = jnp.asarray(rng.normal(size=(1, 2, *animator.latent_shape)), jnp.float32)
    pose = jnp.asarray(rng.normal(size=(1, 2, 8, 8, 8)), jnp.float32)
    scene = {"latents": latents[0, 0], "tokens": params[CONTEXT][NULL]}
    params = {**params, SCENE: scene}
    denoise = jax.jit(lambda x: animator.denoise(params, x, jnp.full(1, 500.0), None, pose))
    moved = denoise(latents.at[0, 1].add(1.0)) - denoise(latents)
    assert np.abs(moved[0, 0]).max() > 1e-3
