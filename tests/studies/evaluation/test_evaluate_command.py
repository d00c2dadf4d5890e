"""The command from manifests to tables and page, and after a kill in the middle."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import jax
import numpy as np
import pytest
from small_models import random_like, small_model

from tpc_jax import cli
from tpc_jax.animators.load import load
from tpc_jax.calibrated_clip import calibrate_clip
from tpc_jax.errors import UserError
from tpc_jax.metrics.networks import feature_network
from tpc_jax.metrics.networks.store import NETWORK, stored_config
from tpc_jax.model.checkpoint import save_checkpoint
from tpc_jax.options import Options
from tpc_jax.pose.reading import no_people
from tpc_jax.studies.datasets import open_dataset, read_split, write_split
from tpc_jax.studies.datasets.make_split import make_split
from tpc_jax.studies.datasets.synthetic import SyntheticPeople
from tpc_jax.studies.evaluation import study
from tpc_jax.studies.evaluation.study import RESULTS_FILE, LoadedSplit, Study, Task, run_study
from tpc_jax.studies.evaluation.variants import PLAIN, TPC, UNREFINED

ROOT = Path(__file__).parents[3]
METHODS = "none,lts,pose-shift,retarget+lts"
NUM_PAIRS = 9


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Store a small model and a split for each of two cases."""
    folder = tmp_path_factory.mktemp("inputs")
    animator, params = small_model()
    save_checkpoint(folder / "model", {"animator": "tiny", **animator.config.to_dict()}, params)
    data = open_dataset("synthetic", 16)
    for case, count in (("rotation", NUM_PAIRS), ("walking", 2)):
        split = make_split(data, case, num_pairs=count, num_frames=4)
        write_split(folder / f"{case}.json", split)
    return folder


def arguments(inputs, out, *more, splits=("rotation",), **changes):
    options = {"data": "synthetic", "model": inputs / "model", "out": out, "methods": METHODS}
    # Distances of sets take long; their intervals need no precision here.
    options |= {"steps": 1, "videos": 1, "set-resamples": 4, **changes}
    pairs = [x for name, value in options.items() for x in (f"--{name}", *str(value).split(" "))]
    return ["evaluate", *pairs, "--split", *(str(inputs / f"{s}.json") for s in splits), *more]


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "deep" / "evaluation"
    cli.main(arguments(inputs, out, splits=("rotation", "walking")))
    return out


def test_everything_is_written(finished):
    names = {"results.jsonl", "results.md", "results.csv", "results.json", "report.html"}
    names |= {"rotation.png", "walking.png", "videos"}
    assert {path.name for path in finished.iterdir()} == names
    rows = (finished / "results.jsonl").read_text().splitlines()
    # One line per clip and variant and one per true clip, below the header.
    assert len(rows) == 1 + 5 * (NUM_PAIRS + 2)


def test_tables_hold_means_of_the_clips(finished):
    rows = [json.loads(line) for line in (finished / "results.jsonl").read_text().splitlines()[1:]]
    values = [
        row["scores"]["foreground_psnr"]
        for row in rows
        if row["variant"] == "none" and row["pair"].endswith("plain")
    ]
    summary = json.loads((finished / "results.json").read_text())["rotation"]["none"]["scores"]
    assert summary["foreground_psnr"]["value"] == pytest.approx(np.mean(values))
    assert summary["foreground_psnr"]["clips"] == NUM_PAIRS
    with (finished / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    found = [r for r in table if (r["variant"], r["score"]) == ("none", "foreground_psnr")]
    assert float(found[0]["value"]) == pytest.approx(np.mean(values))
    for row in table:
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
    page = (finished / "results.md").read_text()
    assert f"| none | {np.mean(values):.2f} [" in page
    assert "## rotation\n\n9 clips" in page
    assert "synthetic features" in page
    assert not re.search(r"\b(FID|FVD)\b(?!, and| nor)", page.replace("neither FID nor FVD", ""))


def test_methods_that_move_the_motion_get_fair_scores_only(finished):
    summary = json.loads((finished / "results.json").read_text())["rotation"]
    for name in ("pose-shift", "retarget+lts similarity random:4 composite"):
        assert summary[name]["scores"].keys() == {"part_color_error"}
        assert summary[name]["gains"].keys() == {"part_color_error"}
    tpc = summary["lts similarity random:4 composite"]
    assert {"frechet_pictures", "frechet_clips", "person_iou_after"} <= tpc["scores"].keys()
    assert tpc["scores"]["person_iou_after"]["low"] > tpc["scores"]["person_iou_before"]["high"]
    # Two clips give no distances of sets.
    walking = json.loads((finished / "results.json").read_text())["walking"]
    assert "frechet_pictures" not in walking["none"]["scores"]


class OpenTags(HTMLParser):
    """Keep track of what is open; a wrong end is an error."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_holds_everything_itself(finished):
    page = (finished / "report.html").read_text()
    assert len(page) < 2_000_000
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 2 + 2 * (3 + 4)
    assert all(source.startswith("data:") for source in sources)
    assert page.count("<table>") == 2
    reader = OpenTags()
    reader.feed(page)
    assert reader.open == []
    assert len(list((finished / "videos" / "rotation").iterdir())) == 3 + 4


def test_a_finished_run_measures_nothing(finished, inputs, capsys):
    """A clip that is measured once more cannot be noted down: that raises."""
    page, results = (finished / "results.md").read_text(), (finished / RESULTS_FILE).read_bytes()
    cli.main(arguments(inputs, finished, splits=("rotation", "walking")))
    assert (finished / "results.md").read_text() == page
    assert (finished / RESULTS_FILE).read_bytes() == results
    assert f"{4 * (NUM_PAIRS + 2)} clips" in capsys.readouterr().out


def start(inputs, out, cache):
    env = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    words = arguments(inputs, out, methods="none,lts", videos=0)
    return subprocess.Popen(
        [sys.executable, "-m", "tpc_jax.cli", *words], cwd=ROOT, env=env,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_table(inputs, tmp_path):
    whole = start(inputs, tmp_path / "whole", tmp_path / "cache")
    assert whole.wait(300) == 0, whole.stderr.read()
    killed = start(inputs, tmp_path / "killed", tmp_path / "cache")
    results = tmp_path / "killed" / RESULTS_FILE
    deadline = time.monotonic() + 300
    while not results.exists() or results.read_bytes().count(b"\n") < 8:
        assert killed.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(60) == -signal.SIGKILL
    before = results.read_bytes()
    assert not (tmp_path / "killed" / "results.md").exists()
    # The worst moment: in the middle of a line.
    results.write_bytes(before + b'{"split":"x","pa')
    again = start(inputs, tmp_path / "killed", tmp_path / "cache")
    assert again.wait(300) == 0, again.stderr.read()
    after = results.read_bytes()
    assert after.startswith(before[: before.rfind(b"\n") + 1])
    keys = [json.loads(line) for line in after.splitlines()[1:]]
    keys = [(row["split"], row["pair"], row["variant"]) for row in keys]
    assert len(keys) == len(set(keys)) == 3 * NUM_PAIRS
    for name in ("results.md", "results.csv", "results.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_bad_input_ends_as_one_line(inputs, finished, tmp_path, capsys):
    (tmp_path / "torn.json").write_text("{")
    other = json.loads((inputs / "rotation.json").read_text())
    other["data"]["seed"] = 1
    (tmp_path / "other.json").write_text(json.dumps(other))
    out = tmp_path / "out"
    for change, words in (
        ({"methods": "best"}, "--methods best: unknown"),
        ({"transforms": "best"}, "--transforms best: unknown"),
        ({"routing": "best"}, "--routing best: unknown"),
        ({"propagation": "best"}, "--propagation best: unknown"),
        ({"steps": 0}, "--steps must be at least 1, got 0"),
        ({"set-resamples": 0}, "--set-resamples must be at least 1, got 0"),
        ({"guidance-scale": "1 2"}, "has 1 guidance scales, got 2"),
        ({"data": "nothing"}, "--data nothing: unknown"),
        ({"splits": (str(tmp_path / "torn"),)}, "torn.json: is no split"),
        ({"splits": (str(tmp_path / "other"),)}, "made from other data"),
        ({"splits": ("rotation", "rotation")}, "two manifests have one file name"),
        ({"out": finished, "seed": 3}, "results of another study (seed differ)"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments(inputs, **{"out": out, **change}))
        assert ended.value.code == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("tpc-jax: ")
        assert words in error
    assert not out.exists()


def test_lpips(inputs, tmp_path, capsys):
    network = feature_network("lpips_vgg", 16)
    heads_are_positive = jax.tree.map(np.abs, random_like(network.spec))
    config = stored_config("lpips_vgg", 16)
    save_checkpoint(tmp_path / "lpips", config, {NETWORK: heads_are_positive})
    line = arguments(inputs, tmp_path / "out", methods="none", videos=0, splits=("walking",))
    cli.main([*line, "--lpips", str(tmp_path / "lpips")])
    table = json.loads((tmp_path / "out" / "results.json").read_text())["walking"]["none"]
    assert table["scores"]["lpips"]["low"] > 0
    # Without it the study is another one; and a model is no network of LPIPS.
    for more, words in (
        ([], "lpips differ"),
        (["--lpips", inputs / "model"], "no feature network"),
    ):
        with pytest.raises(SystemExit):
            cli.main([*line, *map(str, more)])
        assert words in capsys.readouterr().err


def test_a_fit_is_made_once_for_all_variants_that_share_it(inputs, tmp_path, monkeypatch):
    made = []

    def calibrate(reference, motion, calibrating):
        known = [side.parts is not None for side in (reference, motion)]
        made.append((calibrating.refine, *known))
        return calibrate_clip(reference, motion, calibrating)

    monkeypatch.setattr(study, "calibrate_clip", calibrate)
    split = read_split(inputs / "walking.json")
    split = split._replace(pairs=split.pairs[:1])
    variants = [
        variant._replace(propagation=propagation, pose=pose)
        for variant in (TPC, UNREFINED)
        for propagation in ("random:4", "off")
        for pose in (None, "skeleton")
    ]
    task = Task(LoadedSplit("walking", split, SyntheticPeople(16)), variants)
    run_study(Study(load(inputs / "model"), Options(steps=1)), [task], tmp_path)
    # Part maps are nothing to a fit that is not refined.
    assert made == [("auto", True, True), ("auto", False, False), ("none", True, True)]


def test_guidance_is_chosen(inputs, tmp_path):
    out = tmp_path / "out"
    cli.main(arguments(inputs, out, "--guidance-scale", "2.5", methods="none", splits=("walking",)))
    header = json.loads((out / RESULTS_FILE).read_text().splitlines()[0])
    assert header["study"]["guidance_scale"] == [2.5]


class Unlabelled(SyntheticPeople):
    """The same people, of whom nothing is known but the pictures."""

    def read(self, name, frames=None):
        motion = super().read(name, frames)
        return motion._replace(keypoints=no_people(len(motion.frames)), masks=None)

    def reference(self, *args):
        reference = super().reference(*args)
        return reference._replace(keypoints=no_people(), masks=reference.masks[:0])


def test_pairs_without_keypoints(inputs, tmp_path):
    split = read_split(inputs / "walking.json")
    loaded = LoadedSplit("walking", split, Unlabelled(16))
    judged = Study(load(inputs / "model"), Options(steps=1), use_disco=True)
    rows = run_study(judged, [Task(loaded, [PLAIN])], tmp_path)
    assert len(rows) == 2
    for row in rows.values():
        assert {"psnr", "disco_psnr"} <= row["scores"].keys()
        assert "foreground_psnr" not in row["scores"]
    with pytest.raises(UserError, match="has no keypoints, which method lts needs"):
        run_study(judged, [Task(loaded, [PLAIN, TPC])], tmp_path)
