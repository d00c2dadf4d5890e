"""Rendering of clips: a person in motion before a scene, with exact ground truth."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax.studies.people import color
from tpc_jax.studies.people.appearance import Person, sample_person
from tpc_jax.studies.people.figure import Figure, build_figure
from tpc_jax.studies.people.motion import Choreography, sample_motion
from tpc_jax.studies.people.raster import draw_layers, split_parts, supersampling
from tpc_jax.studies.people.scenes import Scene, render_scene, sample_scene
from tpc_jax.studies.people.skeleton import Skeleton, pose_skeleton

Number = float | int
PersonTransform = tuple[Number, Number, tuple[Number, Number]]

_SPLITS = {"train": 0, "test": 1}


class Clip(NamedTuple):
    """Frames with ground truth.

    Attributes:
        frames: RGB pictures.
        keypoints: COCO-17 positions (x, y) in pixels; left_* is the person's own left.
        conf: 1 where a keypoint is inside the canvas and not hidden by the body, else 0.
        parts: DensePose part ids 0 to 24.
        mask: The person including hair, clothing and carried things.
    """

    frames: UInt8[np.ndarray, "frames height width 3"]
    keypoints: Float[np.ndarray, "frames 17 2"]
    conf: Float[np.ndarray, "frames 17"]
    parts: UInt8[np.ndarray, "frames height width"]
    mask: Bool[np.ndarray, "frames height width"]


def clip_rng(seed: int, index: int, split: str = "train") -> np.random.Generator:
    """Return the generator of clip number `index` of a seed.

    Args:
        seed: Non-negative seed of the set.
        index: Clip number in the set.
        split: "train" or "test"; their people never coincide.

    Returns:
        A fresh generator, independent of all others.

    Raises:
        ValueError: For an unknown split.
    """
    if split not in _SPLITS:
        raise ValueError(f"split must be one of {sorted(_SPLITS)}, got {split!r}")
    return np.random.default_rng([_SPLITS[split], seed, index])


def scaled_turn(angle: Number, scale: Number) -> Float[np.ndarray, "2 2"]:
    """Return the matrix that turns by radians from +x towards +y and scales."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _canvas_size(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 8:
        raise ValueError(f"size must be at least 8 pixels a side, got {(height, width)}")
    return height, width


def _frame_person(
    person: Person, skeleton: Skeleton, motion: Choreography, aspect: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and offset [frames, 2] from body heights to canvas heights.

    The origin of the result is the canvas centre. A full-length shot is shrunk as far as
    needed, but not below 0.6, to keep the raised hands of all frames in the picture.
    """
    camera = motion.camera
    groups = (skeleton.wrists, skeleton.elbows, skeleton.toes, skeleton.ankles, skeleton.knees)
    joints = np.concatenate([*groups, skeleton.head[:, None]], axis=1)
    points = skeleton.project(joints)
    low, high = points.min(axis=(0, 1)) - 0.09, points.max(axis=(0, 1)) + np.array([0.09, 0.045])
    height = camera.height
    middle = 0.5 * (low + high)
    if camera.is_close:
        crown = skeleton.project(skeleton.head)[:, 1].min() - 0.6 * person.body.head_height
        middle[0] = skeleton.project(skeleton.neck)[:, 0].mean()
        middle[1] = crown + (0.5 - 0.05) / height
    else:
        fit = np.minimum(0.97 / (high[1] - low[1]), 0.97 * aspect / (high[0] - low[0]))
        height = min(height, max(0.6, fit))
    scale = height * motion.zoom
    slack = np.maximum(0.0, 0.5 * (np.array([aspect, 1.0]) - height * (high - low)))
    shift = np.clip(np.array(camera.offset), -slack, slack)
    return scale, shift - scale[:, None] * middle


def render_clip(
    person: Person,
    scene: Scene,
    motion: Choreography,
    size: int | tuple[int, int],
    *,
    person_transform: PersonTransform | None = None,
    frames: np.ndarray | list[int] | None = None,
) -> Clip:
    """Render a person performing a motion before a static scene.

    Args:
        person: Appearance.
        scene: Background and direction of light.
        motion: Pose angles and camera framing.
        size: Canvas side in pixels, or (height, width).
        person_transform: (angle, scale, (dx, dy)) of a similarity applied to the person about
            the canvas centre: radians positive from +x towards +y, and a shift as a fraction of
            the canvas width and height. The scene stays where it is.
        frames: Indices of the frames to render; all of them if None.

    Returns:
        The clip. The same arguments at another size give the same clip at that resolution.

    Raises:
        ValueError: If the canvas is smaller than 8 pixels.
    """
    height, width = _canvas_size(size)
    skeleton = pose_skeleton(person.body, motion)
    scale, offset = _frame_person(person, skeleton, motion, width / height)
    if frames is not None:
        index = np.asarray(frames, int)
        skeleton, scale, offset = skeleton.select(index), scale[index], offset[index]
    center = np.array([width - 1, height - 1]) / 2
    linear = (height * scale)[:, None, None] * np.eye(2)
    offset = height * offset
    if person_transform is not None:
        angle, zoom, shift = person_transform
        turn = scaled_turn(angle, zoom)
        linear, offset = turn @ linear, offset @ turn.T + np.array(shift) * (width, height)
    offset = offset + center

    ratio = supersampling(height, width)
    background = render_scene(scene, height * ratio, width * ratio)
    # Front and back are made of different shapes.
    sides = [np.flatnonzero(skeleton.faces_away == away) for away in (False, True)]
    clips = [
        _draw(build_figure(person, skeleton.select(side), scene.light), linear[side], offset[side],
              background, ratio)
        for side in sides if side.size
    ]  # fmt: skip
    order = np.argsort(np.concatenate(sides))
    return Clip(*(np.concatenate(arrays)[order] for arrays in zip(*clips, strict=True)))


def _draw(
    figure: Figure, linear: np.ndarray, offset: np.ndarray, background: np.ndarray, ratio: int
) -> Clip:
    """Draw a figure over a background of `ratio` times the canvas size."""
    pictures, codes, mask = draw_layers(figure.layers, linear, offset, background, ratio)
    parts = split_parts(codes, figure.splits, linear, offset)
    keypoints = np.einsum("fij,fkj->fki", linear, figure.keypoints) + offset[:, None]
    keypoints = keypoints.astype(np.float32)
    size = np.array([mask.shape[2], mask.shape[1]])
    inside = ((keypoints > -0.5) & (keypoints < size - 0.5)).all(-1)
    conf = (inside & figure.visible).astype(np.float32)
    return Clip(pictures, keypoints, conf, parts, mask)


def sample_visible_scene(rng: np.random.Generator, person: Person) -> Scene:
    """Draw scenes until one differs clearly from the person's main colours."""
    scene = sample_scene(rng)
    for _ in range(4):
        pairs = [color.distance(a, b) for a in person.main_colors for b in scene.tones]
        if min(pairs) > 60.0:
            break
        scene = sample_scene(rng)
    return scene


def sample_clip(
    rng: np.random.Generator,
    num_frames: int,
    size: int | tuple[int, int],
    *,
    person_transform: PersonTransform | None = None,
    frames: np.ndarray | list[int] | None = None,
) -> Clip:
    """Draw a random person, scene and motion, and render them.

    Args:
        rng: Source of all randomness; the same state gives the same clip at any size.
        num_frames: Length of the motion.
        size: Canvas side in pixels, or (height, width).
        person_transform: See `render_clip`.
        frames: See `render_clip`.

    Returns:
        The clip.
    """
    person = sample_person(rng)
    scene = sample_visible_scene(rng, person)
    motion = sample_motion(rng, num_frames)
    return render_clip(
        person, scene, motion, size, person_transform=person_transform, frames=frames
    )
