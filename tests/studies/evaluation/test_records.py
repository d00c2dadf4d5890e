import json

import numpy as np
import pytest

from tpc_jax.errors import UserError
from tpc_jax.studies.evaluation.records import open_records, params_digest

STUDY = {"model": "abc", "steps": 2, "guidance_scale": (2.0, 3.5)}


def fill(path, count, study=STUDY):
    with open_records(path, study) as records:
        for index in range(len(records.rows), count):
            records.add("s", f"{index}", "none", {"scores": {"psnr": 1.5 * index}})
        return dict(records.rows)


def test_results_are_found_again(tmp_path):
    path = tmp_path / "deep" / "r.jsonl"
    rows = fill(path, 3)
    assert rows["s", "2", "none"]["scores"] == {"psnr": 3.0}
    assert fill(path, 3) == rows
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_off_is_measured_again(tmp_path, cut):
    path = tmp_path / "r.jsonl"
    rows = fill(path, 3)
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    path.write_bytes(whole[: -min(cut, last)])
    with open_records(path, STUDY) as records:
        assert records.rows.keys() == {("s", "0", "none"), ("s", "1", "none")}
    assert fill(path, 3) == rows
    assert path.read_bytes() == whole


def test_a_cut_off_header_starts_anew(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"study":{"mod')
    assert len(fill(path, 2)) == 2
    assert json.loads(path.read_text().splitlines()[0]) == {
        "study": {**STUDY, "guidance_scale": [2.0, 3.5]}
    }


def test_nothing_is_counted_twice(tmp_path):
    path = tmp_path / "r.jsonl"
    fill(path, 1)
    with open_records(path, STUDY) as records:
        with pytest.raises(ValueError, match="already"):
            records.add("s", "0", "none", {"scores": {}})
        with pytest.raises(ValueError, match="JSON compliant"):
            records.add("s", "1", "none", {"scores": {"psnr": float("nan")}})
    assert len(path.read_text().splitlines()) == 2
    with path.open("a") as file:
        file.write(path.read_text().splitlines()[1] + "\n")
    with pytest.raises(UserError, match="holds a clip twice"):
        fill(path, 1)


def test_another_study_is_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    fill(path, 1)
    with pytest.raises(UserError, match=r"r\.jsonl: holds results of another study \(steps"):
        fill(path, 2, {**STUDY, "steps": 3})
    path.write_text("[1]\n")
    with pytest.raises(UserError, match="line 1 is damaged"):
        fill(path, 1)
    path.write_text(json.dumps({"study": STUDY}) + '\n{"split": "s"}\n')
    with pytest.raises(UserError, match="a line lacks 'pair'"):
        fill(path, 1)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        fill(tmp_path / "file" / "r.jsonl", 1)


def test_one_run_writes_at_a_time(tmp_path):
    """The lock belongs to the opened file, so that one process can stand for two."""
    path = tmp_path / "r.jsonl"
    with open_records(path, STUDY):
        with pytest.raises(UserError, match="another evaluation is writing it"):
            fill(path, 1)
    assert len(fill(path, 1)) == 1


def test_a_digest_tells_parameters_apart():
    assert params_digest({"w": np.ones(3)}) == params_digest({"w": np.ones(3)})
    assert params_digest({"w": np.ones(3)}) != params_digest({"w": np.zeros(3)})
