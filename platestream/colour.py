"""What luma and chroma of a picture mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Matrix = Literal["bt601", "bt709"]


@dataclass(frozen=True, slots=True)
class Colour:
    """What a picture's luma and chroma mean.

    Attributes:
        matrix: The standard that says how they are made of red, green and blue.
        full_range: Whether they go from 0 to 255; else luma from 16 to 235, chroma from 16 to 240.
    """

    matrix: Matrix = "bt601"
    full_range: bool = False

    @property
    def matrix_code(self) -> int:
        """As streams say it: ITU-T H.273, table 4; also FFmpeg's AVColorSpace."""
        return {"bt601": 6, "bt709": 1}[self.matrix]

    @property
    def range_code(self) -> int:
        """FFmpeg's AVColorRange."""
        return 2 if self.full_range else 1


BT601 = Colour()  # limited range: what FFmpeg takes for granted, and OpenCV makes
