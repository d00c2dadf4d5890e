"""The denoiser and the appearance encoder against diffusers' UNet."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch_animator import published_state, run, set_frames, torch_unet
from torch_oracles import BLOCK, assert_close, channels_last, compiled, convert, tensor

from tpc_jax.convert.tables import MOTION, UNET, appearance_encoder
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
TWO_LEVELS = dataclasses.replace(IMAGES, block_out_channels=(8, 12), attention_levels=(True, False))
MAGICANIMATE = dataclasses.replace(
    TWO_LEVELS,
    norm_over_frames=True,
    reads="midup",
    motion=MotionConfig(num_heads=2, norm_num_groups=2, max_frames=8),
)
ANIMATEANYONE = dataclasses.replace(
    TWO_LEVELS,
    motion=MotionConfig(num_heads=4, norm_num_groups=4, max_frames=8, use_mid_block=True),
)
BATCH, FRAMES, SIZE = 2, 3, (12, 10)  # 10 is halved to 5 and 3: the way up must crop
IMAGE_COUNT = BATCH * FRAMES
rng = np.random.default_rng(7)


def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)


LATENTS, CONTEXT = normal(BATCH, FRAMES, *SIZE, 4), normal(BATCH, 3, 10)
TIMES = np.array([421.0, 7.0], np.float32)


class Pair:
    """A torch network, and ours with the same numbers, called with common inputs."""

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
        times, context = (np.repeat(x, FRAMES, axis=0) for x in (TIMES, CONTEXT))
        x = tensor(LATENTS.reshape(-1, *LATENTS.shape[2:]))
        out, _ = run(self.oracle, x, torch.from_numpy(times), torch.from_numpy(context), **kwargs)
        return channels_last(out).reshape(LATENTS.shape)

    def references(self, is_masked: bool):
        """Return random parts for all reading transformers, and what the oracle reads for them."""
        down, mid, up = num_transformers(self.config)
        narrow, wide = self.config.block_out_channels
        widths = [narrow] * down + [wide] * mid + [narrow] * up
        layers = zip(widths, token_grids(self.config, *SIZE), strict=True)
        parts = [self._part(width, h * w, is_masked) for width, (h, w) in layers]
        reads = reading_transformers(self.config)
        columns = [
            tuple(value if read else None for value, read in zip(column, reads, strict=True))
            for column in zip(*parts, strict=True)
        ]
        return columns[0], {"banks": columns[1], "masks": columns[2] if is_masked else None}

    def _part(self, width: int, tokens: int, is_masked: bool):
        shared, person = (normal(BATCH, frames, tokens, width) for frames in (1, FRAMES))
        bits = [rng.integers(0, 4, (BATCH, f, tokens)).astype(np.uint32) for f in (1, FRAMES)]
        queries = rng.integers(0, 4, (BATCH, FRAMES, tokens)).astype(np.uint32) | 1
        ours = ReferenceTokens((shared, person), (None, None), None)
        if is_masked:
            ours = ours._replace(key_bits=tuple(bits), query_bits=queries)
        spread = [np.broadcast_to(part, person.shape) for part in (shared, person)]
        bank = np.concatenate([part.reshape(IMAGE_COUNT, tokens, width) for part in spread], axis=1)
        keys = [np.broadcast_to(b, queries.shape).reshape(IMAGE_COUNT, 1, tokens) for b in bits]
        keys = np.concatenate([np.ones_like(keys[0]), *keys], axis=-1)
        visible = torch.from_numpy((queries.reshape(IMAGE_COUNT, tokens, 1) & keys) != 0)
        return ours, torch.from_numpy(bank), torch.where(visible, 0.0, -torch.inf)


@pytest.fixture(scope="module")
def images():
    return Pair(IMAGES)


def test_denoiser_of_images(images):
    assert_close(images.ours(), images.theirs(), BLOCK)


def test_magicanimate_with_residuals():
    """Norms pool over frames, half of the transformers read, ControlNet joins finished skips."""
    pair = Pair(MAGICANIMATE)
    parts, reading = pair.references(is_masked=False)
    shapes = [(12, 10, 8), (12, 10, 8), (6, 5, 8), (6, 5, 12), (6, 5, 12)]
    residuals = [normal(IMAGE_COUNT, *shape) for shape in shapes]
    controls = {
        "down_block_additional_residuals": tuple(tensor(r) for r in residuals[:-1]),
        "mid_block_additional_residual": tensor(residuals[-1]),
    }
    theirs = pair.theirs(**reading, **controls)
    assert_close(pair.ours(references=parts, residuals=tuple(residuals)), theirs, BLOCK)
    for different in ({**reading}, {**controls}):
        assert np.abs(theirs - pair.theirs(**different)).max() > 0.05


def test_animateanyone_with_masks_and_pose():
    """Norms are per frame, all transformers read, pose features join the first convolution."""
    pair = Pair(ANIMATEANYONE)
    parts, reading = pair.references(is_masked=True)
    pose = normal(BATCH, FRAMES, *SIZE, 8)
    posed = {"pose": tensor(pose.reshape(IMAGE_COUNT, *SIZE, 8))}
    theirs = pair.theirs(**reading, **posed)
    assert_close(pair.ours(references=parts, pose=pose), theirs, BLOCK)
    for different in ({**reading}, {**posed}, {**reading, **posed, "masks": None}):
        assert np.abs(theirs - pair.theirs(**different)).max() > 0.05


def test_appearance_encoder(images):
    """Features are the output of the first norm of every transformer."""
    network = P.abstract(AppearanceEncoder, IMAGES)
    params = convert(appearance_encoder(IMAGES), published_state(images.oracle), network)
    x = LATENTS[:, 0]
    times, context = torch.from_numpy(TIMES), torch.from_numpy(CONTEXT)
    _, normed = run(images.oracle, tensor(x), times, context)
    ours = compiled(lambda p, *args: P.bind(network, p)(*args))(params, x, TIMES, CONTEXT)
    assert len(ours) == sum(num_transformers(IMAGES))
    for index, (features, theirs) in enumerate(zip(ours, normed, strict=True)):
        assert_close(features, theirs, BLOCK, f"transformer {index}")
    grids = tuple(h * w for h, w in token_grids(IMAGES, *SIZE))
    assert grids == tuple(features.shape[1] for features in ours)


def test_an_encoder_for_midup_omits_the_down_path():
    config = dataclasses.replace(IMAGES, reads="midup")
    network = P.abstract(AppearanceEncoder, config)
    call = lambda p, *args: P.bind(network, p)(*args)  # noqa: E731
    shapes = jax.eval_shape(call, network.spec, *map(jnp.asarray, (LATENTS[:, 0], TIMES, CONTEXT)))
    assert [features is None for features in shapes] == [True] * 2 + [False] * 5
