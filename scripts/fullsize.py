"""Convert a model at its real size and denoise once: `python scripts/fullsize.py --model NAME`.

Random weights are written in the published layout (about 11 GB), converted by the command, and one
step is run on 4 frames (MagicAnimate and DisCo 256x256 pixels, AnimateAnyone 256x384; DreamPose 2
frames of 512x640) with one calibrated person. Every stage is a process of its own, of which time
and peak memory are printed.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _fullsize_models import MODELS

GIB = 2**30


def main() -> None:
    """Run one stage, or all of them in a temporary folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", choices=MODELS, default="magicanimate")
    parser.add_argument("--folder", type=Path, help="where to work; about 22 GB must be free")
    parser.add_argument("--dtype", default="float32", help="type of storage and of the step")
    parser.add_argument("--stage", choices=["all", "write", "denoise"], default="all")
    options = parser.parse_args()
    inputs, size = MODELS[options.model]
    # Imported where they are needed, so that each process holds its own libraries only.
    if options.stage == "write":
        from published import files

        model = importlib.import_module(f"published.{options.model}")
        for network in model.networks(files.Sizes()):
            files.write(options.folder, network)
    elif options.stage == "denoise":
        import _fullsize_step

        _fullsize_step.denoise(options.folder / "model", options.dtype, size)
    else:
        run_all(options.folder, options.dtype, options.model, inputs)


def run_all(parent: Path | None, dtype: str, model: str, files: dict[str, str]) -> None:
    """Write, convert and denoise, and check the limits; nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix="fullsize-", dir=parent) as made:
        folder = Path(made)
        own = [sys.executable, __file__, "--model", model, "--folder", folder, "--dtype", dtype]
        inputs = []
        for name, file in files.items():
            inputs += [f"--{name.replace('_', '-')}", folder / file]
        convert = [sys.executable, "-m", "convert", model, *inputs]
        measure("write", [*own, "--stage", "write"])
        largest = max(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        seconds, peak = measure("convert", [*convert, "--out", folder / "model", "--dtype", dtype])
        print(f"convert: peak {peak / largest:.2f} times the largest file (limit 1.3)")
        for part in {Path(file).parts[0] for file in files.values()}:
            shutil.rmtree(folder / part)
        _, step_peak = measure("denoise", [*own, "--stage", "denoise"])
    if seconds > 600 or peak > 1.3 * largest or step_peak > 20 * GIB:
        sys.exit("over a limit: 10 min and 1.3 files to convert, 20 GiB to denoise")


def measure(name: str, command: list) -> tuple[float, int]:
    """Run a process and print and return its seconds and its peak memory in bytes."""
    began = time.monotonic()
    process = subprocess.Popen([str(word) for word in command])
    _, status, usage = os.wait4(process.pid, 0)
    seconds, peak = time.monotonic() - began, usage.ru_maxrss * 1024
    print(f"{name}: {seconds:.0f} s, peak {peak / GIB:.2f} GiB", flush=True)
    if status:
        sys.exit(f"{name} failed")
    return seconds, peak


if __name__ == "__main__":
    main()
