"""Whatever a mask file holds, it marks somebody or is refused in one line."""

import cv2
import numpy as np
from fuzzing import attempt, folder, tries
from hypothesis import given
from hypothesis import strategies as st

from tpc_jax.io.masks import read_mask_clip

SAVED = ("npz", "npy", "png", "folder")
TYPES = ("?", "u1", "u2", "i1", "i4", "i8", "u8", "f2", "f4", "f8", "c8", "U1", "M8[s]", "O")
# Shapes that no picture has are tried too.
SHAPES = st.lists(st.integers(0, 9), min_size=0, max_size=5).map(tuple)
LEVELS = st.one_of(
    st.sampled_from([0, 1, 2, 100, 127, 128, 255, 256, 65535, -1, 0.5, 1e30]), st.integers(0, 65535)
)


def save(path, kind, masks):
    """Write masks as arrays or pictures; return None where a picture cannot hold them."""
    if kind == "npz":
        np.savez(path / "m.npz", masks=masks)
        return path / "m.npz"
    if kind == "npy":
        np.save(path / "m.npy", masks)
        return path / "m.npy"
    if masks.dtype not in (np.uint8, np.uint16) or masks.ndim not in (3, 4) or 0 in masks.shape:
        return None
    if masks.ndim == 4 and masks.shape[3] not in (1, 3, 4):
        return None
    (path / "m").mkdir()
    for index, mask in enumerate(masks):
        cv2.imwrite(str(path / "m" / f"{index}.png"), mask)
    return path / "m" if kind == "folder" else path / "m" / "0.png"


@st.composite
def arrays(draw):
    """Draw an array of any type whose values are a few levels."""
    kind, shape = np.dtype(draw(st.sampled_from(TYPES))), draw(SHAPES)
    levels = draw(st.lists(LEVELS, min_size=1, max_size=4))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    values = random.choice(np.array(levels, float), shape)
    if kind.kind in "OMU":
        return np.zeros(shape, kind)
    with np.errstate(all="ignore"):
        return values.astype(kind)


@tries(200)
@given(arrays(), st.sampled_from(SAVED))
def test_any_array_is_refused_or_marks_somebody(array, kind):
    with folder() as path:
        file = save(path, kind, array)
        if file is None:
            return
        masks, _ = attempt(read_mask_clip, file)
    assert masks is None or (masks.dtype == bool and masks.ndim in (3, 4) and masks.any())


@st.composite
def blobs(draw):
    """Draw masks of one or two discs, nobody in some frames."""
    size = (draw(st.integers(24, 40)), draw(st.integers(24, 40)))
    y, x = np.mgrid[: size[0], : size[1]]
    frames = []
    for radius in draw(st.lists(st.integers(0, 9), min_size=1, max_size=3)):
        at = draw(st.integers(4, 20)), draw(st.integers(4, 20))
        frames.append((x - at[0]) ** 2 + (y - at[1]) ** 2 < radius**2)
    masks = np.stack(frames)
    masks[0, 10:14, 10:16] = True
    return masks


@st.composite
def encodings(draw, masks):
    """Draw levels, labels or colours that mean these masks."""
    kind = draw(st.sampled_from(["bool", "level", "labels", "float", "colour", "alpha"]))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    top = np.iinfo(dtype).max
    if kind == "bool":
        return masks
    if kind == "float":
        return masks * draw(st.sampled_from([np.float32(1), np.float16(0.7), np.float64(255)]))
    if kind == "level":
        low = draw(st.sampled_from([0, 0, 0, 1]))
        high = draw(st.integers(low + 1, top))
        return np.where(masks, high, low).astype(dtype)
    if kind == "labels":
        halves = np.where(np.arange(masks.shape[2]) < 13, 1, 2) * draw(st.integers(1, 9))
        return (masks * halves).astype(dtype)
    if kind == "colour":
        colour = np.array(draw(st.permutations([0, 40, top])), dtype)
        return masks[..., None] * colour
    rgba = np.full((*masks.shape, 4), draw(st.integers(0, top)), dtype)
    rgba[..., 3] = np.where(masks, top, 0)
    return rgba


@st.composite
def written(draw):
    masks = draw(blobs())
    return masks, draw(encodings(masks)), draw(st.sampled_from(SAVED))


@tries(200)
@given(written())
def test_masks_in_any_encoding_come_back(case):
    masks, levels, kind = case
    is_picture = levels.ndim == 4
    if is_picture != (kind in ("png", "folder")) and (is_picture or levels.dtype.kind in "bf"):
        return
    with folder() as path:
        file = save(path, kind, levels)
        if file is None:
            return
        found, _ = attempt(read_mask_clip, file)
    expected = masks[:1] if kind == "png" else masks
    np.testing.assert_array_equal(found, expected)
