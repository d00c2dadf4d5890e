"""What a user can say of an evaluation; nothing heavy is imported here."""

import dataclasses
from pathlib import Path
from typing import Literal

from tpc_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation.

    Those with several values take them with commas between; everything is combined with everything.
    """

    data: str
    """synthetic, tiktok:FOLDER, tiktok:FOLDER:test, tiktok-tsv:NAME_images.tsv, ted:LIST.txt or
    ted:FOLDER."""
    split: tuple[Path, ...]
    """Manifests of make-split, one table each."""
    out: Path
    """Folder for results.md, results.csv, results.json, plots, report.html and, as the run goes,
    results.jsonl."""
    model: str = "tiny"
    """"tiny", the embedded model, or the folder of a trained or converted one."""
    methods: str = "none,face,all,clip,lts"
    """none, face, all, clip, lts, unrefined; pose-shift, retarget and retarget+lts move the
    motion."""
    transforms: str = "similarity"
    """similarity, affine, translation_scale, rigid."""
    propagation: str = "random:4"
    """random:4 (policy and frames per group), first:4, off."""
    routing: str = "composite"
    """open, masked, union, replace, composite."""
    steps: int | None = None
    """Denoising steps; the model's own number if left out."""
    guidance_scale: tuple[float, ...] | None = None
    """Classifier-free guidance, 1 means off; the model's own value if left out. DreamPose takes two
    numbers: of the reference and of the pose."""
    seed: int = 0
    """Seed of the noise and of the propagation."""
    videos: int = 3
    """Pairs per split whose videos are kept and shown."""
    disco: bool = False
    """Add L1, PSNR and SSIM by the field's convention, at 256x256."""
    lpips: Path | None = None
    """Add LPIPS by the network in this folder, made by `tpc-jax convert lpips-vgg`."""
    set_resamples: int = 50
    """Draws behind the intervals of Frechet distances, which take long."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type to compute in; auto takes bfloat16 on accelerators."""

    def __post_init__(self):
        """Refuse numbers out of range.

        Raises:
            UserError: A number is out of range.
        """
        for name, least in (("steps", 1), ("videos", 0), ("set_resamples", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                option = name.replace("_", "-")
                raise UserError(f"--{option} must be at least {least}, got {value}")


@dataclasses.dataclass(frozen=True)
class SensitivitySettings:
    """Settings of the sensitivity study."""

    model: str = "tiny"
    """"tiny" or the folder of another model of its kind."""
    out: Path = Path("docs")
    """Folder for sensitivity.md and sensitivity.png."""
    runs: Path = Path("runs/sensitivity")
    """Working folder: the scores of every clip under every condition."""
    clips: int = 64
    """Held-out people, at least 2."""
    frames: int = 8
    """Frames per person, 2 to 23."""
    steps: int | None = None
    """Denoising steps; the model's own number if left out."""
    seed: int = 0
    """Seed of the people, the noise and the propagation."""
