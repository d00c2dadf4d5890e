"""Convert MagicAnimate at its real size and denoise once: `python scripts/fullsize.py`.

Random weights are written in the published layout (about 11 GB) and converted by the command; one
step is run on 4 frames of 256x256 pixels with one person. Every stage prints its time and memory.
"""

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GIB, FRAMES, SIDE = 2**30, 4, 256
DOWNLOADS = ("sd15", "vae", "magicanimate")


def main() -> None:
    """Run one stage, or all of them in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to work; about 22 GB must be free")
    parser.add_argument("--dtype", default="float32", help="type of storage and of the step")
    parser.add_argument("--stage", choices=["all", "write", "denoise"], default="all")
    options = parser.parse_args()
    if options.stage == "write":
        write(options.folder)
    elif options.stage == "denoise":
        denoise(options.folder / "model", options.dtype)
    else:
        run_all(options.folder, options.dtype)


def run_all(parent: Path | None, dtype: str) -> None:
    """Write, convert and denoise, and check the limits; nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix="fullsize-", dir=parent) as made:
        folder = Path(made)
        own = [sys.executable, __file__, "--folder", folder, "--dtype", dtype, "--stage"]
        inputs = [part for name in DOWNLOADS for part in (f"--{name}", folder / name)]
        convert = [sys.executable, "-m", "convert", "magicanimate", *inputs]
        measure("write", [*own, "write"])
        largest = max(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        seconds, peak = measure("convert", [*convert, "--out", folder / "model", "--dtype", dtype])
        print(f"convert: peak {peak / largest:.2f} times the largest file (limit 1.3)")
        for name in DOWNLOADS:
            shutil.rmtree(folder / name)
        _, step_peak = measure("denoise", [*own, "denoise"])
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


def write(folder: Path) -> None:
    """Write random weights as they are published."""
    import _published

    for network in _published.published(_published.Sizes()):
        _published.write(folder, network)


def denoise(model: Path, dtype: str) -> None:
    """Run one step with guidance and TPC, and check the result."""
    import numpy as np

    from tpc_jax.animators import clip as C
    from tpc_jax.animators.load import load_animator

    animator, params = load_animator(model, dtype)
    config = dataclasses.replace(animator.config, image_size=SIDE)
    animator = dataclasses.replace(animator, config=config)
    rng = np.random.default_rng(0)

    images = rng.integers(0, 256, (1, FRAMES, SIDE, SIDE, 3), np.uint8)
    masks = images[..., 0]
    clip = C.CanvasClip(images[0, 0], images[0], None, masks[:, 0], images, masks, masks)
    options = C.AnimateOptions(routing="masked", steps=1)
    conditions = C.encode_clip(animator, params, clip, options)
    start = C.start_latents(animator, FRAMES, options)
    for latents in C.sample_clip(animator, params, conditions, options, start):
        values = np.asarray(latents, np.float32)
    print(f"latents {values.shape}, standard deviation {values.std():.3f}")
    if not np.isfinite(values).all():
        sys.exit("the step made numbers that are not finite")


if __name__ == "__main__":
    main()
