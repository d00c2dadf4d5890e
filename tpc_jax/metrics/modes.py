"""The two ways to compute a metric: by its standard definition, or as the field does.

| metric | `correct` | `disco` |
|---|---|---|
| size | that of the pictures | central square, 256x256 by Pillow's bilinear filter |
| values | float | rounded to 8 bits |
| L1 | mean difference, fraction of full scale | grey levels, divided by height * width again |
| PSNR | float | 8 bits; beside it the first release's, which overflows |
| SSIM | 8-bit grey, scikit-image's defaults | the same |
| LPIPS | pictures in [-1, 1], as trained | pictures in [0, 1] |
| FID | Pillow's bicubic, (x - 128) / 128 | bilinear without anti-aliasing, 2 x - 1 |
| FID-VID, FVD | float frames | 8-bit frames |
| temporal | mean absolute, all frames | `dtssd`: squares, first pair of frames, grey levels |
| Frechet distance | factors of the covariances | the same to 2e-6 |
"""

from typing import Literal, get_args

Mode = Literal["correct", "disco"]


def check_mode(mode: str) -> None:
    """Refuse an unknown mode.

    Raises:
        ValueError: It is neither `correct` nor `disco`.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {get_args(Mode)}, got {mode!r}")
