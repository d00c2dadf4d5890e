"""The metrics against results of the original functions, where these are at hand."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from golden import Golden

from tpc_jax import metrics
from tpc_jax.convert.feature_networks import I3D, RESNET3D_50
from tpc_jax.convert.rules import find_target, transform
from tpc_jax.metrics.networks.i3d import MixedBlock, Unit3D
from tpc_jax.metrics.networks.layers import zero_bordered_max_pool
from tpc_jax.metrics.networks.resnet3d import Bottleneck
from tpc_jax.model import params as P

GOLDEN = Golden("metrics")
PIECES = GOLDEN.weights("net_pieces")
CONFIG = GOLDEN.json("config")


def array(name: str) -> np.ndarray:
    return GOLDEN.raw(name)


def check(ours, theirs, rtol=0.0, atol=0.0):
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    print(f"max |difference| {np.abs(ours - theirs).max():.2e} of {np.abs(theirs).max():.3g}")
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


def test_rounding_to_8_bits():
    for side in ("gen", "gt"):
        rounded = metrics.round_to_8bit(array(f"images_{side}_f32"))
        np.testing.assert_array_equal(np.rint(255 * rounded), array(f"images_{side}_u8"))


@pytest.mark.parametrize("kind", ["floats", "8-bit"])
def test_picture_metrics(kind):
    if kind == "floats":
        pair = [array(f"images_{side}_f32") for side in ("gen", "gt")]
    else:
        pair = [array(f"images_{side}_u8") / np.float32(255) for side in ("gen", "gt")]
    found = {
        "l1": metrics.mean_absolute_error(*pair, mode="disco"),
        "psnr": metrics.psnr(*pair, mode="disco"),
        "psnr_legacy_uint8": metrics.overflowing_psnr(*pair),
        "ssim": metrics.ssim(*pair),
    }
    for name, values in found.items():
        print(name)
        check(values, array(f"{name}_per_image"), rtol=1e-6)
        check(np.mean(np.asarray(values, np.float64)), array(name), rtol=1e-6)


def test_picture_scores_at_the_pictures_own_size():
    pair = [array(f"images_{side}_u8") for side in ("gen", "gt")]
    height, width = pair[0].shape[1:3]
    if height != width:
        pytest.skip("the golden pictures are not square")
    values = metrics.picture_scores(*pair, mode="disco", size=height).values
    theirs = {"psnr_first_release": "psnr_legacy_uint8"}
    for name in ("l1", "psnr", "psnr_first_release", "ssim"):
        check(values[name], array(f"{theirs.get(name, name)}_per_image"), rtol=1e-6)


def test_statistics():
    for number in "12":
        found = metrics.feature_statistics(array(f"feats{number}"))
        check(found.mean, array(f"mu{number}"), rtol=1e-12, atol=1e-12)
        check(found.covariance, array(f"sigma{number}"), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kind", "rtol"), [("", 1e-6), ("_lowrank", 1e-4)])
def test_frechet_distance(kind, rtol):
    sets = [metrics.feature_statistics(array(f"feats{kind}{number}")) for number in "12"]
    check(metrics.frechet_distance(*sets), array(f"frechet{kind}"), rtol=rtol)


@pytest.mark.parametrize("name", [n for n in GOLDEN.arrays if re.fullmatch(r"resize_\d+_f32", n)])
def test_bicubic_resize(name):
    expected = array(name)
    picture = jnp.asarray(array("resize_in_u8"), jnp.float32)
    check(metrics.resize(picture, expected.shape[:2], "bicubic"), expected, atol=1e-3)


def piece(prefix: str, rules, inside: str, make):
    """Return one of our modules with the golden weights of a piece of the published network."""
    flat = {}
    for name, values in PIECES.items():
        if name.startswith(prefix):
            target = find_target(rules, inside + name.removeprefix(prefix))
            path = target.path.removeprefix(inside)
            flat[path] = jnp.asarray(transform(values, target.kind))
    network = P.abstract(make)
    return P.bind(network, P.unflatten(network, flat))


def check_piece(name: str, run):
    ours = run(jnp.asarray(GOLDEN[f"{name}_in"]))
    check(ours, GOLDEN[f"{name}_out"], rtol=1e-4, atol=1e-5)


def test_i3d_unit():
    c = CONFIG["i3d_unit"]
    sizes = (c["in_ch"], c["out_ch"], tuple(c["kernel"]), tuple(c["stride"]))
    unit = piece("i3d_unit.", I3D, "Conv3d_1a_7x7.", lambda rngs: Unit3D(*sizes, rngs=rngs))
    check_piece("i3d_unit", unit)


def test_i3d_mixed():
    c = CONFIG["i3d_mixed"]
    block = piece(
        *("i3d_mixed.", I3D, "Mixed_3b."),
        lambda rngs: MixedBlock(c["in_ch"], tuple(c["out"]), rngs=rngs),
    )
    check_piece("i3d_mixed", block)


def test_i3d_max_pool():
    c = CONFIG["i3d_maxpool"]
    window, strides = tuple(c["kernel"]), tuple(c["stride"])
    check_piece("i3d_maxpool", lambda x: zero_bordered_max_pool(x, window, strides))


def test_resnet3d_blocks():
    stride = int(re.search(r"stride (\d+)", CONFIG["r3d_blocks"])[1])
    count = 1 + max(int(re.match(r"r3d_blocks\.(\d+)", n)[1]) for n in PIECES if "r3d" in n)

    def block(index):
        planes, channels = PIECES[f"r3d_blocks.{index}.conv1.weight"].shape[:2]
        projects = f"r3d_blocks.{index}.downsample.0.weight" in PIECES
        return piece(
            *(f"r3d_blocks.{index}.", RESNET3D_50, f"layer1.{index}."),
            lambda rngs: Bottleneck(
                channels,
                planes,
                stride=stride if projects else 1,
                has_projection=projects,
                rngs=rngs,
            ),
        )

    def run(x):
        for index in range(count):
            x = block(index)(x)
        return x

    check_piece("r3d_blocks", run)
