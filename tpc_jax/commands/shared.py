"""What the commands have in common: reading inputs and settings, showing progress."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

from tpc_jax.commands.options import GivenInputs, ModelChoice
from tpc_jax.errors import UserError


def read_inputs(inputs: GivenInputs):
    """Read the reference and the motion, and leave in it those who move the reference.

    Raises:
        UserError: They are not given, a file cannot be read or does not fit, or a person is named
            who is not there.
    """
    from tpc_jax.pose.cast import choose_people
    from tpc_jax.pose.reading import read_motion, read_reference

    if inputs.reference is None or inputs.driving is None:
        raise UserError("a reference and a motion are needed; give --reference and --driving")
    reference = read_reference(
        inputs.reference, inputs.reference_keypoints, inputs.reference_mask, inputs.reference_parts
    )
    motion = read_motion(
        inputs.driving,
        kind=inputs.driving_kind,
        keypoints_path=inputs.driving_keypoints,
        masks_path=inputs.target_masks,
        uv_path=inputs.driving_uv,
        fps=inputs.fps,
    )
    return reference, choose_people(reference, motion, inputs.person)


def show_people(motion) -> None:
    """Print who moves whom, if there is more than one person on either side."""
    from tpc_jax.report.calibration import who_is_who

    rows = who_is_who(motion)
    if len(rows) < 2:
        return
    print(f"{'reference':>9}{'motion':>8}{'frames':>8}{'confidence':>12}{'size':>7}")
    for row in rows:
        texts = ["-" if row[name] is None else str(row[name]) for name in ("reference", "motion")]
        print(f"{texts[0]:>9}{texts[1]:>8}{row['num_frames']:>8}", end="")
        is_seen = row["num_frames"] > 0
        print(f"{row['confidence']:>12.2f}{row['size']:>7.0%}" if is_seen else f"{'-':>12}{'-':>7}")
    if any(row["reference"] is None for row in rows):
        print("people of the motion without a reference are left out; --person chooses others")


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
