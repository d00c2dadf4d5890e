import csv
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tpc_jax.studies.training.config import StageConfig
from tpc_jax.studies.training.loop import make_optimizer, run_stage

STAGE = StageConfig(steps=11, clips=1, frames=1, learning_rate=0.05, ema_decay=0.5, seed=3)
MUON = dataclasses.replace(STAGE, matrix_learning_rate=0.02)


def start():
    return {"w": jnp.arange(6.0).reshape(2, 3), "b": {0: jnp.ones(3)}}


def loss_function(params, batch, key):
    """A regression whose loss is noisy, so that a wrong key or batch would show."""
    x, y = batch
    noise = 0.1 * jax.random.normal(key, y.shape)
    return jnp.mean((x @ params["w"] + params["b"][0] - y + noise) ** 2)


def make_batch(step):
    rng = np.random.default_rng(step)
    return tuple(rng.normal(size=(4, n)).astype(np.float32) for n in (2, 3))


def batches(first):
    while True:
        yield make_batch(first)
        first += 1


def train(folder, stage=STAGE, batches=batches, save_every=4):
    return run_stage("test", folder, stage, start(), loss_function, batches, save_every)


def curve(folder):
    with (folder / "loss.csv").open(newline="") as file:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]


def interrupted_at(stop):
    def some(first):
        for step in range(first, stop):
            yield make_batch(step)
        raise KeyboardInterrupt

    return some


@pytest.fixture(scope="module", params=[STAGE, MUON], ids=["adamw", "muon"])
def whole(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder, request.param), request.param


@pytest.mark.parametrize("stops", [(6,), (4,), (2, 9, 10)])
def test_a_stopped_stage_goes_on_as_if_nothing_had_happened(tmp_path, whole, stops):
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, whole[2], batches=interrupted_at(stop))
    ema = train(tmp_path, whole[2])
    jax.tree.map(np.testing.assert_array_equal, ema, whole[1])
    # Every step once, whichever runs it was cut off in.
    assert curve(tmp_path) == curve(whole[0])
    assert [step for step, _ in curve(tmp_path)] == list(range(1, STAGE.steps + 1))


def test_a_finished_stage_is_not_run_again(tmp_path, whole):
    folder, ema, stage = whole

    def forbidden(first):
        raise AssertionError("no batch is needed")

    jax.tree.map(np.testing.assert_array_equal, train(folder, stage, batches=forbidden), ema)


def test_training_lowers_the_loss(tmp_path):
    train(tmp_path, dataclasses.replace(STAGE, steps=60), save_every=60)
    losses = [loss for _, loss in curve(tmp_path)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_the_average_is_that_of_the_visited_parameters(tmp_path):
    """Written out by hand with the same optimiser."""
    params, optimizer = start(), make_optimizer(STAGE)
    state, ema = optimizer.init(params), start()
    slope, update = jax.jit(jax.grad(loss_function)), jax.jit(optimizer.update)
    for step in range(STAGE.steps):
        key = jax.random.fold_in(jax.random.key(STAGE.seed), step)
        updates, state = update(slope(params, make_batch(step), key), state, params)
        params = optax.apply_updates(params, updates)
        decay = min(STAGE.ema_decay, (1 + step) / (10 + step))
        ema = jax.tree.map(lambda e, p, d=decay: d * e + (1 - d) * p, ema, params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), train(tmp_path), ema
    )


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    stage = dataclasses.replace(STAGE, steps=100, learning_rate=0.25)
    optimizer = make_optimizer(stage)
    # A constant gradient makes Adam's update the learning rate itself, but for weight decay.
    params = {"w": jnp.zeros(1)}
    state, rates, update = optimizer.init(params), [], jax.jit(optimizer.update)
    for _ in range(100):
        updates, state = update({"w": jnp.full(1, 0.1)}, state, params)
        rates.append(-float(updates["w"][0]))
    rates = np.array(rates)
    np.testing.assert_allclose(rates[:3], [0.0, 0.125, 0.25], atol=1e-4)
    np.testing.assert_allclose(rates[3:70], 0.25, atol=1e-4)
    assert (np.diff(rates[70:]) < 0).all()
    assert rates[-1] < 0.002


def test_muon_moves_all_directions_of_a_matrix_alike():
    """Its update is near a multiple of an orthogonal matrix, whatever the gradient's spectrum."""
    params = {"w": jnp.zeros((2, 3)), "b": jnp.zeros(3)}
    optimizer = make_optimizer(dataclasses.replace(MUON, steps=100))
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    gradient = {"w": jnp.array([[1.0, 0.0, 0.0], [0.0, 0.05, 0.0]]), "b": jnp.array([1.0, 0, 0])}
    for _ in range(3):
        updates, state = update(gradient, state, params)
    w = -np.asarray(updates["w"]) / MUON.matrix_learning_rate
    assert 0.6 < w[1, 1] / w[0, 0] < 1.7
    np.testing.assert_allclose(np.delete(w.ravel(), [0, 4]), 0.0, atol=1e-6)
    np.testing.assert_allclose(updates["b"], [-STAGE.learning_rate, 0, 0], rtol=0.1, atol=1e-6)


def test_gradients_are_clipped():
    optimizer = make_optimizer(STAGE)
    params, updates, step = {"w": jnp.zeros(2)}, [], jax.jit(optimizer.update)
    for scale in (1e1, 1e6):
        state = optimizer.init(params)
        for _ in range(2):
            update, state = step({"w": jnp.array([3.0, 4.0]) * scale}, state, params)
        updates.append(update["w"])
    np.testing.assert_allclose(*updates, rtol=1e-5)
