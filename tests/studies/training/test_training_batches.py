import dataclasses
import itertools
import threading

import numpy as np
import pytest
from small_models import SIZE, small_config

from tpc_jax.conditioning.pose_maps import PART_COLORS
from tpc_jax.studies.people import clip_rng, sample_clip
from tpc_jax.studies.training.batches import make_batch, pose_pictures, prefetch
from tpc_jax.studies.training.config import StageConfig, TrainConfig

CONFIG = TrainConfig(model=small_config(), motion_frames=8)
STAGE = StageConfig(steps=10, clips=3, frames=2, learning_rate=1e-3, seed=5)


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_batch_is_determined_by_seed_and_step():
    first = make_batch(CONFIG, STAGE, 4, consecutive=True)
    assert equal(first, make_batch(CONFIG, STAGE, 4, consecutive=True))
    others = [
        make_batch(CONFIG, STAGE, 5, consecutive=True),
        make_batch(CONFIG, dataclasses.replace(STAGE, seed=6), 4, consecutive=True),
        make_batch(CONFIG, STAGE, 4, consecutive=True, split="test"),
    ]
    for other in others:
        assert (first.frames != other.frames).mean() > 0.3


def test_people_of_different_steps_never_coincide():
    batches = [make_batch(CONFIG, STAGE, step, consecutive=False) for step in (0, 1)]
    for a, b in itertools.combinations(np.concatenate([b.reference for b in batches]), 2):
        assert (a != b).mean() > 0.2


def test_shapes():
    batch = make_batch(CONFIG, STAGE, 0, consecutive=False)
    assert batch.reference.shape == (3, SIZE, SIZE, 3)
    assert batch.frames.shape == batch.pose.shape == (3, 2, SIZE, SIZE, 3)
    assert batch.mask.shape == (3, 2, SIZE, SIZE)
    assert batch.mask.any((1, 2, 3)).all()
    assert batch.pose.max() <= 1


def test_frames_come_from_the_reference_persons_clip():
    """Drawn again with all its frames, the clip holds reference and targets at one scale."""
    batch = make_batch(CONFIG, STAGE, 2, consecutive=True)
    for index in range(STAGE.clips):
        rng = clip_rng(STAGE.seed, 2 * STAGE.clips + index, "train")
        chosen = np.append(rng.integers(0, 8 - 2 + 1), rng.integers(0, 8))  # start, reference
        rng.random(), rng.random()
        clip = sample_clip(rng, 8, SIZE)
        np.testing.assert_array_equal(batch.reference[index], clip.frames[chosen[1]])
        run = slice(chosen[0], chosen[0] + 2)
        np.testing.assert_array_equal(batch.frames[index], clip.frames[run])
        np.testing.assert_array_equal(batch.mask[index], clip.mask[run])


def test_shares_decide_how_many_people_are_unconditional_or_part_driven():
    stage = dataclasses.replace(STAGE, clips=16, frames=1)
    config = dataclasses.replace(CONFIG, unconditional_share=1.0, part_map_share=1.0)
    batch = make_batch(config, stage, 0, consecutive=False)
    assert not batch.is_conditional.any()
    colors = {tuple(c) for c in np.round(batch.pose * 255).reshape(-1, 3).astype(int).tolist()}
    assert colors <= {tuple(c) for c in PART_COLORS.tolist()}

    config = dataclasses.replace(CONFIG, unconditional_share=0.25, part_map_share=0.0)
    batch = make_batch(config, stage, 0, consecutive=False)
    assert 8 <= batch.is_conditional.sum() <= 15
    # Skeleton lines are thin.
    assert 0 < batch.pose.any(-1).mean() < 0.5


def test_pose_pictures_of_parts_and_skeletons_show_the_same_limbs():
    clip = sample_clip(clip_rng(0, 3), 2, 64)
    parts, skeleton = (pose_pictures(clip, use_parts=use) for use in (True, False))
    np.testing.assert_array_equal(parts.any(-1), clip.parts > 0)
    drawn = skeleton.any(-1)
    assert 0.005 < drawn.mean() < 0.2
    # Most of a skeleton lies on the body, and there in its colours.
    assert clip.mask[drawn].mean() > 0.7


def test_consecutive_frames_differ_less_than_frames_from_anywhere():
    stage = dataclasses.replace(STAGE, clips=8)
    config = dataclasses.replace(CONFIG, motion_frames=24)

    def change(consecutive):
        frames = make_batch(config, stage, 0, consecutive=consecutive).frames.astype(int)
        return np.abs(frames[:, 1] - frames[:, 0]).mean()

    assert change(True) < 0.8 * change(False)


def test_prefetching_keeps_the_order_and_starts_anywhere():
    stream = prefetch(lambda step: step**2, 3)
    assert list(itertools.islice(stream, 5)) == [9, 16, 25, 36, 49]
    stream.close()


def test_prefetching_works_ahead_and_stops_when_closed():
    made, ready = [], threading.Event()

    def make(step):
        made.append(step)
        if len(made) == 3:
            ready.set()
        return step

    stream = prefetch(make, 0, depth=3)
    assert next(stream) == 0
    assert ready.wait(10)
    stream.close()
    assert len(made) <= 4


def test_errors_in_the_thread_reach_the_caller():
    def fail(step):
        raise RuntimeError(f"step {step}")

    with pytest.raises(RuntimeError, match="step 7"):
        next(prefetch(fail, 7))
