"""Bring the table of animators in docs/models/README.md up to date with their presets."""

import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from tpc_jax.animators.base import Animator
from tpc_jax.animators.load import EMBEDDED, SYSTEMS
from tpc_jax.animators.tokens import TokenAnimator
from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path
from tpc_jax.model import params as P
from tpc_jax.model.params import Params
from tpc_jax.report.markdown import markdown_table

BEGIN, END = "<!-- begin of the table -->", "<!-- end of the table -->"
DOCUMENT = Path(__file__).parents[1] / "docs" / "models" / "README.md"
_MOTION = {
    "house": "part maps or skeleton in house colours", "densepose": "DensePose rendering",
    "dwpose": "DWPose skeleton", "openpose": "OpenPose skeleton", "uv": "DensePose coordinates",
}  # fmt: skip
_FIT = {"letterbox": "aspect kept, bars", "crop": "central piece", "stretch": "stretched"}


def models_table() -> str:
    """Return the table of all animators but the embedded one, in Markdown."""
    columns = []
    for name, (make_config, make_animator) in SYSTEMS.items():
        if name != EMBEDDED:
            rows = _rows(make_animator(make_config()))
            columns.append({"": f"[{name}]({name}.md)", **rows})
    head, *rows = [[key, *(column[key] for column in columns)] for key in columns[0]]
    return markdown_table(head, rows)


def main(path: Path = DOCUMENT) -> None:
    """Put the table between its marks in a Markdown file."""
    text = path.read_text()
    before, *rest = text.split(BEGIN)
    if len(rest) != 1 or rest[0].count(END) != 1:
        raise UserError(f"{path}: must hold {BEGIN} and {END} once each")
    with atomic_path(path) as partial:
        partial.write_text(f"{before}{BEGIN}\n{models_table()}\n{END}{rest[0].split(END)[1]}")


def _rows(animator: Animator) -> dict[str, str]:
    config, (height, width) = animator.config, animator.canvas.size
    specs = {name: network.spec for name, network in animator.networks().items()}
    count = P.count(specs)
    # Texts are no networks; the largest stands first.
    sizes = sorted((-P.count(spec), name) for name, spec in specs.items() if name != "context")
    parts = ", ".join(f"{name.replace('_', ' ')} {-size / 1e6:,.0f}" for size, name in sizes)
    if isinstance(animator, TokenAnimator):
        tokens = math.prod(animator.readers[0])
        readers = f"the cross-attention context: {tokens} tokens appended per picture"
    else:
        count_of = sum(grid is not None for grid in animator.readers), len(animator.readers)
        readers = "{} of {} self-attentions, as keys and values".format(*count_of)
    return {
        "motion": _MOTION[animator.pose_kind],
        "pictures (width x height)": f"{width} x {height}, {_FIT[animator.fit]}",
        "latents": " x ".join(str(n) for n in animator.latent_shape),
        "window, overlap (frames)": f"{config.window_length}, {config.window_overlap}",
        "steps, sampler": f"{config.num_steps}, {config.schedule.sampler.upper()}",
        "prediction": config.schedule.prediction_type.removesuffix("_prediction"),
        "guidance": " and ".join(f"{x:g}" for x in config.guidance_scale),
        "calibrated pictures are read by": readers,
        "routings (default first)": ", ".join(animator.routings),
        "they are encoded": "at every step" if animator.encodes_every_step else "once per clip",
        "one of them takes": f"{_picture_bytes(animator, specs) / 2**20:.3g} MiB",
        "parameters": f"{count / 1e6:,.0f} M: {parts}",
        "in bfloat16, float32": " and ".join(f"{n * count / 2**30:.1f} GiB" for n in (2, 4)),
    }


def _picture_bytes(animator: Animator, specs: Params) -> int:
    """Return the memory of what is kept of one calibrated picture, in bfloat16."""
    image, mask = np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), bool)
    half = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), specs)

    def encode(params):
        reading = animator.read_reference(params, image, mask)
        picture = jnp.asarray(animator.read_pictures(image, mask)[None] / np.float32(255))
        kept = animator.encode_pictures(params, picture)
        at_every_step = animator.encodes_every_step
        return kept if at_every_step else animator.features(params, reading, kept, 0.0)

    return P.num_bytes(jax.eval_shape(encode, half))


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except UserError as error:
        sys.exit(f"models_table: {error}")
