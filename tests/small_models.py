"""Models of `tiny`'s kind that are small enough to compile within seconds, with random weights."""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from tpc_jax.animators.base import Animator
from tpc_jax.animators.tiny import TinyAnimator, TinyConfig
from tpc_jax.model.config import MotionConfig, PoseNetConfig, UNetConfig, VAEConfig

SIZE = 16


def small_config(widths=(8,), *, has_motion=True) -> TinyConfig:
    """Return a model of 16 x 16 pixels and 4 x 4 latents with the given widths per level."""
    return TinyConfig(
        image_size=(SIZE, SIZE),
        vae=VAEConfig(
            latent_channels=4,
            block_out_channels=(8,),
            layers_per_block=1,
            norm_num_groups=4,
            patch_size=4,
        ),
        unet=UNetConfig(
            block_out_channels=widths,
            layers_per_block=1,
            attention_levels=(True,) * len(widths),
            num_heads=2,
            cross_attention_dim=None,
            norm_num_groups=4,
            motion=MotionConfig(num_heads=2, norm_num_groups=4, max_frames=8)
            if has_motion
            else None,
        ),
        pose_net=PoseNetConfig(block_out_channels=(4, 8, 8), out_channels=widths[0]),
        window_length=4,
        window_overlap=2,
    )


def random_params(animator: Animator):
    """Fill every network as `random_like` does."""
    return random_like({name: network.spec for name, network in animator.networks().items()})


def random_like(specs):
    """Return seeded numbers that keep activations near 1, in zero layers too."""

    def fill(path, spec):
        name = jax.tree_util.keystr(path)
        values = np.random.default_rng(zlib.crc32(name.encode())).normal(size=spec.shape)
        if len(spec.shape) > 1:
            values *= 1.5 / np.sqrt(np.prod(spec.shape[:-1]))
        else:
            values = 0.3 * values + name.endswith("['scale']")
        return jnp.asarray(values, spec.dtype)

    return jax.tree_util.tree_map_with_path(fill, specs)


@functools.lru_cache
def small_model(widths=(8,)):
    """Return an animator and its parameters; shared by all tests, which leave them alone."""
    animator = TinyAnimator(small_config(widths))
    return animator, random_params(animator)
