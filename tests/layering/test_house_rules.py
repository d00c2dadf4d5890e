"""Rules of the house that no linter knows: banned calls, sizes, leftovers."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("tpc_jax", "convert", "scripts", "tests")

MAX_FILE_LINES = 600
MAX_SCRIPT_LINES = 100
MAX_BODY_LINES = 60

# These take renamed, missing or wrongly shaped parameters in silence; the strict loader does not.
NNX_BANS = {f"flax.nnx.{name}" for name in ("jit", "update", "merge", "replace_by_pure_dict")}
NNX_HOME = "tpc_jax/model/params.py"

LEFTOVERS = {
    "a path of one machine": re.compile(r"(?<![\w.~-])/(?:home|root|work|Users|mnt|opt)/\w"),
    "a suppression without a code": re.compile(
        r"#\s*(?:noqa(?!:\s*[A-Z]+\d)|type:\s*ignore(?!\[)|pyright:\s*ignore(?!\[))"
    ),
}
TEXT_SUFFIXES = {".py", ".md", ".toml", ".yaml", ".yml", ".cfg", ".sh", ".txt"}
TEXT_NAMES = {"Makefile", "run"}
NOT_OURS = {".git", ".venv", "build", "dist", "out", "runs", "__pycache__", "node_modules"}


def dotted_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of every imported name that the source uses or imports."""
    tree = ast.parse(source)
    full = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                full[local] = alias.name if alias.asname else local
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield node.lineno, f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        parts, inner = [], node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if parts and isinstance(inner, ast.Name) and inner.id in full:
            yield node.lineno, ".".join([full[inner.id], *reversed(parts)])


def banned_nnx_calls(path: str, source: str) -> list[str]:
    if path == NNX_HOME:
        return []
    return [
        f"{path}:{line}: {name} is for {NNX_HOME} only"
        for line, name in dotted_names(source)
        if name in NNX_BANS
    ]


def assert_statements(path: str, source: str) -> list[str]:
    return [
        f"{path}:{node.lineno}: raise an error with a message instead of assert"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assert)
    ]


def too_long(path: str, source: str) -> list[str]:
    limit = MAX_SCRIPT_LINES if path.startswith("scripts/") else MAX_FILE_LINES
    lines = len(source.splitlines())
    found = [f"{path}: {lines} lines, at most {limit}"] if lines > limit else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = node.end_lineno - body[0].lineno + 1 if body else 0
            if lines > MAX_BODY_LINES:
                found.append(f"{path}: {node.name} has {lines} lines, at most {MAX_BODY_LINES}")
    return found


def leftovers(path: str, text: str) -> list[str]:
    return [
        f"{path}:{number}: {what}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in LEFTOVERS.items()
        if pattern.search(line)
    ]


def python_files(*folders: str) -> list[str]:
    files = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in files)


def text_files() -> list[str]:
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        paths = (Path(folder, name).relative_to(ROOT) for name in names)
        found += [str(p) for p in paths if p.suffix in TEXT_SUFFIXES or p.name in TEXT_NAMES]
    return sorted(found)


@pytest.mark.parametrize("path", python_files("tpc_jax"))
def test_parameters_are_merged_in_one_place_and_input_is_not_asserted(path):
    source = (ROOT / path).read_text()
    assert banned_nnx_calls(path, source) + assert_statements(path, source) == []


@pytest.mark.parametrize("path", python_files(*SOURCES))
def test_files_and_functions_fit_the_house_sizes(path):
    assert too_long(path, (ROOT / path).read_text()) == []


def test_no_leftovers():
    files = text_files()
    assert {"tpc_jax/_types.py", "Makefile", ".ci/run"} <= set(files)
    assert [hit for path in files for hit in leftovers(path, (ROOT / path).read_text())] == []


@pytest.mark.parametrize(
    "source",
    [
        "from flax import nnx\nnnx.jit(f)",
        "from flax import nnx\n@nnx.jit\ndef f(): ...",
        "from flax import nnx as n\nn.update(module, tree)",
        "import flax.nnx\nflax.nnx.merge(graphdef, tree)",
        "import flax.nnx as n\nforward = n.merge",
        "from flax.nnx import merge",
        "from flax.nnx import jit as compile_module",
        "def f():\n    from flax import nnx\n    nnx.replace_by_pure_dict(state, tree)",
    ],
)
def test_the_nnx_check_rejects(source):
    assert banned_nnx_calls("tpc_jax/model/unet.py", source) != []
    assert banned_nnx_calls(NNX_HOME, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import jax\njax.jit(f)\nd.update(e)",
        "from flax import nnx\nnnx.split(m)\nnnx.Conv(1, 2)\nnnx.eval_shape(make)",
        "from tpc_jax.model.params import merge",
        "nnx.jit(f)  # not imported: some other name",
    ],
)
def test_the_nnx_check_accepts(source):
    assert banned_nnx_calls("tpc_jax/model/unet.py", source) == []


def test_the_assert_check():
    assert assert_statements("a.py", "def f(x):\n    assert x > 0, 'bad'\n") != []
    assert assert_statements("a.py", "x = 'assert y'  # assert z\n") == []


def test_the_size_check():
    def function(lines: int, docstring: int = 0) -> str:
        doc = ['    """Say.', *["    more"] * docstring, '    """'] if docstring else []
        return "\n".join(["def f(x):", *doc, *["    x += 1"] * lines]) + "\n"

    assert too_long("tpc_jax/a.py", function(60, docstring=200)) == []
    assert too_long("tpc_jax/a.py", function(61)) == ["tpc_jax/a.py: f has 61 lines, at most 60"]
    assert too_long("tpc_jax/a.py", "x = 1\n" * 600) == []
    assert too_long("tpc_jax/a.py", "x = 1\n" * 601) == ["tpc_jax/a.py: 601 lines, at most 600"]
    assert too_long("scripts/a.py", "x = 1\n" * 101) == ["scripts/a.py: 101 lines, at most 100"]
    assert too_long("tpc_jax/a.py", 'def f():\n    """Only a docstring."""\n') == []


# Put together from halves, or this file would break its own rule.
@pytest.mark.parametrize(
    "line",
    [
        "load('/ho" + "me/somebody/model')",
        "see /wo" + "rk/notes.md",
        "x = 1  # no" + "qa",
        "x = 1  # type: " + "ignore",
        "x = 1  # pyright: " + "ignore",
    ],
)
def test_the_leftover_check_rejects(line):
    assert len(leftovers("a.py", f"first\n{line}\n")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # no" + "qa: E731",
        "x = 1  # type: " + "ignore[arg-type]",
        "https://example.org/ho" + "me/page and ../work/x and out/demo/home/x",
    ],
)
def test_the_leftover_check_accepts(line):
    assert leftovers("a.py", f"{line}\n") == []
