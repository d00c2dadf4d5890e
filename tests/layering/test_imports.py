"""Data flows one way: a stage of the package imports only the stages to its left."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOW = (
    *("io", "pose", "detect", "procrustes", "warp", "propagation", "calibration"),
    *("refinement", "calibrated_clip"),
    *("conditioning", "model", "sampler"),
)
ORDER = (
    *FLOW,
    *("animators", "metrics", "studies.people", "studies.datasets", "studies.training"),
    *("animation", "report", "studies.evaluation", "studies", "convert", "commands", "cli"),
    "convert.__main__",  # the entry of a checkout
)
# Imported from anywhere, importing only each other.
SHARED = ("_types", "_numerics", "_version", "errors", "options")
# Stages that get less than all that lies to their left.
NARROWER = {
    "metrics": FLOW,
    "studies.people": ("io", "pose", "procrustes", "warp"),
    "convert": (*FLOW, "animators", "metrics"),
    "studies.datasets": ("io", "pose", "procrustes", "warp", "metrics", "studies.people"),
}
# `import tpc_jax` offers all up to animating (`__init__.pyi`), so the package root stands there.
PACKAGE_ROOT = "animation"
# The only stages that may import a heavy library; torch and the other oracles serve tests only.
HOMES = {
    "cv2": (
        *("io", "pose", "detect", "refinement", "conditioning", "report"),
        *("studies.people", "studies.datasets", "studies.evaluation", "studies"),
    ),
    **dict.fromkeys(("ai_edge_litert", "onnxruntime"), ("detect",)),
    "flax": ("model", "animators", "metrics", "studies.training"),
    **dict.fromkeys(("torch", "diffusers", "transformers", "skimage", "chex", "pytest"), ()),
    **dict.fromkeys(("onnx", "convert", "scripts", "tests"), ()),
}


def may_import(stage: str) -> tuple[str, ...]:
    """Return the stages that `stage` may import, itself and the shared modules included."""
    if stage in SHARED:
        return SHARED
    left = NARROWER.get(stage, ORDER[: ORDER.index(stage)])
    return (*SHARED, *left, stage)


def imported_modules(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything imported, at the top or deep inside functions.

    `from a import b` yields `a.b`, for b may be a module; relative names are resolved.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            name = node.args[0]
            if called in ("import_module", "__import__") and isinstance(name, ast.Constant):
                yield node.lineno, str(name.value)


def stage_of(dotted: str) -> str:
    """Return the stage of a dotted name of the package."""
    parts = dotted.split(".")
    for stage in (".".join(parts[1:3]), parts[1] if len(parts) > 1 else ""):
        if stage in (*ORDER, *SHARED):
            return stage
    # Other names after the root are those that the root re-exports.
    return PACKAGE_ROOT


def violations(path: str, source: str) -> list[str]:
    """List the imports of a module of the package that its stage forbids.

    Args:
        path: Where the module stands, relative to the project, such as `tpc_jax/io/video.py`.
        source: Its text.
    """
    parts = Path(path).with_suffix("").parts
    package = ".".join(parts[:-1])
    stage = stage_of(".".join(parts))
    if path != "tpc_jax/__init__.py" and parts[1] not in (stage.split(".")[0], stage):
        return [f"{path}: {parts[1]} has no place in the order of stages"]
    found = []
    for line, name in imported_modules(source, package):
        library = name.split(".")[0]
        if library == "tpc_jax" and stage_of(name) not in may_import(stage):
            found.append(f"{path}:{line}: {stage} may not import {name}")
        if stage not in HOMES.get(library, (stage,)):
            found.append(f"{path}:{line}: {stage} may not import {library}")
    return found


def script_violations(path: str, source: str) -> list[str]:
    """List what a script imports from the project beside the package."""
    own = {"convert", "scripts", "tests", *(p.stem for p in (ROOT / "scripts").glob("[!_]*.py"))}
    return [
        f"{path}:{line}: a script may not import {name}"
        for line, name in imported_modules(source, "scripts")
        if name.split(".")[0] in own
    ]


def python_files(folder: str) -> list[str]:
    """List modules by path; links are not followed."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", python_files("tpc_jax"))
def test_the_package_imports_only_to_the_left(path):
    assert violations(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", python_files("convert"))
def test_the_converter_is_a_stage_of_the_package(path):
    """Its folder stands beside the package, in which there is a link to it."""
    inside = ROOT / "tpc_jax" / path
    assert inside.samefile(ROOT / path)
    assert violations(f"tpc_jax/{path}", inside.read_text()) == []


def test_the_package_root_offers_only_what_lies_to_its_left():
    assert violations("tpc_jax/__init__.py", (ROOT / "tpc_jax/__init__.pyi").read_text()) == []


@pytest.mark.parametrize("path", python_files("scripts"))
def test_scripts_import_only_the_package(path):
    assert script_violations(path, (ROOT / path).read_text()) == []


ALLOWED = [
    ("tpc_jax/calibration.py", "from tpc_jax.warp.warp import warp_image"),
    ("tpc_jax/calibration.py", "from tpc_jax import propagation"),
    ("tpc_jax/calibrated_clip.py", "from tpc_jax.calibration import calibrate"),
    ("tpc_jax/sampler/table.py", "from tpc_jax.options import Sampler"),
    ("tpc_jax/model/unet.py", "from flax import nnx\nfrom tpc_jax.model import layers"),
    ("tpc_jax/model/unet.py", "from . import layers\nfrom ..conditioning import masks"),
    ("tpc_jax/io/video.py", "import cv2\nfrom tpc_jax.errors import UserError"),
    ("tpc_jax/studies/people/figure.py", "from tpc_jax.pose import skeletons"),
    (
        "tpc_jax/studies/training/loop.py",
        "from tpc_jax.studies.people import people\nfrom tpc_jax.animators import tiny",
    ),
    ("tpc_jax/metrics/image.py", "from tpc_jax.warp import sample"),
    ("tpc_jax/animation.py", "from tpc_jax import calibrated_clip, animators"),
    ("tpc_jax/cli.py", "from tpc_jax import __version__, animate"),
    ("tpc_jax/convert/disco.py", "from tpc_jax.animators.disco import networks"),
    ("tpc_jax/commands/convert.py", "from tpc_jax.convert.core import convert_model"),
    ("tpc_jax/__init__.py", "from .animation import animate"),
    ("tpc_jax/_numerics.py", "import jax\nfrom tpc_jax._types import Keypoints"),
]
FORBIDDEN = [
    ("tpc_jax/io/video.py", "from tpc_jax.pose import skeletons"),
    ("tpc_jax/warp/warp.py", "import tpc_jax.calibration"),
    ("tpc_jax/warp/warp.py", "from tpc_jax import Transform2D"),
    ("tpc_jax/warp/warp.py", "from tpc_jax import calibration"),
    ("tpc_jax/procrustes/solve.py", "def f():\n    from tpc_jax.warp.grid import grid"),
    ("tpc_jax/procrustes/solve.py", "from ..model import unet"),
    ("tpc_jax/procrustes/solve.py", "from ..model.unet import UNet"),
    ("tpc_jax/procrustes/solve.py", "from .. import model"),
    ("tpc_jax/calibration.py", "from tpc_jax.calibrated_clip import calibrate_clip"),
    ("tpc_jax/calibrated_clip.py", "from tpc_jax.conditioning.masks import pool"),
    ("tpc_jax/calibration.py", "importlib.import_module('tpc_jax.model')"),
    ("tpc_jax/decode/decode.py", "if TYPE_CHECKING:\n    from tpc_jax.animators import tiny"),
    ("tpc_jax/metrics/image.py", "from tpc_jax.animators import tiny"),
    ("tpc_jax/studies/people/figure.py", "from tpc_jax.model import unet"),
    ("tpc_jax/studies/training/loop.py", "from tpc_jax.animation import animate"),
    ("tpc_jax/studies/training/export.py", "import tpc_jax"),
    ("tpc_jax/animation.py", "from tpc_jax.cli import main"),
    ("tpc_jax/__init__.py", "from tpc_jax.report.sheets import enlarge"),
    ("tpc_jax/__init__.py", "from .studies.demo import run_demo"),
    ("tpc_jax/errors.py", "from tpc_jax.io import video"),
    ("tpc_jax/options.py", "from tpc_jax.animators.plan import Plan"),
    ("tpc_jax/calibration.py", "from flax import nnx"),
    ("tpc_jax/warp/sample.py", "import cv2"),
    ("tpc_jax/_types.py", "import flax.struct"),
    ("tpc_jax/model/params.py", "import torch"),
    ("tpc_jax/metrics/image.py", "from skimage.metrics import structural_similarity"),
    ("tpc_jax/cli.py", "from scripts import animate"),
    ("tpc_jax/animators/tiny.py", "from convert.rules import Rule"),
    ("tpc_jax/animators/tiny.py", "from tpc_jax.convert.rules import Rule"),
    ("tpc_jax/convert/read.py", "from convert.rules import Rule"),
    ("tpc_jax/convert/core.py", "from tpc_jax.animation import animate"),
    ("tpc_jax/convert/core.py", "from tpc_jax.studies.training import loop"),
    ("tpc_jax/utils.py", "import jax"),
]


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_the_check_accepts(path, source):
    assert violations(path, source) == []


@pytest.mark.parametrize(("path", "source"), FORBIDDEN)
def test_the_check_rejects(path, source):
    found = violations(path, source)
    assert len(found) == 1
    assert found[0].startswith(path)


def test_the_check_names_every_line():
    source = "import jax\nfrom tpc_jax.cli import main\n\nimport torch\n"
    assert violations("tpc_jax/warp/grid.py", source) == [
        "tpc_jax/warp/grid.py:2: warp may not import tpc_jax.cli.main",
        "tpc_jax/warp/grid.py:4: warp may not import torch",
    ]


def test_the_check_of_scripts():
    assert script_violations("scripts/a.py", "import jax\nfrom tpc_jax import animate") == []
    assert script_violations("scripts/a.py", "from convert.read import read") != []
    assert script_violations("scripts/a.py", "from tests.conftest import run") != []


HEAVY = ("jax", "flax", "torch", "cv2")
PROBE = f"import sys; print(sorted({set(HEAVY)} & sys.modules.keys()))"


def loaded_by(run_python, code: str) -> str:
    """Return which heavy libraries are loaded when some code has run, the last line printed."""
    return run_python(f"{code}\n{PROBE}").splitlines()[-1]


def test_importing_the_package_loads_no_heavy_library(run_python):
    assert loaded_by(run_python, "import tpc_jax") == "[]"


def test_every_name_that_the_package_offers_resolves(run_python):
    *_, listed = ast.parse((ROOT / "tpc_jax/__init__.pyi").read_text()).body
    names = sorted(ast.literal_eval(listed.value))
    found = run_python("import tpc_jax; print(sorted(tpc_jax.__all__))")
    assert ast.literal_eval(found) == names
    run_python(f"import tpc_jax\nfor name in {names}: assert getattr(tpc_jax, name) is not None")


def test_the_calibration_core_needs_jax_alone(run_python):
    core = ("calibrate", "Calibration", "fit_trimmed", "solve_similarity", "apply", "SOLVERS")
    core += ("warp_image", "warp_mask", "composite", "representatives", "Keypoints", "Options")
    code = f"import tpc_jax\nfor name in {core}: getattr(tpc_jax, name)"
    assert loaded_by(run_python, code) == "['jax']"


@pytest.mark.parametrize(
    "words",
    [["--help"], ["animate", "--help"], ["evaluate", "--help"], ["convert", "disco", "--help"]],
)
def test_help_loads_no_heavy_library(run_python, words):
    code = f"from tpc_jax import cli\ntry: cli.main({words})\nexcept SystemExit: pass"
    assert loaded_by(run_python, code) == "[]"


@pytest.mark.parametrize("library", HEAVY[2:])
def test_the_probe_sees_a_loaded_library(run_python, library):
    assert loaded_by(run_python, f"import {library}") == f"['{library}']"
