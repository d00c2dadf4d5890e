"""From a training folder to a stored model with its card."""

import csv
import json
from pathlib import Path
from typing import Any

import jax

from tpc_jax._version import __version__
from tpc_jax.animators.tiny import TinyConfig
from tpc_jax.model import params as P
from tpc_jax.model.checkpoint import save_checkpoint, to_storage
from tpc_jax.model.params import Params
from tpc_jax.studies.training.config import TrainConfig

CARD_FILE = "MODEL_CARD.md"
_STAGES = ("vae", "images", "clips")


def export_model(
    out: Path, runs: Path, config: TrainConfig, model: TinyConfig, params: Params
) -> None:
    """Store a trained model in bfloat16 with its configuration, card and loss curves.

    Args:
        out: Folder to create.
        runs: Folder the training worked in.
        config: Settings of the training.
        model: The trained model's configuration.
        params: Its parameters.

    Raises:
        UserError: The folder exists or cannot be written.
    """
    card = model_card(runs, config, params)
    files = {CARD_FILE: card, "training.json": json.dumps(config.to_dict(), indent=2) + "\n"}
    for stage in _STAGES:
        files[f"loss_{stage}.csv"] = _thinned_curve(runs / stage / "loss.csv")
    save_checkpoint(out, {"animator": "tiny", **model.to_dict()}, to_storage(params), files)


def model_card(runs: Path, config: TrainConfig, params: Params) -> str:
    """Describe how the model was made, from what the training wrote down."""
    side, _ = config.model.image_size
    sizes = ", ".join(f"{name} {P.count(part):,}" for name, part in params.items())
    rows = [_stage_row(name, getattr(config, name), runs) for name in _STAGES]
    return f"""# tiny

A small reference-attention animator trained by tpc_jax {__version__} from nothing, on
people drawn by `tpc_jax.studies.people`. It shows that calibration works and lets everything run
out of the box. It knows drawn people only: real quality needs converted weights.

- Input: a reference picture and pose pictures (part maps or skeletons), {side} x {side} pixels.
- Parameters: {P.count(params):,} ({sizes}), stored in bfloat16.
- Objective: clean latents, cosine schedule with zero terminal signal, person weighted \
{config.foreground_weight:g}:1;
  {config.pure_noise_share:.0%} of windows at pure noise.
- Data: reference and targets from the same clip, hence aligned in scale and rotation; \
{config.part_map_share:.0%} of people driven by part maps, the others by skeletons; the reference is
  hidden for {config.unconditional_share:.0%} of people.
- Averaged parameters (EMA) of each stage are kept. Backend: {jax.default_backend()}.

| stage | steps | people x frames | Adam's rate | Muon's rate | seed | minutes | last loss |
|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Minutes count a stage's last uninterrupted run. Loss curves: `loss_*.csv` (means of 20 steps).
Settings: `training.json`. Remake it with `tpc-jax train --config training.json --out DIR`.

Licence: Apache-2.0, like the code. No third-party data or weights were used.
"""


def _stage_row(name: str, stage: Any, runs: Path) -> str:
    rows = _read_curve(runs / name / "loss.csv")
    last = sum(loss for _, loss, _ in rows[-100:]) / max(1, len(rows[-100:]))
    minutes = rows[-1][2] / 60 if rows else 0.0
    matrix_rate = stage.matrix_learning_rate
    return (
        f"| {name} | {stage.steps} | {stage.clips} x {stage.frames} | {stage.learning_rate:g} "
        f"| {'none' if matrix_rate is None else f'{matrix_rate:g}'} | {stage.seed} | {minutes:.0f} "
        f"| {last:.4f} |"
    )


def _read_curve(path: Path) -> list[tuple[int, float, float]]:
    with path.open(newline="") as file:
        return [(int(s), float(loss), float(t)) for s, loss, t in list(csv.reader(file))[1:]]


def _thinned_curve(path: Path, every: int = 20) -> str:
    rows = _read_curve(path)
    lines = ["step,loss"]
    for start in range(0, len(rows), every):
        chunk = rows[start : start + every]
        lines.append(f"{chunk[-1][0]},{sum(loss for _, loss, _ in chunk) / len(chunk):.5f}")
    return "\n".join(lines) + "\n"
