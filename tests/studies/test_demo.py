import json

import cv2
import numpy as np
import pytest
from small_models import SIZE, small_model

from tpc_jax.animators.load import Model
from tpc_jax.io.video import read_video
from tpc_jax.options import Options
from tpc_jax.studies.demo import run_demo

RUNS = ("aligned", "without_tpc", "with_tpc")
OPTIONS = Options(steps=2)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out, steps = tmp_path_factory.mktemp("out") / "demo", []
    report = run_demo(
        Model(*small_model()), out, OPTIONS, num_frames=5,
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    return out, report, steps


def test_the_report_holds_three_finite_scores_per_measure(demo):
    out, report, _ = demo
    assert json.loads((out / "report.json").read_text()) == report
    for measure in ("foreground_psnr", "psnr", "ssim", "flicker"):
        assert set(report[measure]) == set(RUNS)
        assert np.isfinite(list(report[measure].values())).all()
    assert set(report["seconds"]) == {"calibrate", *RUNS}
    assert len(set(report["psnr"].values())) == 3


def test_every_run_reports_its_steps(demo):
    assert demo[2] == [(name, step) for name in RUNS for step in range(2)]


def test_the_folder_holds_videos_and_a_contact_sheet(demo):
    out, *_ = demo
    side = 192
    for name in RUNS:
        assert read_video(out / f"{name}.mp4").frames.shape == (5, side, side, 3)
    assert read_video(out / "comparison.mp4").frames.shape == (5, side, 4 * side, 3)
    sheet = cv2.imread(str(out / "contact_sheet.png"))
    assert sheet.shape[0] == 7 * side
    assert cv2.imread(str(out / "reference.png")).shape == (SIZE, SIZE, 3)
    inner = json.loads((out / "calibration" / "report.json").read_text())
    assert inner["mean_iou_after"] > inner["mean_iou_before"]
    assert not list(out.parent.glob(".*"))
