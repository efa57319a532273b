"""Motion of a plate in the picture: a Kalman filter per coordinate; where it will be shortly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Corners = npt.NDArray[np.float32]

_LONGEST_S = 1.0  # further ahead than this, no plate is moved
_GREATEST = 2.0  # so much larger, or smaller, a plate may become before it is seen again


@dataclass(slots=True)
class Coordinate:
    """A coordinate that moves at a velocity which changes little by little.

    A Kalman filter whose process noise is a white, piecewise constant acceleration (Bar-Shalom,
    Li and Kirubarajan 2001, section 6.3.2), on top of what perspective does (``approach``). Units
    are the caller's: pixels and seconds here.

    Attributes:
        position, velocity: The estimate.
        position_variance, covariance, velocity_variance: How far it may be off.
    """

    position: float
    velocity: float
    position_variance: float
    covariance: float
    velocity_variance: float

    @classmethod
    def at(cls, position: float, deviation: float, velocity_deviation: float) -> Coordinate:
        """A coordinate seen once: its velocity is not known yet."""
        return cls(position, 0.0, deviation**2, 0.0, velocity_deviation**2)

    def after(
        self, seconds: float, acceleration: float, larger: float = 1.0, growth_variance: float = 0.0
    ) -> Coordinate:
        """Where it will be if nothing is seen for so long.

        Args:
            acceleration: Standard deviation of the acceleration.
            larger: By what factor all lengths will have grown (``approach``).
            growth_variance: How far off the growth may be that this was found from.
        """
        square = acceleration**2
        step, speed = seconds * larger, larger**2  # derivatives by the velocity
        bend = self.velocity * step**2  # by the growth; that of the velocity is 2 f v f^2 t
        turn = 2 * self.velocity * speed * step
        return Coordinate(
            self.position + step * self.velocity,
            speed * self.velocity,
            self.position_variance
            + step * (2 * self.covariance + step * self.velocity_variance)
            + square * seconds**4 / 4
            + bend**2 * growth_variance,
            speed * (self.covariance + step * self.velocity_variance)
            + square * seconds**3 / 2
            + bend * turn * growth_variance,
            speed**2 * self.velocity_variance + square * seconds**2 + turn**2 * growth_variance,
        )

    def distance(self, seen: float, deviation: float) -> float:
        """Squared Mahalanobis distance of what is seen from what is expected."""
        return (seen - self.position) ** 2 / (self.position_variance + deviation**2)

    def spread(self, deviation: float) -> float:
        """How much wider the expectation is than a look at it: the logarithm of deviations."""
        return math.log1p(self.position_variance / deviation**2) / 2

    def corrected(self, seen: float, deviation: float) -> Coordinate:
        """The estimate after a look at it whose standard deviation is ``deviation``."""
        total = self.position_variance + deviation**2
        gain, velocity_gain = self.position_variance / total, self.covariance / total
        off = seen - self.position
        return Coordinate(
            self.position + gain * off,
            self.velocity + velocity_gain * off,
            (1 - gain) * self.position_variance,
            (1 - gain) * self.covariance,
            self.velocity_variance - velocity_gain * self.covariance,
        )


def elapsed_s(
    then_ms: int, now_ms: int, then_pts_s: float | None = None, now_pts_s: float | None = None
) -> float:
    """How much time has passed for what is in the picture, between two frames.

    By the frames' times in the video: those are the camera's, while the clock also has what the
    network and a busy machine have done to a frame until it was captured. By the clock where
    these times are not known, or run back as in a recording that begins anew.

    Args:
        then_ms, now_ms: When they were captured, in ms.
        then_pts_s, now_pts_s: Their times in the video, in seconds.

    Returns:
        Seconds; negative if the clock has run back.
    """
    if then_pts_s is not None and now_pts_s is not None and now_pts_s >= then_pts_s:
        return now_pts_s - then_pts_s
    return (now_ms - then_ms) / 1000


def approach(growth: float, seconds: float) -> float:
    """By what factor a plate is seen larger, if it moves on in a straight line at the same speed.

    A point that is at the distance Z and comes nearer at the speed s is seen at
    (X + V t) / (Z - s t). With the velocity v of its picture and the growth g = s / Z, both at
    t = 0, all lengths therefore grow by f = 1 / (1 - g t), the point moves by v t f, its velocity
    becomes v f^2, and the growth g f: wherever the camera is, and however the road runs.

    Args:
        growth: The rate of the logarithm of its width, a second.

    Returns:
        Between a half and two.
    """
    return 1 / max(1 / _GREATEST, min(_GREATEST, 1 - growth * seconds))


def moved(
    corners: Corners, velocity: tuple[float, float], growth: float, seconds: float
) -> Corners:
    """Where a plate will be seen (``approach``).

    Args:
        corners: 4x2, pixels.
        velocity: Of the plate's centre, in pixels a second.
        growth: The rate of the logarithm of its width, a second.
        seconds: How long from now; at most one second counts.

    Returns:
        4x2 float32.
    """
    seconds = min(max(0.0, seconds), _LONGEST_S)
    larger = approach(growth, seconds)
    points = np.asarray(corners, np.float64)
    centre = points.mean(0)
    shift = np.array(velocity, np.float64) * seconds
    there: npt.NDArray[np.float32] = (centre + (shift + points - centre) * larger).astype(
        np.float32
    )
    return there
