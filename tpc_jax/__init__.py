"""Test-time Procrustes calibration for human image animation.

`import tpc_jax as tpc` costs nothing: every name is loaded when it is first used (`__init__.pyi`
lists them), and the calibration core needs JAX and NumPy alone, no Flax.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
