"""Configs: strict reading, and back to plain values."""

import json

import pytest
from small_networks import CONFIG

from tpc_jax.model.config import (
    ControlNetConfig,
    MotionConfig,
    PoseNetConfig,
    UNetConfig,
    VAEConfig,
)


@pytest.mark.parametrize(
    "config",
    [CONFIG, UNetConfig(), ControlNetConfig(), VAEConfig(patch_size=2), PoseNetConfig()],
)
def test_round_trip_through_json(config):
    plain = json.loads(json.dumps(config.to_dict()))
    assert type(config).from_dict(plain) == config


def test_nested_configs():
    config = UNetConfig.from_dict({"motion": {"max_frames": 32}, "block_out_channels": [8] * 4})
    assert config.motion == MotionConfig(max_frames=32)
    assert config.block_out_channels == (8, 8, 8, 8)
    assert UNetConfig.from_dict({"motion": None}).motion is None


@pytest.mark.parametrize("values", [{"num_head": 4}, {"motion": {"num_head": 4}}])
def test_unknown_keys_are_refused(values):
    with pytest.raises(ValueError, match=r"unknown \w+ keys \['num_head'\]; known: .*num_heads"):
        UNetConfig.from_dict(values)


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match=r"reads must be one of .*'full', 'midup'.* got 'down'"):
        UNetConfig.from_dict({"reads": "down"})


def test_levels_must_agree():
    with pytest.raises(ValueError, match=r"one entry per level \(2\), got 4"):
        UNetConfig(block_out_channels=(8, 16))


def test_downscale():
    assert VAEConfig().downscale == 8
    assert VAEConfig(block_out_channels=(8, 16), patch_size=2).downscale == 4
