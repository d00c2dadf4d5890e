"""The denoiser and the appearance encoder against diffusers' UNet."""

import dataclasses

import numpy as np
import pytest
import torch
from torch_animator import published_state, run, set_frames, torch_unet, transformer_blocks
from torch_oracles import BLOCK, assert_close, channels_last, compiled, convert, tensor

from convert.motion import MOTION
from convert.unet import UNET, appearance_encoder
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.config import MotionConfig, UNetConfig
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.unet import UNet, num_transformers, reading_transformers, token_grids

pytestmark = pytest.mark.torch

IMAGES = UNetConfig(
    block_out_channels=(8, 12, 16),
    layers_per_block=1,
    attention_levels=(True, True, False),
    num_heads=2,
    cross_attention_dim=10,
    norm_num_groups=4,
)
MAGICANIMATE = dataclasses.replace(
    IMAGES,
    norm_over_frames=True,
    reads="midup",
    motion=MotionConfig(num_heads=2, norm_num_groups=2, max_frames=8),
)
ANIMATEANYONE = dataclasses.replace(
    IMAGES, motion=MotionConfig(num_heads=4, norm_num_groups=4, max_frames=8, use_mid_block=True)
)
BATCH, FRAMES, SIZE = 2, 3, (12, 10)  # 10 is halved to 5 and 3: the way up must crop
rng = np.random.default_rng(7)
LATENTS = rng.normal(size=(BATCH, FRAMES, *SIZE, 4)).astype(np.float32)
TIMES = np.array([421.0, 7.0], np.float32)
CONTEXT = rng.normal(size=(BATCH, 3, 10)).astype(np.float32)


class Pair:
    """A torch network, ours with the same numbers, and the torch result for common inputs."""

    def __init__(self, config: UNetConfig):
        self.config = config
        self.oracle = torch_unet(config)
        set_frames(self.oracle, FRAMES)
        self.network = P.abstract(UNet, config)
        self.params = convert((*UNET, *MOTION), published_state(self.oracle), self.network)

    def ours(self, **kwargs):
        def call(params, latents, times, context, kwargs):
            return P.bind(self.network, params)(latents, times, context=context, **kwargs)

        return compiled(call)(self.params, LATENTS, TIMES, CONTEXT, kwargs)

    def theirs(self, **kwargs):
        per_image = (np.repeat(x, FRAMES, axis=0) for x in (TIMES, CONTEXT))
        times, context = map(torch.from_numpy, per_image)
        x = tensor(LATENTS.reshape(-1, *LATENTS.shape[2:]))
        out, _ = run(self.oracle, x, times, context, **kwargs)
        return channels_last(out).reshape(LATENTS.shape)


@pytest.fixture(scope="module", params=["images", "magicanimate", "animateanyone"])
def pair(request):
    configs = {"images": IMAGES, "magicanimate": MAGICANIMATE, "animateanyone": ANIMATEANYONE}
    return Pair(configs[request.param])


def test_denoiser(pair):
    assert_close(pair.ours(), pair.theirs(), BLOCK)


def references(config: UNetConfig, is_masked: bool):
    """Random parts for every reading transformer, and what the oracle reads instead."""
    ours, banks, masks = [], [], []
    widths = [block.norm1.normalized_shape[0] for block in transformer_blocks(torch_unet(config))]
    grids = token_grids(config, *SIZE)
    images = BATCH * FRAMES
    for width, grid, reads in zip(widths, grids, reading_transformers(config), strict=True):
        if not reads:
            ours.append(None)
            banks.append(None)
            masks.append(None)
            continue
        tokens = grid[0] * grid[1]
        shared = rng.normal(size=(BATCH, 1, tokens, width)).astype(np.float32)
        person = rng.normal(size=(BATCH, FRAMES, tokens, width)).astype(np.float32)
        bits = [rng.integers(0, 4, (BATCH, f, tokens)).astype(np.uint32) for f in (1, FRAMES)]
        query_bits = rng.integers(0, 4, (BATCH, FRAMES, tokens)).astype(np.uint32) | 1
        ours.append(
            ReferenceTokens(
                (shared, person), tuple(bits) if is_masked else (None, None),
                query_bits if is_masked else None,
            )
        )
        spread = [np.broadcast_to(x, person.shape) for x in (shared, person)]
        bank = np.concatenate([x.reshape(images, tokens, width) for x in spread], axis=1)
        banks.append(torch.from_numpy(bank))
        keys = [np.broadcast_to(b, query_bits.shape).reshape(images, 1, tokens) for b in bits]
        keys = np.concatenate([np.ones_like(keys[0]), *keys], axis=-1)
        seen = (query_bits.reshape(images, tokens, 1) & keys) != 0
        masks.append(torch.where(torch.from_numpy(seen), 0.0, -torch.inf))
    return tuple(ours), banks, masks if is_masked else None


@pytest.mark.parametrize("is_masked", [False, True], ids=["open", "masked"])
def test_denoiser_reads(pair, is_masked):
    parts, banks, masks = references(pair.config, is_masked)
    theirs = pair.theirs(banks=banks, masks=masks)
    assert_close(pair.ours(references=parts), theirs, BLOCK)
    assert np.abs(theirs - pair.theirs()).max() > 0.05


def test_pose_features_and_residuals(pair):
    """Pose features join the first convolution's output; residuals join the finished skips."""
    images = BATCH * FRAMES
    pose = rng.normal(size=(BATCH, FRAMES, *SIZE, 8)).astype(np.float32)
    shapes = [(12, 10, 8), (12, 10, 8), (6, 5, 8), (6, 5, 12), (3, 3, 12), (3, 3, 16), (3, 3, 16)]
    residuals = [rng.normal(size=(images, *shape)).astype(np.float32) for shape in shapes]
    theirs = pair.theirs(
        pose=tensor(pose.reshape(images, *SIZE, 8)),
        down_block_additional_residuals=tuple(tensor(r) for r in residuals[:-1]),
        mid_block_additional_residual=tensor(residuals[-1]),
    )
    assert_close(pair.ours(pose=pose, residuals=tuple(residuals)), theirs, BLOCK)


@pytest.mark.parametrize("config", [ANIMATEANYONE, MAGICANIMATE], ids=["full", "midup"])
def test_appearance_encoder(config):
    """Features are the first norm's output of every transformer that the denoiser lets read."""
    oracle = torch_unet(dataclasses.replace(config, motion=None, norm_over_frames=False), seed=3)
    network = P.abstract(AppearanceEncoder, config)
    params = convert(appearance_encoder(config), published_state(oracle), network)
    x, context = LATENTS[:, 0], CONTEXT
    _, normed = run(oracle, tensor(x), torch.from_numpy(TIMES), torch.from_numpy(context))
    ours = compiled(lambda p, *args: P.bind(network, p)(*args))(params, x, TIMES, context)
    assert len(ours) == len(normed) == sum(num_transformers(config))
    for index, (features, theirs) in enumerate(zip(ours, normed, strict=True)):
        if reading_transformers(config)[index]:
            assert_close(features, theirs, BLOCK, f"transformer {index}")
        else:
            assert features is None
    assert [f is None for f in ours].count(True) == (2 if config.reads == "midup" else 0)


def test_token_grids():
    """The grids are those of the features that an encoder makes."""
    assert token_grids(IMAGES, *SIZE) == (
        (12, 10), (6, 5), (3, 3), (6, 5), (6, 5), (12, 10), (12, 10),
    )  # fmt: skip


def test_context_must_fit(pair):
    with pytest.raises(ValueError, match="context"):
        P.bind(pair.network, pair.params)(LATENTS, TIMES)
