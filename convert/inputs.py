"""The files of one conversion: opened once, and named in the report by the options given."""

from pathlib import Path

from tpc_jax.convert.configs import Settings
from tpc_jax.convert.folders import NETWORK, Names, find_weights, read_settings
from tpc_jax.convert.open import open_source
from tpc_jax.convert.read import Source
from tpc_jax.convert.recognise import refuse_foreign_tensors


class Inputs:
    """Opens files of the published folders and keeps their names for the report."""

    def __init__(self):
        self.files: dict[str, Path] = {}

    def note(self, root: Path, name: str, path: Path) -> None:
        """Remember a file under the option that named its folder, not under its full path."""
        self.files[f"{name}/{path.relative_to(root).as_posix()}"] = path

    def settings(self, root: Path, name: str, path: Path) -> Settings:
        """Read a config file."""
        self.note(root, name, path)
        return Settings(path, read_settings(path))

    def file(self, name: str, path: Path) -> Source:
        """Index one weight file."""
        return self.weights(path.parent, name, path)

    def source(self, root: Path, name: str, folder: str, names: Names = NETWORK) -> Source:
        """Index the weights in a folder."""
        return self.weights(root, name, find_weights(root / folder, names))

    def weights(self, root: Path, name: str, path: Path) -> Source:
        """Index a weight file, whose parts are remembered by their places under a folder."""
        source = open_source(path)
        refuse_foreign_tensors(source)
        for part in source.files:
            self.note(root, name, part)
        return source
