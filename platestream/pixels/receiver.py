"""A consumer's side: pictures out of what entries carry, whichever way they came."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from platestream.messages import Frame, Pixels
from platestream.pixels import codec
from platestream.pixels.folder import ring_folder
from platestream.pixels.ring import Ring
from platestream.settings import StreamSettings

Image = npt.NDArray[np.uint8]

_OPEN_RINGS = 64  # of so many cameras and streams; a ring of its own for each


class Receiver:
    """Unpacks pictures; keeps the rings open that they lie in."""

    def __init__(self, settings: StreamSettings) -> None:
        self._folder = settings.shm_dir
        self._rings: OrderedDict[str, Ring] = OrderedDict()

    def unpack(self, pixels: Pixels, width: int, height: int, into: Image | None = None) -> Image:
        """Unpacks a picture that must have the size its entry says.

        Args:
            into: HxWx3 uint8, contiguous: where to put it; none: a new array.

        Returns:
            HxWx3 uint8 BGR; writable, owned by the caller.

        Raises:
            OverwrittenError: It lay in shared memory, and is gone.
            MessageError: The bytes are damaged or of another size, or the ring is none.
        """
        if pixels.codec != "shm":
            return codec.unpack(pixels, width, height, into)
        ring = self._ring(pixels.ring)
        seen = ring.peek(pixels.slot, pixels.generation, width, height)
        image = np.empty_like(seen) if into is None else into
        np.copyto(image, seen)
        ring.check(pixels.slot, pixels.generation, image)
        return image

    @contextmanager
    def view(self, pixels: Pixels, width: int, height: int) -> Iterator[Image]:
        """A picture to look at, without a copy where it lies in shared memory.

        What was made of it counts only once the block has ended without an error: the producer
        may write over it meanwhile.

        Yields:
            HxWx3 uint8 BGR; to be read only, and not after the block.

        Raises:
            OverwrittenError: At the block's end too: it was overwritten meanwhile.
            MessageError: As ``unpack``.
        """
        if pixels.codec != "shm":
            yield codec.unpack(pixels, width, height)
            return
        ring = self._ring(pixels.ring)
        image = ring.peek(pixels.slot, pixels.generation, width, height)
        try:
            yield image
        except Exception:
            # what fails on half a picture is no fault of the picture's
            ring.check(pixels.slot, pixels.generation, image)
            raise
        ring.check(pixels.slot, pixels.generation, image)

    def detach(self, frame: Frame, jpeg_quality: int) -> Frame:
        """The frame with its picture in itself, as JPEG.

        Raises:
            OverwrittenError, MessageError: As ``unpack``.
        """
        if frame.pixels.codec == "jpeg":
            return frame
        with self.view(frame.pixels, frame.width, frame.height) as image:
            packed = codec.pack(image, "jpeg", jpeg_quality)
        return frame.model_copy(update={"pixels": packed})

    def _ring(self, name: str) -> Ring:
        """The ring of a name, which ``Pixels`` has checked to be a plain file's."""
        known = self._rings.get(name)
        if known is not None:
            self._rings.move_to_end(name)
            return known
        # a new ring is the time to let those go that were removed, and their memory with them
        for old in [key for key, ring in self._rings.items() if not ring.path.exists()]:
            del self._rings[old]
        ring = Ring.open(ring_folder(self._folder) / name)
        self._rings[name] = ring
        while len(self._rings) > _OPEN_RINGS:
            self._rings.popitem(last=False)
        return ring
