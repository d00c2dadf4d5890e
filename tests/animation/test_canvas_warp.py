"""The reference is warped once, straight to where an animator reads it."""

import dataclasses
from fractions import Fraction
from typing import ClassVar

import cv2
import numpy as np
import pytest
from copier import Copier, CopierConfig
from small_cases import exact_case, two_people
from small_tokens import small_disco_config

from tpc_jax._types import Keypoints
from tpc_jax.animation import canvas_clip
from tpc_jax.animators.disco import DiscoAnimator
from tpc_jax.animators.plan import plan_run
from tpc_jax.calibrated_clip import _jit_warp, calibrate_clip
from tpc_jax.conditioning.canvas import Fit
from tpc_jax.conditioning.foreground import foreground
from tpc_jax.options import Calibrating, Options
from tpc_jax.pose.reading import Motion, Reference

ALL_POINTS = Calibrating(method="all")
FRAMES = np.arange(2)


class Stretcher(Copier):
    fit: ClassVar[Fit] = "stretch"


class Cropper(Copier):
    fit: ClassVar[Fit] = "crop"


def textured(side, blur, size, turn=0.0):
    """A picture and a motion of another size, as a motion of its own keypoints."""
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(size=(side, side, 3)), (0, 0), blur)
    image = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    mask = np.zeros((1, side, side), bool)
    mask[:, side // 4 : -side // 4, side // 3 : -side // 3] = True
    points = rng.uniform(0.2, 0.8, (1, 17, 2)) * side
    middle, scale = (side - 1) / 2, min(size) / side
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = (points - middle) @ spin.T * scale + (np.array(size[::-1]) - 1) / 2
    conf = np.ones((1, 17), np.float32)
    still = Reference(image, Keypoints(points.astype(np.float32), conf), mask)
    people = Keypoints(
        np.repeat(moved[:, None], 2, axis=1).astype(np.float32), conf[:, None].repeat(2, axis=1)
    )
    return still, Motion(
        np.zeros((2, *size, 3), np.uint8), Fraction(10), "openpose", people, None, None
    )


def canvas_clip_of(animator, reference, motion, calibrated, **options):
    plan = plan_run(animator, len(motion.frames), Options(**options))
    return canvas_clip(plan, reference, motion, calibrated)


def psnr(ours, theirs):
    error = np.square(np.subtract(ours, theirs, dtype=float)).mean()
    return 10 * np.log10(255**2 / max(error, 1e-6))


@pytest.mark.parametrize("side", [256, 384, 1080])
def test_an_aligned_reference_comes_out_whatever_the_size_of_the_motion(side):
    reference, motion = textured(512, 0.8, (side, side))
    calibrated = calibrate_clip(reference, motion, ALL_POINTS)
    animator = Copier(CopierConfig(image_size=(512, 512)))
    clip = canvas_clip_of(animator, reference, motion, calibrated)
    images, masks = clip.calibrated(0, FRAMES)
    assert psnr(images, reference.image) > 45
    assert psnr(masks, 255 * reference.masks) > 40
    # At the motion's own size, as `calibrate` writes it, details are lost.
    if side == 256:
        assert psnr(animator.canvas.pictures(calibrated.warped(0).images), reference.image) < 35


@pytest.mark.parametrize("kind", [Copier, Stretcher, Cropper])
@pytest.mark.parametrize("size", [(96, 96), (64, 120), (80, 60)])
def test_all_fits_lead_to_where_two_steps_led(kind, size):
    reference, motion = textured(200, 6, size, turn=0.4)
    calibrated = calibrate_clip(reference, motion, ALL_POINTS)
    animator = kind(CopierConfig(image_size=(48, 64)))
    images, masks = canvas_clip_of(animator, reference, motion, calibrated).calibrated(0, FRAMES)
    first = calibrated.warped(0)
    expected = animator.canvas.pictures(first.images)
    kernel = np.ones((7, 7), np.uint8)
    inside = cv2.erode(
        (animator.canvas.masks(first.images.any(-1)) == 255)[0].astype(np.uint8), kernel
    )
    difference = np.abs(images[0].astype(int) - expected[0])
    assert inside.mean() > 0.15
    assert difference[inside > 0].mean() < 2
    assert difference.mean() < 3
    assert np.abs(masks[0].astype(int) - animator.canvas.masks(first.masks)[0]).mean() < 5
    bars = animator.canvas.beside(size)
    assert not images[:, bars].any()
    assert not masks[:, bars].any()


def test_disco_reads_people_at_the_size_of_its_image_encoder():
    animator = DiscoAnimator(small_disco_config())
    reference, motion = textured(64, 3, (48, 80))
    calibrated = calibrate_clip(reference, motion, ALL_POINTS)
    clip = canvas_clip_of(animator, reference, motion, calibrated, routing="open")
    people, masks = clip.calibrated(0, FRAMES)
    assert people.shape == (2, *animator.reading_canvas.size, 3)
    assert masks.shape == (2, *animator.canvas.size)
    first = calibrated.warped(0)
    side = animator.config.image_encoder.image_size
    assert np.abs(people - foreground(first.images, first.masks, side)).mean() < 0.02


def test_backgrounds_fill_the_motion_s_picture_and_nothing_beyond():
    wide, motion = two_people(64)
    pair = calibrate_clip(wide, motion, ALL_POINTS)
    animator = Copier(CopierConfig(image_size=(64, 64)))
    bars = animator.canvas.beside(wide.image.shape[:2])
    assert bars.mean() == 0.5
    # Both are wide: the bars are no part of the result.
    clip = canvas_clip_of(animator, wide, motion, pair)
    assert not clip.background[bars].any()
    # A square motion shows what a wide reference does not.
    _, square = exact_case(0, 64, None)
    clip = canvas_clip_of(animator, wide, square, calibrate_clip(wide, square, ALL_POINTS))
    assert clip.background[bars].max(-1).min() > 10
    plain = animator.canvas.pictures(wide.image)
    scene = ~(bars | (animator.canvas.masks(wide.masks).max(0) > 0))
    far = cv2.erode(scene.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    np.testing.assert_array_equal(clip.background[far], plain[far])
    edge = np.flatnonzero(~bars[:, 0])[0]
    step = np.abs(clip.background[edge - 1].astype(int) - clip.background[edge]).mean()
    assert step < 12


def test_clips_of_all_lengths_share_one_program():
    reference, motion = exact_case(0, 64, (0.3, 0.8, (0.0, 0.0)), num_frames=11)
    clip = calibrate_clip(reference, motion, ALL_POINTS)
    clip.warped(0, np.arange(3))
    before = _jit_warp._cache_size()
    for frames in (1, 8, 9, 11):
        assert len(clip.warped(0, np.arange(frames)).images) == frames
    assert _jit_warp._cache_size() == before
    other = dataclasses.replace(CopierConfig(), image_size=(48, 48))
    read = canvas_clip_of(Copier(other), reference, motion, clip).calibrated
    for frames in (2, 10):
        assert read(0, np.arange(frames))[0].shape == (frames, 48, 48, 3)
    assert _jit_warp._cache_size() == before + 1
