"""AnimateAnyone's whole loops, filled by the converter, from raw pictures on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_animateanyone import golden_arrays, load_golden

from tpc_jax.animators.load import Model
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.reading import CanvasClip, read_clip
from tpc_jax.animators.run import sample
from tpc_jax.io.resampling import resize_8bit
from tpc_jax.options import Options

pytestmark = pytest.mark.slow
DATA = golden_arrays()
STEPS = 3
OPTIONS = Options(tpc=False, steps=STEPS, as_published=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The converted model with the golden windows."""
    animator, params, _ = load_golden(tmp_path_factory.mktemp("golden"))
    length = DATA["e_single_init_latents"].shape[2]
    config = dataclasses.replace(animator.config, window_length=length, window_overlap=2)
    return Model(dataclasses.replace(animator, config=config), params)


def canvas(animator, frames: int) -> CanvasClip:
    """Resize the raw pictures as the original does: stretched, by Lanczos' filter."""
    size = animator.canvas.size
    reference = resize_8bit(DATA["loop_ref_image"], size, "lanczos")
    pose = resize_8bit(DATA["loop_pose_frames"][:frames], size, "lanczos")
    np.testing.assert_array_equal(reference, DATA["ref_pixels_u8"])
    np.testing.assert_array_equal(pose, DATA["pose_pixels_u8"][:frames])
    nobody = np.zeros((0, frames, *size), np.uint8)
    return CanvasClip(reference, pose, None, nobody[:, 0], lambda person, i: (), nobody)


def last(array):
    """Return videos [1, channels, frames, h, w] as [frames, h, w, channels]."""
    return np.moveaxis(array[0], 0, -1)


def largest(ours, theirs) -> float:
    assert np.shape(ours) == np.shape(theirs)
    return float(np.abs(np.asarray(ours) - theirs).max())


def run(model, name: str, change=lambda conditions: conditions) -> np.ndarray:
    """Return the latents after every step."""
    animator, params, _ = model
    start = last(DATA[f"e_{name}_init_latents"])
    image = DATA["loop_ref_image"]
    reading = animator.read_reference(params, image, np.zeros(image.shape[:2], bool))
    plan = plan_run(animator, len(start), OPTIONS)
    conditions = change(read_clip(plan, params, reading, canvas(animator, len(start))))
    steps = sample(plan, params, conditions, jnp.asarray(start))
    return np.stack([np.asarray(latents) for latents in steps])


def test_one_window(model):
    latents = run(model, "single")
    assert len(latents) == STEPS
    error = largest(latents[-1], last(DATA["e_single_final_latents"]))
    print(f"final latents {error:.1e}")
    assert error <= 5e-4


def test_two_windows_step_by_step(model):
    animator, params, _ = model
    latents = run(model, "windows")
    wanted = [last(step) for step in DATA["e_windows_step_latents_0_1"]]
    wanted.append(last(DATA["e_windows_final_latents"]))
    errors = [largest(*pair) for pair in zip(latents, wanted, strict=True)]
    print(f"latents {errors}")
    assert max(errors) <= 5e-4
    frame = animator.decode(params, jnp.asarray(latents[-1, -1:]))[0] / 2 + 0.5
    shown = np.moveaxis(DATA["e_windows_video_last_frame"], 0, -1)
    error = largest(np.clip(np.asarray(frame), 0, 1), shown)
    print(f"last frame {error:.1e}")
    assert error <= 1e-3


def test_features_in_half_precision_are_the_original_to_the_letter(model):
    def rounded(conditions):
        references = conditions.references
        half = jax.tree.map(lambda x: x.astype(jnp.float16).astype(x.dtype), references.shared)
        return conditions._replace(references=references._replace(shared=half))

    latents = run(model, "windows", rounded)[-1]
    error = largest(latents, last(DATA["e_windows_final_latents_bankfp16"]))
    print(f"final latents {error:.1e}")
    assert error <= 5e-4
    assert largest(latents, last(DATA["e_windows_final_latents"])) > 5e-4
