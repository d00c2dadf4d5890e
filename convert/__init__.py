"""Conversion of published weights; of the running product, only `tpc-jax convert` imports it.

The folder stands beside the package, in which it is installed: its one name is `tpc_jax.convert`.
"""
