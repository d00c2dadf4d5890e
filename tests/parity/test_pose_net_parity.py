"""The pose net against ControlNet's condition embedding in diffusers."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch_oracles import LAYER, assert_close, channels_last, load, randomized

from tpc_jax.convert.tables import POSE_NET
from tpc_jax.model.config import PoseNetConfig
from tpc_jax.model.pose_net import PoseNet

pytestmark = pytest.mark.torch


def test_pose_net():
    config = PoseNetConfig(block_out_channels=(4, 6, 8), out_channels=10)
    oracle = randomized(ControlNetConditioningEmbedding(10, 3, config.block_out_channels))
    ours = load(POSE_NET, oracle, lambda rngs: PoseNet(config, rngs=rngs))
    pose = np.random.default_rng(0).uniform(0, 1, (2, 12, 10, 3)).astype(np.float32)
    theirs = oracle(torch.from_numpy(pose).permute(0, 3, 1, 2))
    assert_close(ours(jnp.asarray(pose)), channels_last(theirs), LAYER)
