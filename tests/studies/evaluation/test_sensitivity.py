import csv
import dataclasses

import numpy as np
import pytest
from small_models import small_model

from tpc_jax.errors import UserError
from tpc_jax.studies.evaluation import sensitivity
from tpc_jax.studies.evaluation.sensitivity import (
    SCORES,
    Condition,
    StudyOptions,
    read_results,
    run_one,
    run_study,
    study_conditions,
    study_label,
)
from tpc_jax.studies.evaluation.summary import sections

OPTIONS = StudyOptions(num_clips=2, num_frames=5, steps=2)
ANIMATOR = small_model()[0]
CONDITIONS = [Condition(rotation=60.0), Condition(rotation=60.0, routing="composite")]


def rows_of(results):
    return [(row["condition"], int(row["clip"])) for row in read_results(results)]


@pytest.fixture
def counted(monkeypatch):
    """Replace animation by scores that tell clip and condition; return the list of calls."""
    calls = []

    def fake(animator, params, condition, clip, options):
        calls.append((condition.name, clip))
        return dict.fromkeys(SCORES, 10.0 * condition.rotation + clip)

    monkeypatch.setattr(sensitivity, "run_one", fake)
    return calls


def test_every_condition_has_a_name_of_its_own_and_appears_once():
    conditions = study_conditions()
    assert len({c.name for c in conditions}) == len(conditions) == len(set(conditions))


def test_the_page_shows_exactly_the_conditions_of_the_study():
    rows = [row for section in sections().values() for row in section]
    needed = {r.condition for r in rows} | {r.bound for r in rows if r.bound is not None}
    # What is won back is held against the same misalignment without calibration.
    needed |= {
        Condition(r.condition.rotation, r.condition.scale, pose=r.condition.pose)
        for r in rows
        if r.bound is not None
    }
    assert needed == set(study_conditions())


def test_a_stopped_study_goes_on_where_it_was(tmp_path, counted):
    results, ticks = tmp_path / "deep" / "results.csv", []

    def stop_after_three():
        ticks.append(None)
        if len(ticks) == 3:
            raise KeyboardInterrupt

    study = (*small_model(), results, OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        run_study(*study, conditions=CONDITIONS, progress=stop_after_three)
    assert len(rows_of(results)) == 3
    run_study(*study, conditions=CONDITIONS, progress=lambda: ticks.append(None))
    # Skipped clips advance the progress bar too.
    assert len(ticks) == 3 + 4
    assert len(counted) == 4
    expected = [(c.name, clip) for c in CONDITIONS for clip in range(2)]
    assert rows_of(results) == expected
    run_study(*study, conditions=CONDITIONS)
    assert rows_of(results) == expected


def test_results_of_another_model_or_other_options_are_not_mixed(tmp_path, counted):
    results, params = tmp_path / "results.csv", {"w": np.ones(3)}
    run_study(ANIMATOR, params, results, OPTIONS, conditions=CONDITIONS)
    text = results.read_text()
    for other, options in (
        ({"w": np.zeros(3)}, OPTIONS),
        (params, dataclasses.replace(OPTIONS, steps=3)),
        (params, dataclasses.replace(OPTIONS, seed=1)),
    ):
        with pytest.raises(UserError, match=r"results\.csv: holds results of another study"):
            run_study(ANIMATOR, other, results, options, conditions=CONDITIONS)
    assert results.read_text() == text
    # More clips are no other study.
    run_study(
        ANIMATOR, params, results, dataclasses.replace(OPTIONS, num_clips=3), conditions=CONDITIONS
    )
    assert len(rows_of(results)) == 6


def test_a_label_names_model_and_options():
    label = study_label({"w": np.ones(3)}, OPTIONS)
    assert label.endswith("5 frames, 2 steps, seed 0")
    assert label == study_label({"w": np.ones(3)}, OPTIONS)


def test_files_that_are_no_results(tmp_path):
    assert read_results(tmp_path / "missing.csv") == []
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no results file"):
        read_results(tmp_path / "other.csv")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        run_study(ANIMATOR, {}, tmp_path / "file" / "results.csv", OPTIONS, conditions=[])


def test_real_scores(tmp_path):
    animator, params = small_model()
    run_study(animator, params, tmp_path / "r.csv", OPTIONS, conditions=CONDITIONS)
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = np.array([[float(row[name]) for name in SCORES] for row in rows])
    assert np.isfinite(values).all()
    plain, calibrated = values[:2], values[2:]
    iou = SCORES.index("person_iou")
    assert (calibrated[:, iou] > plain[:, iou] + 0.1).all()
    assert (np.abs(calibrated[:, :3] - plain[:, :3]) > 1e-4).all()
    again = run_one(animator, params, CONDITIONS[1], 1, OPTIONS)
    np.testing.assert_allclose([again[name] for name in SCORES], calibrated[1], atol=1e-5)
