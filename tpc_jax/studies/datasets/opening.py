"""From what the user types to a data set: `synthetic`, `tiktok:FOLDER` and so on."""

from pathlib import Path

from tpc_jax.errors import UserError
from tpc_jax.studies.datasets.interface import DataSet
from tpc_jax.studies.datasets.synthetic import SyntheticPeople
from tpc_jax.studies.datasets.tiktok_folders import TikTokFolders
from tpc_jax.studies.datasets.tiktok_tsv import TikTokTSV
from tpc_jax.studies.datasets.video_list import VideoList

_STORED = {"tiktok": TikTokFolders, "tiktok-tsv": TikTokTSV, "ted": VideoList}
FORMS = (
    "synthetic, tiktok:FOLDER (all folders) or tiktok:FOLDER:test, tiktok-tsv:IMAGES.tsv, "
    "ted:LIST.txt or ted:FOLDER"
)


def open_dataset(spec: str, size: int | tuple[int, int] = 64) -> DataSet:
    """Open a data set.

    Args:
        spec: `synthetic`; `tiktok:FOLDER`, with `:train` or `:test` behind it for DisCo's split by
            folder numbers; `tiktok-tsv:NAME_images.tsv`; `ted:LIST.txt`, a list of videos, or
            `ted:FOLDER` with the videos themselves.
        size: Size at which synthetic people are drawn; stored pictures keep theirs.

    Raises:
        UserError: The form is unknown, or files are missing or of another layout.
    """
    kind, _, place = spec.partition(":")
    if spec == SyntheticPeople.kind:
        return SyntheticPeople(size)
    if kind not in _STORED or not place:
        raise UserError(f"--data {spec}: unknown; give {FORMS}")
    if kind == "tiktok":
        folder, _, part = place.rpartition(":")
        if folder and part in ("train", "test"):
            return TikTokFolders(Path(folder), part)
    return _STORED[kind](Path(place))
