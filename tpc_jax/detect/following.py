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
# Similarity by which somebody else must be more like what is seen.
_MORE_LIKE = 0.1


class Track(NamedTuple):
    """Somebody who is followed.

    Attributes:
        look: The last look.
        colours: What the person looks like, see `colours_of`.
        velocity: Pixels per frame.
        missed: Frames since the last look.
    """

    look: Look
    colours: Float[np.ndarray, " bins"]
    velocity: Float[np.ndarray, " 2"]
    missed: int = 0

    @property
    def expected(self) -> Region:
        """Where the person should be in the next frame."""
        region = self.look.landmarks.next_region
        return region._replace(centre=region.centre + (1 + self.missed) * self.velocity)

    def seen(self, look: Look, colours: Float[np.ndarray, " bins"]) -> "Track":
        """Go on with a new look."""
        if look.landmarks.score < _CLEAR:
            return self._replace(look=look, missed=0)
        moved = look.landmarks.next_region.centre - self.look.landmarks.next_region.centre
        velocity = self.velocity + _VELOCITY_GAIN * (moved / (1 + self.missed) - self.velocity)
        return Track(look, self.colours + _COLOUR_GAIN * (colours - self.colours), velocity)

    def surprise(self, region: Region) -> float:
        """Return how far a region is from where the person should be, in sides of it."""
        expected = self.expected
        return float(np.hypot(*(region.centre - expected.centre)) / expected.side)


def start(picture: Picture, look: Look) -> Track:
    """Begin to follow somebody."""
    return Track(look, colours_of(picture, look.landmarks), np.zeros(2))


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
