import numpy as np
import pytest

from tpc_jax.studies.people import clip_rng, render_clip, sample_motion, sample_person, sample_scene


@pytest.fixture
def cast():
    """Return a function that draws (person, scene, motion) of a seed."""

    def draw(seed, num_frames=6, **motion_options):
        rng = clip_rng(7, seed, "test")
        return (
            sample_person(rng),
            sample_scene(rng),
            sample_motion(rng, num_frames, **motion_options),
        )

    return draw


@pytest.fixture
def still(cast):
    """Return a function that renders frame 0 of a seed, facing the camera squarely."""

    def draw(seed, size=96, turned=0.0, **options):
        import dataclasses

        person, scene, motion = cast(seed, num_frames=1, facing_away=0.0)
        camera = dataclasses.replace(motion.camera, is_close=False, height=0.8)
        arms = np.deg2rad(np.array([[[28.0, 0.0, 12.0, 0.0]] * 2]))
        legs = np.deg2rad(np.array([[[7.0, 0.0, 4.0]] * 2]))
        motion = dataclasses.replace(
            motion,
            yaw=np.array([turned]),
            head=np.zeros((1, 3)),
            torso=np.zeros((1, 3)),
            arms=arms,
            legs=legs,
            camera=camera,
        )
        return render_clip(person, scene, motion, size, **options)

    return draw
