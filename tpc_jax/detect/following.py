"""One person followed from frame to frame: where they should be next, and what they look like."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from tpc_jax.detect.blazepose import Landmarks
from tpc_jax.detect.people import Look
from tpc_jax.detect.regions import Picture, Region

# Share of the newest displacement in the estimate of a person's velocity, and of the newest colours
# in what a person looks like; of looks that are this sure, for who is half hidden seems to jump.
_VELOCITY_GAIN, _COLOUR_GAIN, _CLEAR = 0.3, 0.05, 0.95
# Colours are counted on a crop of so many pixels, in so many levels per channel.
_CROP, _LEVELS = 64, 4
# Somebody is found again within this part of the region's side of where they should be, or with so
# similar colours.
_NEAR, _ALIKE = 0.25, 0.6
# Similarity by which somebody else must be more like what is seen.
_MORE_LIKE = 0.1


class Track(NamedTuple):
    """Somebody who is followed.

    Attributes:
        look: The last look.
        colours: What the person looks like, see `colours_of`.
        velocity: Pixels per frame.
        number: Who it is.
        missed: Frames since the last look.
    """

    look: Look
    colours: Float[np.ndarray, " bins"]
    velocity: Float[np.ndarray, " 2"]
    number: int
    missed: int = 0

    @property
    def expected(self) -> Region:
        """Where the person should be in the next frame.

        Landmarks wander a little with the crop they are found in, and the next crop with them, so
        it follows them only half the way.
        """
        last, new = self.look.landmarks.region, self.look.landmarks.next_region
        turn = float(np.angle(np.exp(1j * (new.angle - last.angle))))
        return Region(
            (last.centre + new.centre) / 2 + (1 + self.missed) * self.velocity,
            (last.side + new.side) / 2,
            last.angle + turn / 2,
        )

    def seen(self, look: Look, colours: Float[np.ndarray, " bins"]) -> "Track":
        """Go on with a new look."""
        if look.landmarks.score < _CLEAR:
            return self._replace(look=look, missed=0)
        moved = look.landmarks.next_region.centre - self.look.landmarks.next_region.centre
        velocity = self.velocity + _VELOCITY_GAIN * (moved / (1 + self.missed) - self.velocity)
        colours = self.colours + _COLOUR_GAIN * (colours - self.colours)
        return Track(look, colours, velocity, self.number)

    def surprise(self, region: Region) -> float:
        """Return how far a region is from where the person should be, in sides of it."""
        expected = self.expected
        return float(np.hypot(*(region.centre - expected.centre)) / expected.side)


def start(picture: Picture, look: Look, lost: list[Track], num_known: int) -> Track:
    """Begin to follow somebody, who may be known.

    Args:
        picture: The picture.
        look: The person.
        lost: Known people who are not seen now.
        num_known: How many people are known.

    Returns:
        A track with the number of the lost person nearby, or else of the one who looks most alike;
        a new number if there is none. If only one person is known, it is always that one.
    """
    colours = colours_of(picture, look.landmarks)
    near = [track for track in lost if track.surprise(look.landmarks.region) < _NEAR]
    known = near or [x for x in lost if num_known == 1 or float(x.colours @ colours) > _ALIKE]
    likest = max(known, key=lambda track: float(track.colours @ colours), default=None)
    return Track(look, colours, np.zeros(2), num_known if likest is None else likest.number)


def is_somebody_else(
    colours: Float[np.ndarray, " bins"], track: Track, tracks: list[Track]
) -> bool:
    """Tell whether what is seen is clearly more like another person who is followed."""
    own = float(colours @ track.colours)
    return any(float(colours @ other.colours) > own + _MORE_LIKE for other in tracks)


def colours_of(picture: Picture, landmarks: Landmarks) -> Float[np.ndarray, " bins"]:
    """Return the colours of a person, above and below the hips.

    Args:
        picture: The picture.
        landmarks: Mask and region of the person.

    Returns:
        Roots of the parts that colours have; the product of two is their similarity, 0 to 1.
    """
    crop = picture.crop(landmarks.region, _CROP).astype(int) * _LEVELS // 256
    bins = crop @ np.array([_LEVELS**2, _LEVELS, 1])
    shown = cv2.resize(landmarks.mask, (_CROP, _CROP), interpolation=cv2.INTER_AREA) > 0
    parts = []
    for half in (slice(0, _CROP // 2), slice(_CROP // 2, _CROP)):
        count = np.bincount(bins[half][shown[half]], minlength=_LEVELS**3)
        parts.append(np.sqrt(count / max(1, count.sum()) / 2))
    return np.concatenate(parts)
