"""What the commands have in common: reading inputs and settings, showing progress."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

from tpc_jax.commands.options import GivenInputs, ModelChoice
from tpc_jax.errors import UserError


def read_inputs(inputs: GivenInputs):
    """Read the reference and the motion.

    Raises:
        UserError: They are not given, or a file cannot be read or does not fit.
    """
    from tpc_jax.pose.reading import read_motion, read_reference

    if inputs.reference is None or inputs.driving is None:
        raise UserError("a reference and a motion are needed; give --reference and --driving")
    reference = read_reference(inputs.reference, inputs.reference_keypoints, inputs.reference_mask)
    motion = read_motion(
        inputs.driving,
        kind=inputs.driving_kind,
        keypoints_path=inputs.driving_keypoints,
        masks_path=inputs.target_masks,
        uv_path=inputs.driving_uv,
    )
    return reference, motion


def load_model(choice: ModelChoice):
    """Load the model that was chosen."""
    from tpc_jax.animators.load import load

    dtype = choose_dtype(choice.dtype)
    return load(choice.model, dtype, prompt=choice.prompt, size=parse_size(choice.size))


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
def step_bar(name: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show a bar; yields the function to call after each step."""
    with tqdm(total=total, desc=name, unit="step") as bar:
        yield lambda step: bar.update()
