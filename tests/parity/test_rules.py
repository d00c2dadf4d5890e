"""Rule tables: strict, complete at the size of the published networks, and exact in layout."""

import re

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from flax import nnx
from torch_oracles import convert_flat, plan

from tpc_jax.convert.rules import Rule, find_target, ignore, layer, transform
from tpc_jax.convert.tables import UNET, appearance_encoder
from tpc_jax.convert.tables import VAE as VAE_RULES
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.config import MotionConfig, PoseNetConfig, UNetConfig, VAEConfig
from tpc_jax.model.motion import TemporalTransformer
from tpc_jax.model.pose_net import PoseNet
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE

RULES = (
    ignore(r"old\..*"),
    *layer("conv", r"conv"),
    *layer("linear", r"blocks\.(?P<index>\d+)\.fc", r"layers.\g<index>"),
    *layer("norm", r"norm"),
)


class Small(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(2, 4, (3, 5), rngs=rngs)
        self.layers = nnx.List([nnx.Linear(4, 6, rngs=rngs), nnx.Linear(6, 6, rngs=rngs)])
        self.norm = nnx.LayerNorm(6, rngs=rngs)


@pytest.fixture(scope="module")
def network():
    return P.abstract(Small)


def state():
    rng = np.random.default_rng(0)
    shapes = {
        "conv.weight": (4, 2, 3, 5),
        "conv.bias": (4,),
        "blocks.0.fc.weight": (6, 4),
        "blocks.0.fc.bias": (6,),
        "blocks.1.fc.weight": (6, 6),
        "blocks.1.fc.bias": (6,),
        "norm.weight": (6,),
        "norm.bias": (6,),
        "old.position_ids": (1, 77),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_names_and_axes_change_by_the_rules(network):
    source = state()
    flat, done = convert_flat(RULES, source, network), plan(RULES, source, network)
    assert set(flat) == set(P.flatten(network.spec))
    assert done.ignored == ("old.position_ids",)
    assert done.fillings["blocks.1.fc.weight"].target == ("layers.1.kernel", "linear")
    np.testing.assert_array_equal(flat["layers.1.kernel"], source["blocks.1.fc.weight"].T)
    np.testing.assert_array_equal(flat["norm.scale"], source["norm.weight"])
    np.testing.assert_array_equal(flat["conv.bias"], source["conv.bias"])
    for out, into, row, column in np.ndindex(4, 2, 3, 5):
        value = source["conv.weight"][out, into, row, column]
        assert flat["conv.kernel"][row, column, into, out] == value


def test_all_faults_are_told_at_once(network):
    source = state()
    del source["norm.bias"]
    source["conv.weight"] = source["conv.weight"].swapaxes(2, 3)
    source["blocks.1.fc.weight"] = source["blocks.1.fc.weight"][..., None]
    source["blocks.2.fc.bias"] = np.zeros(6)
    source["extra"] = np.zeros(1)
    with pytest.raises(UserError, match="5 faults") as caught:
        plan(RULES, source, network)
    for text in (
        "nothing fills norm.bias (6,)",
        "conv.weight (4, 2, 5, 3) (conv) does not fit conv.kernel (3, 5, 2, 4)",
        "blocks.1.fc.weight (6, 6, 1) (linear) does not fit layers.1.kernel (6, 6)",
        "blocks.2.fc.bias would fill layers.2.bias, which the network does not have",
        "no rule for extra",
    ):
        assert text in str(caught.value)


def test_a_parameter_is_filled_once(network):
    source = state()
    source["module.norm.bias"] = source["norm.bias"]
    rules = (*RULES, Rule(r"module\.(norm\.bias)", r"\1"))
    with pytest.raises(UserError, match=re.escape("norm.bias and module.norm.bias both fill")):
        plan(rules, source, network)


def test_the_first_rule_decides():
    rules = (ignore(r"a\.b"), Rule(r"a\..*", "c"))
    assert find_target(rules, "a.b") is None
    assert find_target(rules, "a.x") == ("c", "copy")
    with pytest.raises(ValueError, match="no rule for b"):
        find_target(rules, "b")


def test_a_pattern_must_match_the_whole_name():
    with pytest.raises(ValueError, match="no rule"):
        find_target(RULES, "deep.conv.weight")


def test_tensors_can_be_taken_one_at_a_time(network):
    """The plan needs shapes only; the result is that of converting everything at once."""
    source = state()
    steps = plan(RULES, {name: array.shape for name, array in source.items()}, network)
    expected = convert_flat(RULES, source, network)
    for name, (_, _, target) in steps.fillings.items():
        np.testing.assert_array_equal(transform(source[name], target.kind), expected[target.path])


def shapes_of(make, **config):
    with torch.device("meta"):
        module = make(**config)
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.fixture(scope="module")
def stable_diffusion():
    """Names and shapes of Stable Diffusion 1.5's UNet."""
    return shapes_of(UNet2DConditionModel, cross_attention_dim=768)


@pytest.mark.torch
def test_the_published_unet_is_covered(stable_diffusion):
    network = P.abstract(UNet, UNetConfig())
    assert P.count(network.spec) == 859_520_964
    done = plan(UNET, stable_diffusion, network)
    assert len(done.fillings) == len(stable_diffusion) == 686
    assert done.ignored == ()


@pytest.mark.torch
def test_a_complete_unet_serves_as_appearance_encoder(stable_diffusion):
    network = P.abstract(AppearanceEncoder, UNetConfig())
    assert P.count(network.spec) == 857_066_560
    done = plan(appearance_encoder(UNetConfig()), stable_diffusion, network)
    assert (len(done.fillings), len(done.ignored)) == (662, 24)
    without = {name: shape for name, shape in stable_diffusion.items() if name in done.fillings}
    assert plan(appearance_encoder(UNetConfig()), without, network).ignored == ()


def count(make, *args):
    return P.count(P.abstract(make, *args).spec)


def test_published_counts_of_motion_modules_and_pose_guider():
    modules = {c: count(TemporalTransformer, c, MotionConfig()) for c in (320, 640, 1280)}
    magicanimate = 5 * modules[320] + 5 * modules[640] + 10 * modules[1280]
    assert magicanimate == 417_137_600
    assert magicanimate + modules[1280] == 453_209_280  # AnimateAnyone's, with the mid block
    assert count(PoseNet, PoseNetConfig()) == 1_086_480


@pytest.mark.torch
def test_the_published_autoencoder_is_covered():
    shapes = shapes_of(
        AutoencoderKL,
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    network = P.abstract(VAE, VAEConfig())
    assert P.count(network.spec) == 83_653_863
    assert len(plan(VAE_RULES, shapes, network).fillings) == len(shapes) == 248
