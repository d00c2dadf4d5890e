import logging
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import person, rotation
from skimage.transform import SimilarityTransform

from tpc_jax import (
    SOLVERS,
    Keypoints,
    SolveStatus,
    Trimming,
    calibrate,
    fit_trimmed,
)
from tpc_jax.calibration import calibrate_on_host
from tpc_jax.procrustes import transform

STATIC = ("method", "transform", "tau", "use_confidence", "smooth_sigma", "scale_range", "trimming")
# Scale range is a pair of numbers, so it may be traced or static; here it is static.
compiled_jax = jax.jit(calibrate, static_argnames=STATIC)


def compiled(*arguments, **options):
    return jax.tree.map(np.asarray, compiled_jax(*arguments, **options))


def scene(rng, people=2, frames=8):
    """Persons who turn and grow, each driving frame an exact similarity of the reference."""
    ref = np.stack([person(rng) for _ in range(people)])
    angle = rng.uniform(-np.pi, np.pi, (people, 1)) + np.linspace(0, 1, frames)
    scale = rng.uniform(0.5, 1.5, (people, 1)) * np.linspace(1, 1.3, frames)
    linear = np.array(
        [
            [s * rotation(a) for a, s in zip(*row, strict=True)]
            for row in zip(angle, scale, strict=True)
        ]
    )
    offset = rng.uniform(-100, 100, (people, frames, 2))
    drv = np.einsum("pfij,pkj->pfki", linear, ref) + offset[:, :, None]
    return ref, drv, linear, offset


def keypoints(xy, conf=None):
    return Keypoints(xy, np.ones(xy.shape[:-1]) if conf is None else conf)


@pytest.mark.parametrize("method", ["lts", "all", "face"])
def test_recovers_each_persons_transform_in_each_frame(method, rng):
    ref, drv, linear, offset = scene(rng)
    found = compiled(keypoints(ref), keypoints(drv), method=method)
    np.testing.assert_allclose(found.drv_from_ref.linear, linear, atol=1e-9)
    np.testing.assert_allclose(found.drv_from_ref.offset, offset, atol=1e-6)
    assert not found.is_filled.any()
    assert not np.asarray(found.status).any()
    np.testing.assert_allclose(found.residual, 0, atol=1e-12)
    expected = np.arange(17) < (5 if method == "face" else 17)
    np.testing.assert_array_equal(found.subset, np.tile(expected, (2, 8, 1)))


def test_lts_ignores_limbs_that_moved_on_their_own(rng):
    ref, drv, linear, _ = scene(rng)
    moved = [7, 8, 9, 10, 13, 15]
    drv[:, :, moved] += rng.normal(size=(2, 8, 6, 2)) * 150
    found = compiled(keypoints(ref), keypoints(drv), method="lts")
    np.testing.assert_allclose(found.drv_from_ref.linear, linear, atol=1e-6)
    assert not found.subset[:, :, np.array(moved)].any()
    plain = compiled(keypoints(ref), keypoints(drv), method="all")
    assert np.abs(plain.drv_from_ref.linear - linear).max() > 0.05


def test_a_subset_of_everything_is_everything(rng):
    ref, drv, _, _ = scene(rng)
    drv += 5 * rng.normal(size=drv.shape)
    plain = compiled(keypoints(ref), keypoints(drv), method="all")
    whole = compiled(keypoints(ref), keypoints(drv), trimming=Trimming(coverage=1.0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), whole, plain)


def test_face_uses_five_points_whatever_the_reference_confidence(rng):
    ref, drv, _, _ = scene(rng)
    drv += 10 * rng.normal(size=drv.shape)
    ref_conf, drv_conf = np.full((2, 17), 0.1), np.ones((2, 8, 17))
    drv_conf[:, :, 1] = 0.2
    found = compiled(keypoints(ref, ref_conf), keypoints(drv, drv_conf), method="face")
    matrices = np.asarray(transform.to_matrix(found.drv_from_ref))
    for p, f in np.ndindex(2, 8):
        points = [0, 2, 3, 4]
        expected = SimilarityTransform.from_estimate(ref[p, points], drv[p, f, points])
        np.testing.assert_allclose(matrices[p, f], expected.params, atol=1e-6)
        assert list(np.flatnonzero(found.subset[p, f])) == points


def test_clip_is_one_joint_fit_for_all_frames(rng):
    ref, drv, _, _ = scene(rng)
    drv += 5 * rng.normal(size=drv.shape)
    conf = (rng.uniform(size=(2, 8, 17)) > 0.3).astype(float)
    conf[1, 2] = 0
    found = compiled(keypoints(ref), keypoints(drv, conf), method="clip")
    matrices = np.asarray(transform.to_matrix(found.drv_from_ref))
    for p in range(2):
        frames, points = np.nonzero(conf[p])
        expected = SimilarityTransform.from_estimate(ref[p, points], drv[p, frames, points])
        np.testing.assert_allclose(matrices[p], np.tile(expected.params, (8, 1, 1)), atol=1e-6)
    assert not found.is_filled.any()
    np.testing.assert_array_equal(found.subset, conf > 0)


@pytest.mark.parametrize(
    ("method", "kind"), [("all", "translation_scale"), ("all", "rigid"), ("lts", "affine")]
)
def test_the_transform_is_fitted_to_the_points_of_the_method(method, kind, rng):
    ref, drv, _, _ = scene(rng)
    drv += 5 * rng.normal(size=drv.shape)
    drv[:, :, 9:12] += 200
    found = compiled(keypoints(ref), keypoints(drv), method=method, transform=kind)
    similar = compiled(keypoints(ref), keypoints(drv), method=method)
    np.testing.assert_array_equal(found.subset, similar.subset)
    solve = jax.jit(SOLVERS[kind])
    for p, f in np.ndindex(2, 8):
        weight = np.asarray(found.subset[p, f], float)
        one = solve(*(jnp.asarray(x) for x in (ref[p], drv[p, f], weight)))
        np.testing.assert_allclose(
            found.drv_from_ref.linear[p, f], one.drv_from_ref.linear, rtol=1e-9
        )
        np.testing.assert_allclose(found.residual[p, f], one.residual, rtol=1e-6)


def test_visibility_and_confidence_weights(rng):
    ref, drv, _, _ = scene(rng)
    drv += 5 * rng.normal(size=drv.shape)
    ref_conf, drv_conf = rng.uniform(size=(2, 17)), rng.uniform(size=(2, 8, 17))
    both = (ref_conf[:, None] > 0.4) & (drv_conf > 0.4)
    arguments = (keypoints(ref, ref_conf), keypoints(drv, drv_conf))
    found = compiled(*arguments, method="all", tau=0.4, use_confidence=True)
    np.testing.assert_array_equal(found.subset, both)
    weight = np.where(both, np.sqrt(ref_conf[:, None] * drv_conf), 0)
    one = jax.jit(SOLVERS["similarity"])(
        *(jnp.asarray(x) for x in (ref[0], drv[0, 2], weight[0, 2]))
    )
    np.testing.assert_allclose(found.drv_from_ref.linear[0, 2], one.drv_from_ref.linear, rtol=1e-9)
    plain = compiled(*arguments, method="all")
    assert np.abs(plain.drv_from_ref.linear - found.drv_from_ref.linear).max() > 1e-4


def test_nan_coordinates_are_not_visible_whatever_their_confidence(rng):
    ref, drv, linear, _ = scene(rng)
    ref[0, 3], drv[:, 2, 5] = np.nan, np.nan
    for method in ("lts", "all"):
        found = compiled(keypoints(ref), keypoints(drv), method=method)
        np.testing.assert_allclose(found.drv_from_ref.linear, linear, atol=1e-6)
        assert not found.subset[0, :, 3].any()
        assert not found.subset[:, 2, 5].any()
        assert np.isfinite(found.residual).all()


@pytest.mark.parametrize("method", ["lts", "all", "face"])
def test_degenerate_frames_at_the_ends_keep_the_nearest_valid_transform(method, rng):
    ref, drv, linear, offset = scene(rng)
    conf = np.ones((2, 8, 17))
    conf[0, [0, 1, 4, 7]] = 0  # before the first and after the last
    conf[0, 5, 1:] = 0  # a single point
    drv[0, 6] = drv[0, 6, 0]  # all points coincide
    conf[1] = 0  # nobody at all
    found = compiled(keypoints(ref), keypoints(drv, conf), method=method)
    source = [2, 2, 2, 3, 3, 3, 3, 3]
    np.testing.assert_allclose(found.drv_from_ref.linear[0], linear[0, source], atol=1e-9)
    np.testing.assert_allclose(found.drv_from_ref.offset[0], offset[0, source], atol=1e-6)
    few, spot = SolveStatus.TOO_FEW_POINTS, SolveStatus.ZERO_SPREAD
    assert list(found.status[0]) == [few, few, 0, 0, few, few, spot, few]
    np.testing.assert_array_equal(found.is_filled[0], np.asarray(found.status[0]) != 0)
    np.testing.assert_array_equal(found.drv_from_ref.linear[1], np.tile(np.eye(2), (8, 1, 1)))
    np.testing.assert_array_equal(found.drv_from_ref.offset[1], np.zeros((8, 2)))
    assert found.is_filled[1].all()
    assert not found.subset[1].any()


@pytest.mark.parametrize("method", ["lts", "all", "face"])
def test_degenerate_frames_between_valid_ones_are_interpolated(method, rng):
    ref, drv, linear, offset = scene(rng, people=1)
    conf = np.ones((1, 8, 17))
    conf[0, [2, 3, 5]] = 0
    found = compiled(keypoints(ref), keypoints(drv, conf), method=method)
    assert list(np.flatnonzero(found.is_filled[0])) == [2, 3, 5]
    angle, scale = (
        np.asarray(f(found.drv_from_ref))[0] for f in (transform.angle_of, transform.scale_of)
    )
    # Angles grow linearly, so what is missing comes back; scales are geometric means.
    true = np.angle(linear[0, :, 0, 0] + 1j * linear[0, :, 1, 0])
    np.testing.assert_allclose(np.exp(1j * angle), np.exp(1j * true), atol=1e-9)
    true = np.sqrt(np.linalg.det(linear[0]))
    share = np.array([1, 2]) / 3
    np.testing.assert_allclose(scale[2:4], true[1] ** (1 - share) * true[4] ** share, rtol=1e-9)
    # The middle of the person moves straight, wherever the offset swings.
    middle = ref[0].mean(0)
    image = found.drv_from_ref.linear[0] @ middle + found.drv_from_ref.offset[0]
    known = linear[0] @ middle + offset[0]
    np.testing.assert_allclose(image[5], (known[4] + known[6]) / 2, atol=1e-6)


def test_an_impossible_scale_is_out_of_range(rng):
    ref, drv, linear, _ = scene(rng)
    drv[0, 7] = 0.02 * ref[0]
    found = compiled(keypoints(ref), keypoints(drv), method="all")
    assert list(found.status[0]) == [0, 0, 0, 0, 0, 0, 0, SolveStatus.OUT_OF_RANGE]
    np.testing.assert_allclose(found.drv_from_ref.linear[0, 7], linear[0, 6], atol=1e-9)
    wide = compiled(keypoints(ref), keypoints(drv), method="all", scale_range=(0.01, 20.0))
    assert not wide.is_filled.any()


def test_a_scale_is_possible_or_not_relative_to_the_pictures(rng):
    ref, drv, linear, _ = scene(rng)
    photo = keypoints(50 * ref)
    assert compiled(photo, keypoints(drv), method="all").is_filled.all()
    sizes = {"reference_size": (25600, 25600), "driving_size": (512, 512)}
    found = compiled(photo, keypoints(drv), method="all", **sizes)
    assert not found.is_filled.any()
    np.testing.assert_allclose(50 * found.drv_from_ref.linear, linear, atol=1e-9)
    # Fifty times smaller than the frames show is as impossible as on pictures of one size.
    tiny = compiled(photo, keypoints(drv / 50), method="all", **sizes)
    assert (tiny.status == SolveStatus.OUT_OF_RANGE).all()


def test_sizes_of_pictures_share_a_program(rng):
    ref, drv, _, _ = scene(rng)
    counted = jax.jit(chex.assert_max_traces(calibrate, n=1), static_argnames=STATIC)
    for size in ((512, 512), (6000, 4000)):
        counted(keypoints(ref), keypoints(drv), method="all", reference_size=size,
                driving_size=(256, 256))  # fmt: skip


def test_smoothing_calms_the_transforms_and_bridges_gaps(rng):
    ref, drv, _, offset = scene(rng, people=1, frames=40)
    drv -= offset[:, :, None]  # which jumps about
    conf = np.ones((1, 40, 17))
    conf[0, 20] = 0
    noisy = drv + 8 * rng.normal(size=drv.shape)
    arguments = (keypoints(ref), keypoints(noisy, conf))
    rough = compiled(*arguments, method="all")
    calm = compiled(*arguments, method="all", smooth_sigma=2.0)
    np.testing.assert_array_equal(calm.status, rough.status)

    def error(found):
        linear, offset = found.drv_from_ref
        placed = np.einsum("pfij,pkj->pfki", linear, ref) + offset[:, :, None]
        return np.linalg.norm(placed - drv, axis=-1).mean(axis=-1)[0]

    assert error(calm)[5:-5].mean() < 0.6 * error(rough)[5:-5].mean()
    # A gap is as good as what lies beside it, and calmed like it.
    assert error(rough)[20] < 1.2 * error(rough)[[19, 21]].mean()
    assert error(calm)[20] < 0.6 * error(rough).mean()
    assert calm.residual.mean() > rough.residual.mean()


@pytest.mark.parametrize("sides", [(1, 1), (1, -1)])
def test_confidently_wrong_frames_hardly_count_in_smoothing(sides, rng):
    """Ten points of two frames agree on a turn by 137 degrees that the others contradict."""
    ref = person(rng)[None]
    drv = np.tile(ref[:, None], (1, 40, 1, 1))
    for frame, side in zip((15, 24), sides, strict=True):
        turned = (ref[0, :10] - ref[0].mean(0)) @ rotation(side * np.radians(137)).T
        drv[0, frame, :10] = turned + ref[0].mean(0)
    drv += rng.normal(size=drv.shape)
    found = {
        sigma: compiled(keypoints(ref), keypoints(drv), smooth_sigma=sigma) for sigma in (0.0, 1.0)
    }
    rough, calm = (
        np.degrees(np.asarray(transform.angle_of(found[sigma].drv_from_ref)))[0]
        for sigma in (0.0, 1.0)
    )
    np.testing.assert_allclose(rough[[15, 24]], np.multiply(sides, 137), atol=3)
    assert np.abs(calm).max() < 3


def test_few_points_close_together_count_less_in_smoothing(rng):
    ref = person(rng)[None]
    drv = np.tile(ref[:, None], (1, 9, 1, 1))
    conf = np.ones((1, 9, 17))
    conf[0, 4, 3:] = 0  # nose and eyes
    turned = (drv[0, 4, :3] - ref[0, :3].mean(0)) @ rotation(0.5).T
    drv[0, 4, :3] = turned + ref[0, :3].mean(0)
    found = compiled(keypoints(ref), keypoints(drv, conf), method="all", smooth_sigma=1.0)
    angle = np.asarray(transform.angle_of(found.drv_from_ref))[0]
    # Counted like the others, the frame would keep 0.2.
    assert 0 < angle[4] < 0.1


def test_people_and_frames_are_fitted_independently(rng):
    # Fifteen problems: not a whole number of chunks.
    ref, drv, _, _ = scene(rng, people=3, frames=5)
    drv += 15 * rng.normal(size=drv.shape)
    conf = (rng.uniform(size=(3, 5, 17)) > 0.2).astype(float)
    found = compiled(keypoints(ref), keypoints(drv, conf), method="lts")
    fit_one = jax.jit(fit_trimmed)
    for p, f in np.ndindex(3, 5):
        one = fit_one(*(jnp.asarray(x) for x in (ref[p], drv[p, f], conf[p, f])))
        np.testing.assert_allclose(
            found.drv_from_ref.linear[p, f], one.result.drv_from_ref.linear, rtol=1e-9
        )
        np.testing.assert_array_equal(found.subset[p, f], one.subset)


def test_float32_is_the_working_type(rng):
    ref, drv, linear, _ = scene(rng)
    with jax.enable_x64(False):
        found = compiled(keypoints(ref), keypoints(drv), method="all")
    assert found.drv_from_ref.linear.dtype == np.float32
    np.testing.assert_allclose(found.drv_from_ref.linear, linear, atol=1e-5)


def test_one_trace_serves_all_clips_of_a_size(rng):
    chex.clear_trace_counter()

    def recipe(reference, driving):
        return calibrate(reference, driving, method="all")

    counted = jax.jit(chex.assert_max_traces(recipe, n=1))
    for _ in range(3):
        ref, drv, _, _ = scene(rng)
        counted(keypoints(ref), keypoints(drv, (rng.uniform(size=(2, 8, 17)) > 0.5).astype(float)))


@pytest.mark.slow
@pytest.mark.parametrize("smooth_sigma", [0.0, 2.0])
@pytest.mark.parametrize("method", ["lts", "all", "face", "clip"])
def test_filling_up_a_clip_changes_nothing(method, smooth_sigma, rng):
    ref, drv, _, _ = scene(rng, frames=17)
    drv += 5 * rng.normal(size=drv.shape)
    conf = (rng.uniform(size=drv.shape[:-1]) > 0.2).astype(float)
    conf[0, [0, 3, 16]] = 0  # a person whose last frame is borrowed
    conf[1] = 0  # and one whom nobody sees
    options = {"method": method, "smooth_sigma": smooth_sigma}
    expected = compiled(keypoints(ref), keypoints(drv, conf), **options)
    found = calibrate_on_host(keypoints(ref), keypoints(drv, conf), **options)
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(found))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), found, expected
    )


def test_a_clip_is_checked_before_it_is_filled_up():
    reference = keypoints(np.zeros((1, 17, 2)))
    with pytest.raises(ValueError, match="one frame or more"):
        calibrate_on_host(reference, keypoints(np.zeros((1, 0, 17, 2))))


def test_clips_of_many_lengths_share_a_program(rng, caplog):
    def programs(lengths):
        caplog.clear()
        with jax.log_compiles(), caplog.at_level(logging.WARNING):
            for frames in lengths:
                ref, drv, _, _ = scene(rng, people=1, frames=frames)
                found = calibrate_on_host(keypoints(ref), keypoints(drv), method="all", tau=0.31)
                assert found.residual.shape == (1, frames)
        return sum("Compiling jit(calibrate)" in message for message in caplog.messages)

    assert programs([5, 17, 50, 64]) == 1
    assert programs([65, 100, 128]) == 1
    assert programs([3, 127]) == 0


def test_gradients_are_finite_with_degenerate_frames(rng):
    ref, drv, _, _ = scene(rng, people=1, frames=4)
    conf = np.ones((1, 4, 17))
    conf[0, 1] = 0
    drv[0, 2] = drv[0, 2, 0]
    drv[0, 1] = np.nan

    def loss(xy):
        driving = Keypoints(xy, jnp.asarray(conf))
        found = calibrate(keypoints(ref), driving, method="all", smooth_sigma=1.0)
        return jnp.sum(found.drv_from_ref.linear) + jnp.sum(found.residual)

    gradient = jax.jit(jax.grad(loss))(jnp.asarray(drv))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def bad_calls():
    ref, drv = Keypoints(np.zeros((1, 17, 2)), np.ones((1, 17))), np.zeros((1, 4, 17, 2))
    driving = Keypoints(drv, np.ones((1, 4, 17)))
    yield Keypoints(ref.xy[0], ref.conf[0]), driving, {}, "reference.xy must be"
    yield ref, Keypoints(drv[0], np.ones((4, 17))), {}, "driving.xy must be"
    yield ref, Keypoints(drv[:, :0], np.ones((1, 0, 17))), {}, "one frame or more"
    two = Keypoints(np.zeros((2, 4, 17, 2)), np.ones((2, 4, 17)))
    yield ref, two, {}, "1 people"
    yield ref, Keypoints(drv, np.ones((1, 4, 16))), {}, "driving.conf must have shape"
    yield ref, driving, {"method": "best"}, "method must be one of"
    yield ref, driving, {"transform": "perspective"}, "transform must be one of"
    few = Keypoints(np.zeros((1, 9, 2)), np.ones((1, 9)))
    nine = Keypoints(np.zeros((1, 4, 9, 2)), np.ones((1, 4, 9)))
    yield few, nine, {"method": "face"}, "needs 17 COCO points"


@pytest.mark.parametrize(("reference", "driving", "options", "message"), list(bad_calls()))
def test_bad_arguments_are_named(reference, driving, options, message):
    unchecked = getattr(calibrate, "__wrapped__", calibrate)
    with pytest.raises(ValueError, match=message):
        unchecked(reference, driving, **options)


def test_the_core_imports_without_networks_or_codecs():
    program = (
        "import sys, tpc_jax, tpc_jax.propagation, tpc_jax.pose.matching\n"
        "heavy = {'flax', 'torch', 'cv2', 'optax', 'av'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
