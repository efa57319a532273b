"""Motion of a plate in the picture: a Kalman filter per coordinate, under constant velocity."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Coordinate:
    """A coordinate that moves at a velocity which changes little by little.

    A Kalman filter whose process noise is a white, piecewise constant acceleration (Bar-Shalom,
    Li and Kirubarajan 2001, section 6.3.2). Units are the caller's: pixels and seconds here.

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

    def after(self, seconds: float, acceleration: float) -> Coordinate:
        """Where it will be if nothing is seen for so long.

        Args:
            acceleration: Standard deviation of the acceleration.
        """
        square = acceleration**2
        return Coordinate(
            self.position + seconds * self.velocity,
            self.velocity,
            self.position_variance
            + seconds * (2 * self.covariance + seconds * self.velocity_variance)
            + square * seconds**4 / 4,
            self.covariance + seconds * self.velocity_variance + square * seconds**3 / 2,
            self.velocity_variance + square * seconds**2,
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
