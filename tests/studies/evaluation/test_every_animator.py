"""Every animator is evaluated on pictures of any shape, with all of its guidance scales."""

import numpy as np
import pytest
from small_animateanyone import small_animateanyone
from small_magicanimate import small_magicanimate
from small_models import small_model
from small_tokens import small_disco, small_dreampose

from tpc_jax.animators.load import Model
from tpc_jax.errors import UserError
from tpc_jax.options import Options
from tpc_jax.studies.datasets import Split
from tpc_jax.studies.datasets.synthetic import SyntheticPeople
from tpc_jax.studies.evaluation.pairs import held_out_pair
from tpc_jax.studies.evaluation.study import LoadedSplit, Study, Task, run_study
from tpc_jax.studies.evaluation.variants import PLAIN, TPC, Variant

# Compiles for long.
pytestmark = pytest.mark.slow

MODELS = {
    "tiny": small_model,
    "magicanimate": small_magicanimate,
    "animateanyone": small_animateanyone,
    "dreampose": small_dreampose,
    "disco": small_disco,
}


def rows(name, size, variants, out, **options):
    animator, params = MODELS[name]()
    data = SyntheticPeople(size, 1)
    split = Split("rotation", 0, data.identity("rotation"), (held_out_pair(0, 2, angle=40.0),))
    scales = tuple(1.0 + 0.5 * i for i in range(len(animator.config.guidance_scale)))
    study = Study(Model(animator, params), Options(steps=1, guidance_scale=scales, **options))
    task = Task(LoadedSplit("rotation", split, data), variants)
    return {key[2]: row["scores"] for key, row in run_study(study, (task,), out).items()}


@pytest.mark.parametrize("size", [(96, 64), (48, 80)])
@pytest.mark.parametrize("name", MODELS)
def test_pictures_that_are_not_square(name, size, tmp_path):
    routing = MODELS[name]()[0].routings[0]
    variants = (PLAIN, TPC._replace(routing=routing))
    found = rows(name, size, variants, tmp_path)
    assert set(found) == {variant.name for variant in variants}
    for scores in found.values():
        assert np.isfinite(scores["psnr"])
        assert np.isfinite(scores["foreground_psnr"])


def test_a_number_of_scales_that_a_model_does_not_have(tmp_path):
    animator, params = small_dreampose()
    study = Study(Model(animator, params), Options(guidance_scale=(2.0,)))
    with pytest.raises(UserError, match="has 2 guidance scales, got 1"):
        run_study(study, (), tmp_path)


def test_a_moved_motion_has_no_coordinates(tmp_path):
    with pytest.raises(UserError, match="driven by DensePose coordinates, which the motion lacks"):
        rows("dreampose", (64, 64), (Variant("pose-shift"),), tmp_path)
