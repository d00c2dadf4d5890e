"""What the commands have in common: reading inputs and settings, showing progress."""

import contextlib
import json
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from tpc_jax.commands.options import Fit, Inputs
from tpc_jax.errors import UserError


def read_settings(path: Path) -> dict:
    """Read a TOML or JSON file of settings.

    Raises:
        UserError: The file is missing or malformed.
    """
    try:
        text = path.read_text()
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError:
        raise UserError(f"{path}: cannot be read; check the path") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}; mend the file") from error


def read_inputs(inputs: Inputs):
    """Read the reference and the motion."""
    from tpc_jax.animate import load_reference
    from tpc_jax.pose.reading import read_driving

    reference = load_reference(inputs.reference, inputs.reference_keypoints, inputs.reference_mask)
    driving = read_driving(
        inputs.driving,
        kind=inputs.driving_kind,
        keypoints_path=inputs.driving_keypoints,
        masks_path=inputs.target_masks,
        uv_path=inputs.driving_uv,
    )
    return reference, driving


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read WIDTHxHEIGHT as (height, width).

    Raises:
        UserError: It is written otherwise.
    """
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UserError(f"--size must be WIDTHxHEIGHT, such as 512x784, got {text}")
    return int(height), int(width)


def choose_dtype(name: str) -> str:
    """Return the type to compute in; "auto" takes bfloat16 on accelerators."""
    import jax

    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def fit_clip(reference, driving, fit: Fit):
    """Calibrate the reference to every frame of the motion."""
    from tpc_jax.animate import calibrate_clip

    return calibrate_clip(
        reference, driving, method=fit.method, model=fit.transform, smooth_sigma=fit.smooth
    )


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Say what goes on and how long it took."""
    print(f"{name} ...", end="", file=sys.stderr, flush=True)
    began = time.perf_counter()
    try:
        yield
    except BaseException:
        print(file=sys.stderr)
        raise
    print(f" {time.perf_counter() - began:.1f} s", file=sys.stderr)


@contextlib.contextmanager
def step_bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar; yields the function to call after each step."""
    with tqdm(total=total, desc=name, unit="step") as bar:
        yield lambda step: bar.update()
