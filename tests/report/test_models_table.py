"""The table of animators in the documents is the one that the code gives."""

import models_table
import pytest

from tpc_jax.animators.load import SYSTEMS
from tpc_jax.errors import UserError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table():
    return models_table.models_table()


def test_the_script_leaves_the_committed_table_as_it_is(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text(models_table.DOCUMENT.read_text())
    models_table.main(copy)
    committed = models_table.DOCUMENT.read_text()
    assert copy.read_text() == committed, "run python scripts/models_table.py"


def test_every_published_animator_has_a_column(table):
    names = set(SYSTEMS) - {"tiny"}
    assert len(names) >= 4
    header, *rows = table.splitlines()
    for name in names:
        assert f"[{name}]({name}.md)" in header
    assert {row.count("|") for row in rows} == {header.count("|")}


def test_only_what_stands_between_the_marks_is_replaced(table, tmp_path):
    path = tmp_path / "README.md"
    begin, end = models_table.BEGIN, models_table.END
    path.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    models_table.main(path)
    assert path.read_text() == f"before\n{begin}\n{table}\n{end}\nafter\n"
    path.write_text("no marks")
    with pytest.raises(UserError, match="must hold"):
        models_table.main(path)
    assert path.read_text() == "no marks"
