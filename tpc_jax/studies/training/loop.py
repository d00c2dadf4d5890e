"""One resumable stage of training: optimiser, averaged parameters, checkpoints, loss curve."""

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
import optax.contrib
import orbax.checkpoint as ocp
from tqdm import tqdm

from tpc_jax.model.params import Params
from tpc_jax.studies.training.config import StageConfig

LossFunction = Callable[[Params, Any, jax.Array], jax.Array]


class TrainState(NamedTuple):
    """What a checkpoint of a running stage holds.

    Attributes:
        params: Current parameters.
        ema: Averaged parameters.
        optimizer: State of the optimiser.
    """

    params: Params
    ema: Params
    optimizer: optax.OptState


def make_optimizer(stage: StageConfig) -> optax.GradientTransformation:
    """Return AdamW, or Muon for all kernels and Adam for the rest, with clipped gradients."""
    rate = _schedule(stage.learning_rate, stage.steps)
    if stage.matrix_learning_rate is None:
        rule = optax.adamw(rate, b1=0.9, b2=0.99, weight_decay=1e-2)
    else:
        matrix_rate = _schedule(stage.matrix_learning_rate, stage.steps)
        rule = optax.contrib.muon(
            matrix_rate, adam_learning_rate=rate, muon_weight_dimension_numbers=_kernels
        )
    return optax.chain(optax.clip_by_global_norm(1.0), rule)


def _kernels(params: optax.Params):
    """Say which arrays are matrices from inputs to outputs; those of convolutions are flattened."""

    def axes(array):
        inputs = {2: (0,), 4: (0, 1, 2)}.get(array.ndim)
        return inputs and optax.contrib.MuonDimensionNumbers(inputs, (array.ndim - 1,))

    return jax.tree.map(axes, params)


def _schedule(peak: float, steps: int) -> optax.Schedule:
    """Return a warm-up, constant, decay schedule."""
    warmup, decay = max(1, steps // 50), max(1, (3 * steps) // 10)
    return optax.join_schedules(
        [
            optax.linear_schedule(0.0, peak, warmup),
            optax.constant_schedule(peak),
            optax.cosine_decay_schedule(peak, decay),
        ],
        [warmup, steps - decay],
    )


def run_stage(
    name: str,
    directory: Path,
    stage: StageConfig,
    params: Params,
    loss_function: LossFunction,
    batches: Callable[[int], Iterator[Any]],
    save_every: int,
) -> Params:
    """Train until `stage.steps`, going on from the newest checkpoint in `directory`.

    Args:
        name: Shown by the progress bar.
        directory: Where checkpoints and `loss.csv` go.
        stage: Length, rate and seed.
        params: Parameters to start from.
        loss_function: Loss of (params, batch, key).
        batches: Batches from a given step on.
        save_every: Steps between checkpoints.

    Returns:
        The averaged parameters.
    """
    directory.mkdir(parents=True, exist_ok=True)
    optimizer = make_optimizer(stage)
    # A copy: the step donates its state, and both trees would share buffers.
    state = TrainState(params, jax.tree.map(jnp.copy, params), optimizer.init(params))
    options = ocp.CheckpointManagerOptions(max_to_keep=2)
    with ocp.CheckpointManager(directory.absolute() / "checkpoints", options=options) as manager:
        start = manager.latest_step() or 0
        if start:
            state = manager.restore(start, args=ocp.args.StandardRestore(state))
        if start < stage.steps:
            step_function = _make_step(optimizer, stage, loss_function)
            state = _run(
                name, directory, stage, state, step_function, batches, manager, start, save_every
            )
    return state.ema


def _make_step(optimizer, stage: StageConfig, loss_function: LossFunction):
    key = jax.random.key(stage.seed)

    def step_function(state: TrainState, batch, step):
        loss, gradient = jax.value_and_grad(loss_function)(
            state.params, batch, jax.random.fold_in(key, step)
        )
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        # Optax gives back what it took, which its types do not say.
        params = cast(Params, optax.apply_updates(state.params, updates))
        # The average starts short, so that early checkpoints are not mostly initial values.
        decay = jnp.minimum(stage.ema_decay, (1.0 + step) / (10.0 + step))
        ema = cast(Params, optax.incremental_update(params, state.ema, 1.0 - decay))
        return TrainState(params, ema, optimizer_state), loss

    return jax.jit(step_function, donate_argnums=0)


def _run(name, directory, stage, state, step_function, batches, manager, start, save_every):
    rows, began = [], time.perf_counter()
    stream = batches(start)
    with tqdm(total=stage.steps, initial=start, desc=name, mininterval=5) as bar:
        for step in range(start, stage.steps):
            state, loss = step_function(state, next(stream), jnp.int32(step))
            rows.append((step + 1, float(loss), round(time.perf_counter() - began, 2)))
            bar.set_postfix(loss=f"{rows[-1][1]:.4f}", refresh=False)
            bar.update()
            if (step + 1) % save_every == 0 or step + 1 == stage.steps:
                manager.save(step + 1, args=ocp.args.StandardSave(state))
                manager.wait_until_finished()
                _append_losses(directory / "loss.csv", rows, start)
                rows = []
    return state


def _append_losses(path: Path, rows: list[tuple], start: int) -> None:
    """Append to the loss curve; rows of a run that was cut off after its checkpoint go first."""
    kept = []
    if path.exists():
        with path.open(newline="") as file:
            kept = [row for row in list(csv.reader(file))[1:] if int(row[0]) < rows[0][0]]
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("step", "loss", "seconds_since_start"))
        writer.writerows(kept)
        writer.writerows(rows)
    partial.replace(path)
