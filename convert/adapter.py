"""Names of DreamPose's adapter, which are ours."""

from convert.rules import layer

ADAPTER = layer("linear", r"vae2clip|linear1")
