"""The commands of `tpc-jax`, one function each.

Heavy imports (JAX, Flax, OpenCV) are inside the functions, so that --help is quick.
"""
