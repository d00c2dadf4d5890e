import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_cases import two_people
from small_models import small_config, small_model

from tpc_jax.animate import animate_clip, calibrate_clip
from tpc_jax.animators.clip import start_noise
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.animators.tiny import TinyAnimator
from tpc_jax.conditioning.canvas import fit_masks
from tpc_jax.conditioning.composite import empty_background
from tpc_jax.conditioning.masks import pool
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.propagation.propagate import representative_of_frame, representatives
from tpc_jax.sampler.schedule import ScheduleConfig
from tpc_jax.studies.evaluation.pairs import drawn_pair

SIDE, PATCH = 32, 4
GRID = (SIDE // PATCH, SIDE // PATCH)
ROUTINGS = ("open", "masked", "union", "replace", "composite")


class Copier(TinyAnimator):
    """Animates by copying: latents are pixels, every token reads its own place in the references.

    So what comes out of the pipeline is what went into it, and any slip in the wiring shows.
    """

    latent_shape = (*GRID, 3 * PATCH * PATCH)
    token_grids = (GRID,)
    reads = (True,)
    schedule = ScheduleConfig(prediction_type="sample")

    def encode(self, params, images):
        blocks = images.reshape(-1, GRID[0], PATCH, GRID[1], PATCH, 3)
        return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(-1, *self.latent_shape)

    def decode(self, params, latents):
        blocks = latents.reshape(-1, *GRID, PATCH, PATCH, 3)
        return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(-1, SIDE, SIDE, 3)

    def pose_features(self, params, pose):
        return self.encode(params, pose)

    def reference_features(self, params, latents, timestep=0.0):
        tokens = latents.reshape(len(latents), -1, latents.shape[-1])
        # Hidden tokens are left out on the way, so each says where it comes from.
        places = jnp.broadcast_to(jnp.arange(tokens.shape[1])[:, None], (*tokens.shape[:2], 1))
        return (jnp.concatenate([tokens, places], -1),)

    def denoise(self, params, latents, timesteps, references, pose):
        if references is None:
            return jnp.zeros_like(latents)
        (layer,) = references
        total, count = 0.0, 0.0
        for tokens, key_bits in zip(layer.tokens, layer.key_bits, strict=True):
            if tokens.shape[1] > 1:
                tokens = tokens[:, layer.picture_of_frame[0]]
                key_bits = None if key_bits is None else key_bits[:, layer.picture_of_frame[0]]
            is_read = jnp.arange(GRID[0] * GRID[1])[:, None] == tokens[..., None, :, -1]
            if key_bits is not None:
                is_read &= (layer.query_bits[..., None] & key_bits[..., None, :]) != 0
            is_read = is_read.astype(jnp.float32)
            total = total + is_read @ tokens[..., :-1]
            count = count + is_read.sum(-1, keepdims=True)
        mean = total / jnp.maximum(count, 1)
        return jnp.broadcast_to(mean, (1, latents.shape[1], *mean.shape[2:])).reshape(latents.shape)


COPIER = Copier(dataclasses.replace(small_config(), image_size=SIDE))
MISALIGNMENT = (0.9, 0.8, (0.0, 0.0))


@functools.lru_cache
def case_of(num_frames):
    pair = drawn_pair(3, SIDE, num_frames=num_frames, misalignment=MISALIGNMENT)
    return *pair, calibrate_clip(*pair, method="all")


def copy(num_frames=5, **options):
    reference, driving, clip = case_of(num_frames)
    options = AnimateOptions(**{"steps": 2, "group_size": 1, **options})
    return animate_clip(COPIER, {}, reference, driving, clip, options)


def sources(num_frames, group_size, *, seed=0, step=1, policy="random"):
    """The frame whose calibrated picture each frame shows at the last step, which decides."""
    chosen = representatives(jax.random.key(seed), step, num_frames, group_size, policy)
    return np.asarray(representative_of_frame(chosen, num_frames, group_size))


def composites(num_frames):
    """The person cut out of the calibrated pictures, over the emptied background."""
    reference, _, clip = case_of(num_frames)
    background = empty_background(reference.image, reference.masks.any(0))
    opacity = clip.masks[0][..., None] / 255
    return background + opacity * (clip.images[0].astype(float) - background)


def assert_same_pictures(ours, expected):
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours.astype(float), expected, atol=1.01)


def test_without_tpc_every_frame_reads_the_reference():
    reference, driving, _ = case_of(5)
    frames = animate_clip(
        COPIER, {}, reference, driving, None, AnimateOptions(routing=None, steps=2)
    )
    assert_same_pictures(frames, np.broadcast_to(reference.image, frames.shape))


@pytest.mark.parametrize("num_frames", [1, 5, 8, 13])
def test_composite_shows_the_calibrated_person_of_every_frame(num_frames):
    assert_same_pictures(copy(num_frames, routing="composite"), composites(num_frames))


@pytest.mark.parametrize(("group_size", "policy"), [(3, "random"), (4, "first"), (16, "random")])
def test_a_group_shows_the_picture_of_its_representative(group_size, policy):
    frames = copy(8, routing="replace", group_size=group_size, policy=policy)
    source = sources(8, group_size, policy=policy)
    assert len(set(source.tolist())) == -(-8 // group_size)
    assert_same_pictures(frames, case_of(8)[2].images[0][source])


def test_the_seed_decides_the_draws():
    first, again, other = (
        copy(8, routing="replace", group_size=8, seed=seed) for seed in (0, 0, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert sources(8, 8, seed=0)[0] != sources(8, 8, seed=2)[0]
    assert (first != other).any()


def test_open_reads_both_pictures():
    reference, _, clip = case_of(5)
    both = (clip.images[0].astype(float) + reference.image) / 2
    assert_same_pictures(copy(routing="open"), both)


def test_masked_reads_the_person_inside_and_the_background_outside():
    reference, _, clip = case_of(5)
    frames = copy(routing="masked")

    def cells(masks):
        covered = pool(jnp.asarray(fit_masks(masks, (SIDE, SIDE)) / np.float32(255)), GRID) > 0.001
        covered = np.asarray(covered).reshape(-1, *GRID)
        return covered.repeat(PATCH, 1).repeat(PATCH, 2)

    inside = cells(clip.target_masks[0]) & cells(clip.masks[0])
    outside = ~cells(clip.target_masks[0]) & ~cells(reference.masks)
    assert min(inside.sum(), outside.sum()) > 300
    assert_same_pictures(frames[inside], clip.images[0][inside])
    still = np.broadcast_to(reference.image, frames.shape)
    assert_same_pictures(frames[outside], still[outside])


def test_guidance_moves_away_from_what_reads_nothing():
    plain = copy(routing="composite") / 127.5 - 1
    guided = copy(routing="composite", guidance_scale=1.5) / 127.5 - 1
    np.testing.assert_allclose(guided, np.clip(1.5 * plain, -1, 1), atol=0.02)


def test_bars_are_cut_off():
    reference, driving, _ = case_of(5)
    wide = driving._replace(
        frames=np.zeros((5, 24, 48, 3), np.uint8), parts=np.zeros((5, 24, 48), np.uint8)
    )
    options = AnimateOptions(routing=None, steps=2)
    assert animate_clip(COPIER, {}, reference, wide, None, options).shape == (5, 16, 32, 3)


def test_progress_counts_the_steps():
    reference, driving, _ = case_of(5)
    seen = []
    options = AnimateOptions(routing=None, steps=2)
    animate_clip(COPIER, {}, reference, driving, None, options, seen.append)
    assert seen == [0, 1]


def test_tpc_needs_calibrated_references():
    reference, driving, _ = case_of(5)
    with pytest.raises(ValueError, match="calibrated must be given"):
        animate_clip(COPIER, {}, reference, driving, None, AnimateOptions(steps=2))


@pytest.fixture(scope="module")
def pair():
    reference, driving = two_people(SIDE)
    return reference, driving, calibrate_clip(reference, driving, method="all")


def test_every_routing_animates_two_people_and_no_two_read_the_same(pair):
    options = [AnimateOptions(routing=routing, steps=1) for routing in (None, *ROUTINGS)]
    results = [animate_clip(COPIER, {}, *pair, o) for o in options]
    for result, other in itertools.combinations(results, 2):
        # A picture twice as wide as high on a square canvas.
        assert result.shape == (5, SIDE // 2, SIDE, 3)
        assert (result != other).mean() > 0.02


@pytest.fixture(scope="module")
def frames(pair):
    """What the real networks of `tiny`, small and with random weights, make of two people."""
    animator, params = small_model()
    return {
        routing: animate_clip(animator, params, *pair, AnimateOptions(routing=routing, steps=2))
        for routing in (None, "union", "composite")
    }


def test_real_networks_read_what_they_are_given(frames):
    for result, other in itertools.combinations(frames.values(), 2):
        assert result.shape == (5, 8, 16, 3)
        assert result.std() > 1
        assert (result != other).mean() > 0.02


def test_the_same_seed_gives_the_same_clip(pair, frames):
    animator, params = small_model()
    again = animate_clip(animator, params, *pair, AnimateOptions(steps=2))
    np.testing.assert_array_equal(again, frames["composite"])


def test_a_frames_noise_does_not_depend_on_the_length_of_the_clip():
    long, short = (np.asarray(start_noise(4, (count, 3, 3, 2))) for count in (7, 3))
    np.testing.assert_array_equal(long[:3], short)
    assert abs(long.std() - 1) < 0.15
    assert (np.asarray(start_noise(5, (3, 3, 3, 2))) != short).all()


def test_pictures_go_through_the_network_in_chunks_unharmed(monkeypatch):
    monkeypatch.setattr("tpc_jax.animators.encoding._PICTURES_AT_ONCE", 3)
    assert_same_pictures(copy(8, routing="composite", steps=1), composites(8))


def test_poses_are_parts_where_known_and_skeletons_elsewhere():
    _, driving = two_people(SIDE)
    parts = pose_pictures(driving, (16, 16))
    skeletons = pose_pictures(driving._replace(parts=None), (64, 64))
    assert parts.shape == (5, 16, 16, 3)
    # Both halves of the canvas hold a person; above and below are bars.
    for pictures, bar in ((parts, 4), (skeletons, 16)):
        middle = pictures.shape[2] // 2
        assert pictures[:, :, :middle].any((1, 2, 3)).all()
        assert pictures[:, :, middle:].any((1, 2, 3)).all()
        assert not pictures[:, : bar - 1].any()
        assert not pictures[:, 1 - bar :].any()
