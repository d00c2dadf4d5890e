"""The table of animators in the documents is the one that the code gives."""

from pathlib import Path

import pytest

from tpc_jax.animators.load import SYSTEMS
from tpc_jax.errors import UserError
from tpc_jax.report.models import BEGIN, END, models_table, write_table

pytestmark = pytest.mark.slow
DOCUMENT = Path(__file__).parents[2] / "docs" / "models" / "README.md"


@pytest.fixture(scope="module")
def table():
    return models_table()


def test_the_committed_table_is_current(table):
    committed = DOCUMENT.read_text().split(BEGIN)[1].split(END)[0].strip()
    assert committed == table, "run python scripts/models_table.py"


def test_every_published_animator_has_a_column(table):
    names = set(SYSTEMS) - {"tiny"}
    assert len(names) >= 4
    header, *rows = table.splitlines()
    for name in names:
        assert f"[{name}]({name}.md)" in header
    assert {row.count("|") for row in rows} == {header.count("|")}


def test_writing(table, tmp_path, monkeypatch):
    monkeypatch.setattr("tpc_jax.report.models.models_table", lambda: "| x |")
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(path)
    assert path.read_text() == f"before\n{BEGIN}\n| x |\n{END}\nafter\n"
    path.write_text("no marks")
    with pytest.raises(UserError, match="must hold"):
        write_table(path)
    assert path.read_text() == "no marks"
