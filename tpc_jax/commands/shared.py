"""What the commands have in common: reading inputs and settings, showing progress."""

import contextlib
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from tpc_jax.commands.options import Inputs, ModelChoice
from tpc_jax.errors import UserError

# The picture and the motion, each with what else may be given or prepared about it.
_REFERENCE = ("reference", "reference_keypoints", "reference_mask", "reference_parts")
_DRIVING = (
    *("driving", "driving_keypoints", "driving_parts", "target_masks"),
    *("driving_kind", "fps"),
)


def read_inputs(inputs: Inputs, *, needs_people: bool = True):
    """Read the reference and the motion, and leave in it those who move the reference.

    Args:
        inputs: What was given.
        needs_people: Whether people of the reference are looked for where no keypoints are given.

    Raises:
        UserError: They are not given, a file cannot be read or does not fit, nobody is found, or a
            person is named who is not there.
    """
    from tpc_jax.pose.cast import choose_people

    reference, motion = read_everybody(inputs, needs_people=needs_people)
    return reference, choose_people(reference, motion, inputs.person)


def read_everybody(inputs: Inputs, *, needs_people: bool = True):
    """Read the reference and the motion with everybody in it.

    Args:
        inputs: As for `read_inputs`.
        needs_people: As there.

    Raises:
        UserError: As there.
    """
    from tpc_jax.pose.reading import read_motion, read_reference

    is_followed = False
    if inputs.prepared is not None:
        inputs, is_followed = _with_prepared(inputs, inputs.prepared)
    if inputs.reference is None or inputs.driving is None:
        raise UserError(
            "a reference and a motion are needed; give --reference and --driving, or --prepared"
        )
    finder = functools.partial(_find_people, inputs)
    reference = read_reference(
        inputs.reference,
        inputs.reference_keypoints,
        inputs.reference_mask,
        inputs.reference_parts,
        finder if needs_people else None,
    )
    motion = read_motion(
        inputs.driving,
        kind=inputs.driving_kind,
        keypoints_path=inputs.driving_keypoints,
        masks_path=inputs.target_masks,
        uv_path=inputs.driving_uv,
        parts_path=inputs.driving_parts,
        fps=inputs.fps,
        find_people=finder,
    )
    return reference, motion._replace(is_followed=is_followed or motion.is_followed)


def _with_prepared(inputs: Inputs, folder: Path) -> tuple[Inputs, bool]:
    """Fill in what a prepared folder holds; what is given wins.

    Returns:
        The inputs, and whether the folder's keypoints are among them and of people who were
        followed.
    """
    from tpc_jax.report.prepared import read_prepared

    prepared = read_prepared(folder)
    found = prepared.files | {"driving_kind": prepared.kind, "fps": prepared.fps}
    for names in (_REFERENCE, _DRIVING):
        # Of another picture or motion nothing counts that was found in this one.
        if getattr(inputs, names[0]) is None:
            missing = [name for name in names if getattr(inputs, name) in (None, "auto")]
            inputs = dataclasses.replace(inputs, **{name: found.get(name) for name in missing})
    keypoints = inputs.driving_keypoints
    is_ours = keypoints is not None and keypoints == found.get("driving_keypoints")
    return inputs, is_ours and prepared.is_followed


def _find_people(inputs: Inputs, frames):
    """Find people by the detector that was chosen, and show how far it is."""
    with step_bar("finding people", len(frames), "frame") as update:
        return _open_finder(inputs, update)(frames)


def _open_finder(inputs: Inputs, progress: Callable[[int], object]):
    from tpc_jax.detect.finders import find_with_blazepose, find_with_wholebody
    from tpc_jax.detect.models import open_pose_model
    from tpc_jax.detect.wholebody import open_wholebody

    if inputs.person_model is not None and inputs.pose_model is not None:
        return find_with_wholebody(open_wholebody(inputs.person_model, inputs.pose_model), progress)
    return find_with_blazepose(open_pose_model(inputs.pose_model), progress)


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
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.perf_counter()
    yield
    print(f"{name} took {time.perf_counter() - began:.1f} s", file=sys.stderr)


@contextlib.contextmanager
def step_bar(name: str, total: int, unit: str = "step") -> Iterator[Callable[[int], object]]:
    """Show a bar; yields the function to call after each step."""
    with tqdm(total=total, desc=name, unit=unit) as bar:
        yield lambda step: bar.update()
