"""One table of the animators side by side, from their presets."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tpc_jax.animators.encoding import encode_pictures
from tpc_jax.animators.interface import Animator
from tpc_jax.animators.load import EMBEDDED, SYSTEMS
from tpc_jax.animators.tokens import TokenAnimator
from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path
from tpc_jax.model import params as P
from tpc_jax.model.params import Network, Params

BEGIN, END = "<!-- begin of the table -->", "<!-- end of the table -->"

_MOTION = {
    "house": "part maps or skeleton in house colours",
    "densepose": "DensePose rendering",
    "dwpose": "DWPose skeleton",
    "openpose": "OpenPose skeleton",
    "uv": "DensePose coordinates",
}
_FIT = {"letterbox": "aspect kept, bars", "crop": "central piece", "stretch": "stretched"}


def models_table() -> str:
    """Return the table of all animators but the embedded one, in Markdown."""
    columns = []
    for name, (make_config, make_animator, networks) in SYSTEMS.items():
        if name != EMBEDDED:
            config = make_config()
            rows = _rows(make_animator(config), networks(config))
            columns.append({"": f"[{name}]({name}.md)", **rows})
    lines = [[key, *(column[key] for column in columns)] for key in columns[0]]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_table(path: Path) -> None:
    """Put the table between its marks in a Markdown file.

    Raises:
        UserError: The file is missing or has no marks.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    parts = text.split(BEGIN)
    if len(parts) != 2 or parts[1].count(END) != 1:
        raise UserError(f"{path}: must hold {BEGIN} and {END} once each")
    with atomic_path(path) as partial:
        partial.write_text(f"{parts[0]}{BEGIN}\n{models_table()}\n{END}{parts[1].split(END)[1]}")


def _rows(animator: Animator, networks: dict[str, Network]) -> dict[str, str]:
    height, width = animator.image_size
    scales = animator.guidance_scale
    scales = scales if isinstance(scales, tuple) else (scales,)
    specs = {name: network.spec for name, network in networks.items()}
    count = P.count(specs)
    return {
        "motion": _MOTION[animator.pose_kind],
        "pictures (width x height)": f"{width} x {height}, {_FIT[animator.fit]}",
        "latents": " x ".join(str(n) for n in animator.latent_shape),
        "window, overlap (frames)": f"{animator.window_length}, {animator.window_overlap}",
        "steps, sampler": f"{animator.num_steps}, {animator.schedule.sampler.upper()}",
        "prediction": animator.schedule.prediction_type.removesuffix("_prediction"),
        "guidance": " and ".join(f"{scale:g}" for scale in scales),
        "calibrated pictures are read by": _attachment(animator),
        "routings (default first)": ", ".join(animator.routings),
        "they are encoded": "at every step" if animator.features_depend_on_t else "once per clip",
        "one of them takes": f"{_picture_bytes(animator, specs) / 2**20:.3g} MiB",
        "parameters": f"{count / 1e6:,.0f} M: " + ", ".join(_parameters(specs)),
        "in bfloat16, float32": " and ".join(f"{n * count / 2**30:.1f} GiB" for n in (2, 4)),
    }


def _attachment(animator: Animator) -> str:
    if isinstance(animator, TokenAnimator):
        tokens = math.prod(animator.token_grids[0])
        return f"the cross-attention context: {tokens} tokens appended per picture"
    return f"{sum(animator.reads)} of {len(animator.reads)} self-attentions, as keys and values"


def _parameters(specs: Params) -> list[str]:
    """Say how many parameters each network has, the largest first; texts are not networks."""
    counts = {name: P.count(spec) for name, spec in specs.items() if name != "context"}
    order = sorted(counts, key=counts.__getitem__, reverse=True)
    return [f"{name.replace('_', ' ')} {counts[name] / 1e6:,.0f}" for name in order]


def _picture_bytes(animator: Animator, specs: Params) -> int:
    """Return the memory of what is kept of one calibrated picture, in bfloat16."""
    image, mask = np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), bool)
    half = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), specs)
    picture = jax.ShapeDtypeStruct((1, *animator.picture_size, 3), jnp.float32)

    def encode(params, pixels):
        params = animator.with_reference(params, image, mask)
        return encode_pictures(animator, params, pixels, not animator.features_depend_on_t)

    return P.num_bytes(jax.eval_shape(encode, half, picture))
