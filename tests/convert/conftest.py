import shutil

import pytest
from small_published import make_download


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """A download that nobody changes."""
    return make_download(tmp_path_factory.mktemp("download"))


@pytest.fixture
def download(original, tmp_path):
    """A download to change."""
    return original._replace(root=shutil.copytree(original.root, tmp_path / "download"))


@pytest.fixture(scope="session")
def expected(original):
    """All parameters of the download, as read from the published layout."""
    return original.parameters()
