"""Resampling of a reference picture and its mask into a driving frame."""

from tpc_jax.warp.grid import grid_step as grid_step
from tpc_jax.warp.grid import sampling_grid as sampling_grid
from tpc_jax.warp.kernels import Interpolation as Interpolation
from tpc_jax.warp.pyramid import Pyramid as Pyramid
from tpc_jax.warp.pyramid import build_pyramid as build_pyramid
from tpc_jax.warp.pyramid import sample_pyramid as sample_pyramid
from tpc_jax.warp.sample import Border as Border
from tpc_jax.warp.sample import sample_image as sample_image
from tpc_jax.warp.warp import composite as composite
from tpc_jax.warp.warp import warp_image as warp_image
from tpc_jax.warp.warp import warp_image_and_mask as warp_image_and_mask
from tpc_jax.warp.warp import warp_mask as warp_mask
