import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from copier import PATCH, Copier
from small_cases import two_people
from small_models import small_model

from tpc_jax.animation import animate, canvas_clip, run_plan
from tpc_jax.animators.cost import blank_clip
from tpc_jax.animators.habits import Habits
from tpc_jax.animators.load import Model
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.reading import read_clip
from tpc_jax.animators.run import start_latents, start_noise
from tpc_jax.calibrated_clip import calibrate_clip
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.conditioning.composite import empty_background, widen
from tpc_jax.conditioning.levels import stretch_levels
from tpc_jax.conditioning.masks import pool
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.options import Calibrating, Options
from tpc_jax.pose.cast import choose_people
from tpc_jax.propagation import representatives
from tpc_jax.studies.evaluation.pairs import drawn_pair

SIDE = 32
CANVAS, GRID = Canvas((SIDE, SIDE)), (SIDE // PATCH, SIDE // PATCH)
# Animates by copying, so what comes out of the pipeline is what went into it.
COPIER = Model(Copier(), {})
ALL_POINTS = Calibrating(method="all")
MISALIGNMENT = (0.9, 0.8, (0.0, 0.0))


@functools.lru_cache
def case_of(num_frames):
    case = drawn_pair(3, SIDE, num_frames=num_frames, misalignment=MISALIGNMENT)
    return case.reference, case.motion, calibrate_clip(case.reference, case.motion, ALL_POINTS)


def copy(num_frames=5, **options):
    reference, motion, clip = case_of(num_frames)
    options = Options(**{"group_size": 1, **options})
    return animate(COPIER, reference, motion, options, calibrated=clip)


def sources(num_frames, group_size, *, seed=0, step=1, policy="random"):
    """The frame whose calibrated picture each frame shows at the last step, which decides."""
    chosen = representatives(jax.random.key(seed), step, num_frames, group_size, policy)
    return np.asarray(chosen)[np.arange(num_frames) // group_size]


def composites(num_frames):
    """The person cut out of the calibrated pictures, over the emptied background."""
    reference, _, clip = case_of(num_frames)
    background = empty_background(reference.image, reference.masks.any(0))
    images, masks = clip.warped(0)
    return background + masks[..., None] / 255 * (images.astype(float) - background)


def assert_same_pictures(ours, expected):
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours.astype(float), expected, atol=1.01)


def test_without_tpc_every_frame_reads_the_reference():
    reference, motion, _ = case_of(5)
    frames = animate(COPIER, reference, motion, Options(tpc=False))
    assert_same_pictures(frames, np.broadcast_to(reference.image, frames.shape))


@pytest.mark.parametrize("num_frames", [1, 5, 8, 13])
def test_composite_shows_the_calibrated_person_of_every_frame(num_frames):
    assert_same_pictures(copy(num_frames, routing="composite"), composites(num_frames))


@pytest.mark.parametrize(("group_size", "policy"), [(3, "random"), (4, "first"), (16, "random")])
def test_a_group_shows_the_picture_of_its_representative(group_size, policy):
    frames = copy(8, routing="replace", group_size=group_size, propagation=policy)
    source = sources(8, group_size, policy=policy)
    assert len(set(source.tolist())) == -(-8 // group_size)
    assert_same_pictures(frames, case_of(8)[2].warped(0).images[source])


def test_the_seed_decides_the_draws():
    first, again, other = (
        copy(8, routing="replace", group_size=8, seed=seed) for seed in (0, 0, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert sources(8, 8, seed=0)[0] != sources(8, 8, seed=2)[0]
    assert (first != other).any()


def test_open_reads_both_pictures():
    reference, _, clip = case_of(5)
    both = (clip.warped(0).images.astype(float) + reference.image) / 2
    assert_same_pictures(copy(routing="open"), both)


def test_masked_reads_the_person_inside_and_the_background_outside():
    reference, _, clip = case_of(5)
    frames = copy(routing="masked")

    def cells(masks):
        covered = pool(jnp.asarray(CANVAS.masks(masks) / np.float32(255)), GRID) > 0.001
        covered = np.asarray(covered).reshape(-1, *GRID)
        return covered.repeat(PATCH, 1).repeat(PATCH, 2)

    images, masks = clip.warped(0)
    target = cells(clip.target_masks(0))
    inside, outside = target & cells(masks), ~target & ~cells(reference.masks)
    assert min(inside.sum(), outside.sum()) > 300
    assert_same_pictures(frames[inside], images[inside])
    still = np.broadcast_to(reference.image, frames.shape)
    assert_same_pictures(frames[outside], still[outside])


def test_guidance_moves_away_from_what_reads_nothing():
    plain = copy(routing="composite") / 127.5 - 1
    guided = copy(routing="composite", guidance_scale=(1.5,)) / 127.5 - 1
    np.testing.assert_allclose(guided, np.clip(1.5 * plain, -1, 1), atol=0.02)


def test_the_background_is_the_reference_s_where_that_is_asked_for():
    reference, _, clip = case_of(5)
    frames = copy(routing="replace", blend_background=True)
    inside = np.stack([widen(mask) for mask in clip.target_masks(0)])
    still = np.broadcast_to(reference.image, frames.shape)
    np.testing.assert_array_equal(frames[~inside], still[~inside])
    np.testing.assert_array_equal(frames[inside], copy(routing="replace")[inside])
    # That takes masks, but no calibrated reading.
    plain = copy(tpc=False, blend_background=True)
    assert_same_pictures(plain, still)


class Puppet(Copier):
    """Shows the pose of every frame in place of the reference."""

    def predict(self, params, reading, latents, timesteps, references, pose, *, is_guided):
        return (pose,)


@pytest.mark.parametrize("num_frames", [1, 5, 8])
def test_every_frame_gets_its_own_pose(num_frames):
    reference, motion, _ = case_of(num_frames)
    frames = animate(Model(Puppet(), {}), reference, motion, Options(tpc=False))
    # Pose pictures are in [0, 1], the latents of pictures in [-1, 1].
    assert_same_pictures(frames, (255 + pose_pictures(motion, CANVAS).astype(float)) / 2)


def test_people_who_move_nobody_are_not_animated():
    reference, motion = two_people(SIDE)
    one = reference._replace(keypoints=reference.keypoints.select([1]), masks=reference.masks[1:])
    left = np.arange(SIDE) < SIDE // 2
    for person, is_shown in ((None, left), ([1], ~left)):
        # The left one is surer.
        conf = motion.keypoints.conf * np.float32([1, 0.5])[:, None, None]
        both = motion._replace(keypoints=motion.keypoints._replace(conf=conf))
        chosen = both if person is None else choose_people(one, both, person)
        for tpc in (False, True):
            frames = animate(Model(Puppet(), {}), one, chosen, Options(tpc=tpc))
            # Grey stands for nothing; what is shown lies in the middle of the letterbox.
            rows = np.abs(frames.astype(int) - 128).max((0, 1, 3)) > 8
            assert rows[is_shown].any()
            assert not rows[~is_shown].any()


def test_bars_are_cut_off():
    reference, motion, _ = case_of(5)
    wide = motion._replace(
        frames=np.zeros((5, 24, 48, 3), np.uint8), parts=np.zeros((5, 24, 48), np.uint8)
    )
    assert animate(COPIER, reference, wide, Options(tpc=False)).shape == (5, 16, 32, 3)


def test_progress_counts_the_steps():
    reference, motion, _ = case_of(5)
    seen = []
    animate(COPIER, reference, motion, Options(tpc=False), progress=seen.append)
    assert seen == [0, 1]


def test_calibrated_references_are_made_where_they_lack():
    reference, motion, _ = case_of(5)
    given = animate(COPIER, reference, motion, calibrated=calibrate_clip(reference, motion))
    np.testing.assert_array_equal(animate(COPIER, reference, motion), given)
    plan = plan_run(COPIER.animator, 5, Options())
    with pytest.raises(ValueError, match="calibrated must be given"):
        canvas_clip(plan, reference, motion, None)


def test_start_latents_can_be_given_and_must_fit():
    reference, motion, clip = case_of(5)
    model = Model(*small_model())
    plan = plan_run(model.animator, 5, Options(steps=2))
    drawn = start_noise(0, (5, *model.animator.latent_shape))
    given, other = (
        run_plan(plan, model, reference, motion, clip, start=start)
        for start in (jnp.array(drawn), 1 - drawn)
    )
    np.testing.assert_array_equal(given, run_plan(plan, model, reference, motion, clip))
    assert (given != other).any()
    with pytest.raises(ValueError, match=r"start must have shape \(5, 4, 4, 4\), got \(4, 4,"):
        run_plan(plan, model, reference, motion, clip, start=drawn[:4])


@pytest.fixture(scope="module")
def pair():
    reference, motion = two_people(SIDE)
    return reference, motion, calibrate_clip(reference, motion, ALL_POINTS)


def animate_pair(model, pair, **options):
    reference, motion, clip = pair
    return animate(model, reference, motion, Options(**options), calibrated=clip)


def test_every_routing_animates_two_people_and_no_two_read_the_same(pair):
    options = [{"tpc": False}, *({"routing": routing} for routing in Copier.routings)]
    results = [animate_pair(COPIER, pair, steps=1, **o) for o in options]
    for result, other in itertools.combinations(results, 2):
        # A picture twice as wide as high on a square canvas.
        assert result.shape == (5, SIDE // 2, SIDE, 3)
        assert (result != other).mean() > 0.02


@pytest.fixture(scope="module")
def frames(pair):
    """What the real networks of `tiny`, small and with random weights, make of two people."""
    model = Model(*small_model())
    choices = {None: {"tpc": False}, "union": {"routing": "union"}, "composite": {}}
    return {name: animate_pair(model, pair, steps=2, **o) for name, o in choices.items()}


def test_real_networks_read_what_they_are_given(frames):
    for result, other in itertools.combinations(frames.values(), 2):
        assert result.shape == (5, 8, 16, 3)
        assert result.std() > 1
        assert (result != other).mean() > 0.02


def test_the_same_seed_gives_the_same_clip(pair, frames):
    again = animate_pair(Model(*small_model()), pair, steps=2)
    np.testing.assert_array_equal(again, frames["composite"])


def test_a_frames_noise_does_not_depend_on_the_length_of_the_clip():
    long, short = (np.asarray(start_noise(4, (count, 3, 3, 2))) for count in (7, 3))
    np.testing.assert_array_equal(long[:3], short)
    assert abs(long.std() - 1) < 0.15
    assert (np.asarray(start_noise(5, (3, 3, 3, 2))) != short).all()


class Published(Copier):
    """With a released sampler that treats the clip in its own way."""

    habits = Habits(tiled_noise=True, stretch_levels=True)


def test_the_released_sampler_repeats_the_noise_of_one_window():
    options = [Options(tpc=False, as_published=choice) for choice in (False, True)]
    own, tiled = (plan_run(Published(), 10, o) for o in options)
    drawn, repeated = (
        np.asarray(start_latents(plan, read_clip(plan, {}, (), blank_clip(plan, 1))))
        for plan in (own, tiled)
    )
    np.testing.assert_array_equal(drawn, start_noise(0, drawn.shape))
    np.testing.assert_array_equal(repeated, drawn[np.arange(10) % 4])


def test_the_released_sampler_stretches_finished_frames():
    reference, motion, clip = case_of(5)
    model, options = Model(Published(), {}), Options(group_size=1, as_published=True)
    frames = animate(model, reference, motion, options, calibrated=clip)
    np.testing.assert_array_equal(frames, stretch_levels(copy(5)))


def test_pictures_go_through_the_network_in_chunks_unharmed(monkeypatch):
    monkeypatch.setattr("tpc_jax.animators.reading._PICTURES_AT_ONCE", 3)
    assert_same_pictures(copy(8, routing="composite", steps=1), composites(8))


def test_poses_are_parts_where_known_and_skeletons_elsewhere():
    _, motion = two_people(SIDE)
    parts = pose_pictures(motion, Canvas((16, 16)))
    skeletons = pose_pictures(motion._replace(parts=None), Canvas((64, 64)))
    assert parts.shape == (5, 16, 16, 3)
    # Both halves of the canvas hold a person; above and below are bars.
    for pictures, bar in ((parts, 4), (skeletons, 16)):
        middle = pictures.shape[2] // 2
        assert pictures[:, :, :middle].any((1, 2, 3)).all()
        assert pictures[:, :, middle:].any((1, 2, 3)).all()
        assert not pictures[:, : bar - 1].any()
        assert not pictures[:, 1 - bar :].any()
