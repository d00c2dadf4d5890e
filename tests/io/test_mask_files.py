import cv2
import numpy as np
import pytest

from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.masks import fit_masks, read_mask, read_mask_clip, read_mask_pictures
from tpc_jax.io.video import write_video
from tpc_jax.pose.masks import read_masks

SIZE = (64, 48)


def people():
    """Three frames of a round person who moves; nobody in the last frame."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    masks = [(x - 16 - 8 * f) ** 2 / 100 + (y - 30) ** 2 / 400 < 1 for f in range(2)]
    return np.stack([*masks, np.zeros(SIZE, bool)])


def halves():
    """Labels 1 and 2 of the left and right half of each person."""
    labels = people().astype(np.uint8)
    labels[:, :, 20:] *= 2
    return labels


def soft(sigma=2.0):
    return np.stack([cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma) for mask in people()])


# Levels of a clip that all mean `people()`.
LEVELS = {
    "0 and 1": lambda: people().astype(np.uint8),
    "0 and 255": lambda: people() * np.uint8(255),
    "0 and 100": lambda: people() * np.uint8(100),
    "16 bits": lambda: people() * np.uint16(65535),
    "0 and 1 in 16 bits": lambda: people().astype(np.uint16),
    "0 and 255 in 16 bits": lambda: people() * np.uint16(255),
    "1 and 2": lambda: people().astype(np.uint8) + np.uint8(1),
    "two labels": halves,
    "two spread labels": lambda: halves() * np.uint8(120),
    "one label and a border of 255": lambda: np.where(halves() == 2, 255, halves()).astype(
        np.uint8
    ),
    "instance numbers": lambda: halves().astype(np.uint16) * np.uint16(12000),
}
SOFT = {
    "soft": lambda: np.rint(soft() * 255).astype(np.uint8),
    "soft and dark": lambda: np.rint(soft() * 80).astype(np.uint8),
    "soft in 16 bits": lambda: np.rint(soft() * 65535).astype(np.uint16),
    "edges of few levels": lambda: (np.rint(soft(0.7) * 4) * 60).astype(np.uint8),
}


def folder(path, levels):
    path.mkdir()
    for index, frame in enumerate(levels):
        cv2.imwrite(str(path / f"{index}.png"), frame)
    return path


def archive(path, levels):
    np.savez(path.with_suffix(".npz"), masks=levels)
    return path.with_suffix(".npz")


def array(path, levels):
    np.save(path.with_suffix(".npy"), levels)
    return path.with_suffix(".npy")


@pytest.mark.filterwarnings("ignore::tpc_jax.errors.InputWarning")
@pytest.mark.parametrize("save", [folder, archive, array])
@pytest.mark.parametrize("levels", LEVELS)
def test_levels_of_every_kind_mark_the_same_people(tmp_path, levels, save):
    path = save(tmp_path / "m", LEVELS[levels]())
    np.testing.assert_array_equal(read_mask_clip(path), people())


@pytest.mark.parametrize("save", [folder, archive])
@pytest.mark.parametrize("levels", SOFT)
def test_soft_masks_are_cut_at_half_their_own_range(tmp_path, levels, save):
    read = read_mask_clip(save(tmp_path / "m", SOFT[levels]()))
    assert (read == people()).mean() > 0.99
    assert not read[2].any()


@pytest.mark.parametrize("kind", [bool, np.float32, np.float16, np.int64])
def test_arrays_of_every_type(tmp_path, kind):
    np.testing.assert_array_equal(
        read_mask_clip(archive(tmp_path / "m", people().astype(kind))), people()
    )


def test_probabilities_are_soft(tmp_path):
    read = read_mask_clip(archive(tmp_path / "m", 0.9 * soft()))
    assert (read == people()).mean() > 0.99


def test_labels_are_said(tmp_path):
    with pytest.warns(InputWarning, match=r"m: marks people by 2 levels \(1, 2\); everything but"):
        read_mask_clip(folder(tmp_path / "m", halves()))


def test_colours_on_black_are_labels(tmp_path):
    # As palettes of segmentation tools: one of them darker than half.
    palette = np.array([[0, 0, 0], [64, 0, 0], [0, 200, 90]], np.uint8)
    path = folder(tmp_path / "m", palette[halves()])
    with pytest.warns(InputWarning, match="by 2 colours"):
        np.testing.assert_array_equal(read_mask_clip(path), people())
    path = folder(tmp_path / "n", 20 + palette[halves()])
    with pytest.raises(UserError, match="colours without black"):
        read_mask_clip(path)


@pytest.mark.parametrize("screen", [(0, 255, 0), (20, 40, 250)])
def test_people_before_a_coloured_screen_are_no_masks(tmp_path, screen):
    shades = np.random.default_rng(0).integers(30, 220, (3, *SIZE, 3), np.uint8)
    frames = np.where(people()[..., None], shades, np.array(screen, np.uint8))
    write_video(tmp_path / "m.mp4", frames, 25)
    for path in (tmp_path / "m.mp4", folder(tmp_path / "m", frames)):
        with pytest.raises(UserError, match=r"m.*: is a coloured picture, not a mask"):
            read_mask_clip(path)


def test_a_cut_out_in_some_frames_is_one_in_all(tmp_path):
    pictures = np.full((3, *SIZE, 4), 255, np.uint8)
    pictures[..., 3] *= people()
    pictures[2, ..., 3] = 255 * people()[0]
    np.testing.assert_array_equal(
        read_mask_clip(folder(tmp_path / "m", pictures)), people()[[0, 1, 0]]
    )


@pytest.mark.parametrize("name", ["m.mp4", "m.gif"])
def test_videos_go_by_the_same_rule(tmp_path, name):
    frames = np.repeat(people()[..., None] * np.uint8(200), 3, axis=-1)
    write_video(tmp_path / name, frames, 25)
    read = read_mask_clip(tmp_path / name)
    assert (read == people()).mean() > 0.99
    assert not read[2].any()


def test_faint_videos_are_refused(tmp_path):
    frames = np.repeat(people()[..., None].astype(np.uint8), 3, axis=-1)
    write_video(tmp_path / "m.mp4", frames * np.uint8(3), 25, quality=1)
    with pytest.raises(UserError, match=r"m.mp4: reaches only level \d of 255.*; write"):
        read_mask_clip(tmp_path / "m.mp4")
    cv2.imwrite(str(tmp_path / "m.jpg"), frames[0])
    with pytest.raises(UserError, match=r"m.jpg: .*noise.*; write|m.jpg: marks nobody"):
        read_mask(tmp_path / "m.jpg")
    write_video(tmp_path / "m.gif", frames, 25)
    np.testing.assert_array_equal(read_mask_clip(tmp_path / "m.gif"), people())


def photograph():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([(x * 5 + y + 10 * f) % 256 for f in range(3)]).astype(np.uint8)


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (np.zeros((3, *SIZE), np.uint8), "marks nobody"),
        (photograph(), "is no mask: .*% of its pixels"),
        (np.stack([photograph(), photograph()[::-1], 255 - photograph()], -1), "coloured picture"),
        (people().astype(np.uint8) + halves() + np.uint8(1), "but none is 0"),
    ],
)
def test_what_marks_nobody_or_is_no_mask_is_refused(tmp_path, levels, words):
    path = folder(tmp_path / "m", levels)
    with pytest.raises(UserError, match=rf"m: .*{words}.*; \w+") as caught:
        read_mask_clip(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "levels", [10 * soft() - 5, np.full((1, *SIZE), np.nan), np.zeros((1, *SIZE), complex)]
)
def test_numbers_that_are_no_levels_are_refused(tmp_path, levels):
    with pytest.raises(UserError, match=r"m.npz: .*; save"):
        read_mask_clip(archive(tmp_path / "m", levels))
    with pytest.raises(UserError, match=r"m.npz: reaches only level 0.02"):
        read_mask_clip(archive(tmp_path / "m", 0.02 * soft()))


def test_a_mask_of_everything_is_said(tmp_path):
    cv2.imwrite(str(tmp_path / "m.png"), np.full(SIZE, 255, np.uint8))
    with pytest.warns(InputWarning, match=r"m.png: marks everything"):
        assert read_mask(tmp_path / "m.png").all()


@pytest.mark.parametrize("save", [folder, archive, array])
def test_the_mask_of_one_picture_is_read_from_every_kind(tmp_path, save):
    path = save(tmp_path / "m", people()[:1].astype(np.uint8))
    np.testing.assert_array_equal(read_mask(path), people()[0])
    flat = array(tmp_path / "flat", people()[0])
    np.testing.assert_array_equal(read_mask(flat), people()[0])
    with pytest.raises(UserError, match="give the mask of one picture"):
        read_mask(save(tmp_path / "clip", people().astype(np.uint8)))


def test_pictures_of_one_clip_may_be_empty(tmp_path):
    path = folder(tmp_path / "m", people().astype(np.uint8))
    files = sorted(path.iterdir())
    np.testing.assert_array_equal(read_mask_pictures(files), people())
    np.testing.assert_array_equal(read_mask_pictures(files[2:]), people()[2:])


def test_masks_of_another_size_are_scaled_if_they_have_the_aspect(tmp_path):
    path = archive(tmp_path / "m", people())
    with pytest.warns(InputWarning, match=r"m.npz: is 48x64 pixels and scaled to the 96x128 of"):
        masks = read_masks(path, (3, 128, 96))
    np.testing.assert_array_equal(masks[0], people().repeat(2, axis=1).repeat(2, axis=2))
    with pytest.raises(UserError, match=r"m.npz: is 48x64 pixels but the motion is 64x48; give"):
        read_masks(path, (3, 48, 64))
    with pytest.warns(InputWarning):  # 33.75 columns, rounded
        assert fit_masks(people(), (45, 34), path, "it").shape == (3, 45, 34)


def test_masks_of_stored_frames_follow_them(tmp_path):
    path = archive(tmp_path / "m", people())
    masks = read_masks(path, (5, *SIZE), np.array([0, 0, 1, 1, 2]))
    np.testing.assert_array_equal(masks[0], people()[[0, 0, 1, 1, 2]])
