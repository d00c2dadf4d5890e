import dataclasses

import numpy as np
import pytest

from tpc_jax.studies.people import clip_rng, sample_motion, sample_person
from tpc_jax.studies.people.skeleton import pose_skeleton


def bones(seed, num_frames=20):
    rng = clip_rng(4, seed)
    person, motion = sample_person(rng), sample_motion(rng, num_frames)
    return person.body, motion, pose_skeleton(person.body, motion)


@pytest.mark.parametrize("seed", range(5))
def test_limbs_keep_their_length(seed):
    body, _, skeleton = bones(seed)
    for start, end, length in (
        (skeleton.shoulders, skeleton.elbows, body.upper_arm),
        (skeleton.elbows, skeleton.wrists, body.forearm),
        (skeleton.hips, skeleton.knees, body.thigh),
        (skeleton.knees, skeleton.ankles, body.shin),
    ):
        np.testing.assert_allclose(np.linalg.norm(end - start, axis=-1), length, rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_foot_is_on_the_floor_unless_the_person_jumps(seed):
    _, motion, skeleton = bones(seed)
    lowest = np.maximum(skeleton.heels[..., 1], skeleton.toes[..., 1]).max(axis=1)
    np.testing.assert_allclose(lowest, -motion.root[:, 1], atol=1e-9)


def test_joint_angles_stay_within_human_limits_and_change_smoothly():
    for seed in range(60):
        motion = sample_motion(clip_rng(4, seed), 24, facing_away=0.0)
        degrees = np.rad2deg(motion.arms)
        assert (degrees[..., 0] >= 3.9).all()
        assert (degrees[..., 0] <= 172.1).all()
        assert (degrees[..., 2] <= 140.1).all()
        assert (np.rad2deg(motion.legs[..., 2]) >= 1.9).all()
        assert (np.abs(np.rad2deg(motion.yaw)) <= 50.1).all()
        jumps = np.abs(np.diff(np.rad2deg(motion.arms[..., [0, 2]]), n=2, axis=0))
        assert jumps.max() < 90.0


def test_mirrored_angles_give_a_mirrored_body():
    body, motion, _ = bones(3)
    still = dataclasses.replace(
        motion, yaw=0 * motion.yaw, torso=0 * motion.torso, head=0 * motion.head,
        splay=np.array([0.3, 0.3]), root=0 * motion.root,
        arms=motion.arms[:, :1].repeat(2, axis=1), legs=motion.legs[:, :1].repeat(2, axis=1),
    )  # fmt: skip
    skeleton = pose_skeleton(body, still)
    for joints in (skeleton.elbows, skeleton.wrists, skeleton.knees, skeleton.toes):
        np.testing.assert_allclose(joints[:, 0] * [-1, 1, 1], joints[:, 1], atol=1e-9)
        assert (joints[:, 0, 0] > -0.2).all()


def test_turning_narrows_the_shoulders():
    body, motion, _ = bones(3)
    facing, turned = (
        pose_skeleton(
            body, dataclasses.replace(motion, yaw=np.full(20, yaw), torso=0 * motion.torso)
        )
        for yaw in (0.0, 0.8)
    )
    widths = [
        np.abs(s.project(s.shoulders)[:, 0, 0] - s.project(s.shoulders)[:, 1, 0])
        for s in (facing, turned)
    ]
    np.testing.assert_array_less(widths[1], 0.8 * widths[0])
