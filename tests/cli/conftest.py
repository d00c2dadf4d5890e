import pytest
import turned_person


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    return turned_person.write_files(tmp_path_factory.mktemp("inputs"))
