"""A consumer's side: pictures out of what entries carry, whichever way they came."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from platestream import picture as pictures
from platestream.messages import Frame, Pixels
from platestream.picture import Image, Picture
from platestream.pixels import codec
from platestream.pixels.folder import ring_folder
from platestream.pixels.ring import Ring
from platestream.settings import StreamSettings

_OPEN_RINGS = 64  # of so many cameras and streams; a ring of its own for each


class Receiver:
    """Unpacks pictures; keeps the rings open that they lie in."""

    def __init__(self, settings: StreamSettings) -> None:
        self._folder = settings.shm_dir
        self._rings: OrderedDict[str, Ring] = OrderedDict()

    def unpack(
        self, pixels: Pixels, width: int, height: int, into: Picture | None = None
    ) -> Picture:
        """Unpacks a picture that must have the size its entry says.

        Args:
            into: Where to put it, of the form that ``codec.form`` says, in one piece; none: a
                new one.

        Returns:
            A picture of that form; writable, owned by the caller.

        Raises:
            OverwrittenError: It lay in shared memory, and is gone.
            MessageError: The bytes are damaged or of another size, or the ring is none.
        """
        if pixels.codec != "shm":
            return codec.unpack(pixels, width, height, into)
        ring = self._ring(pixels.ring)
        seen = ring.peek(pixels.slot, pixels.generation, codec.form(pixels, width, height))
        picture = pictures.copy(seen, into)
        ring.check(pixels.slot, pixels.generation, picture)
        return picture

    def bgr(self, pixels: Pixels, width: int, height: int) -> Image:
        """A picture to read: HxWx3 uint8 BGR, owned by the caller.

        Raises:
            OverwrittenError, MessageError: As ``unpack``.
        """
        if pixels.codec == "shm" and pixels.layout == "i420":
            with self.view(pixels, width, height) as picture:
                return pictures.bgr(picture)
        return pictures.bgr(self.unpack(pixels, width, height))

    @contextmanager
    def view(self, pixels: Pixels, width: int, height: int) -> Iterator[Picture]:
        """A picture to look at, without a copy where it lies in shared memory.

        What was made of it counts only once the block has ended without an error: the producer
        may write over it meanwhile.

        Yields:
            A picture of the form that ``codec.form`` says; to be read only, and not after the
            block.

        Raises:
            OverwrittenError: At the block's end too: it was overwritten meanwhile.
            MessageError: As ``unpack``.
        """
        if pixels.codec != "shm":
            yield codec.unpack(pixels, width, height)
            return
        ring = self._ring(pixels.ring)
        picture = ring.peek(pixels.slot, pixels.generation, codec.form(pixels, width, height))
        try:
            yield picture
        except Exception:
            # what fails on half a picture is no fault of the picture's
            ring.check(pixels.slot, pixels.generation, picture)
            raise
        ring.check(pixels.slot, pixels.generation, picture)

    def detach(self, frame: Frame, jpeg_quality: int) -> Frame:
        """The frame with its picture in itself, as JPEG.

        Raises:
            OverwrittenError, MessageError: As ``unpack``.
        """
        if frame.pixels.codec == "jpeg":
            return frame
        with self.view(frame.pixels, frame.width, frame.height) as picture:
            packed = codec.pack(picture, "jpeg", jpeg_quality)
        return frame.model_copy(update={"pixels": packed})

    def let_go(self) -> None:
        """Lets rings go that were removed, and their memory with them."""
        for old in [key for key, ring in self._rings.items() if not ring.path.exists()]:
            del self._rings[old]

    def _ring(self, name: str) -> Ring:
        """The ring of a name, which ``Pixels`` has checked to be a plain file's."""
        known = self._rings.get(name)
        if known is not None:
            self._rings.move_to_end(name)
            return known
        self.let_go()  # a new ring is often in place of another
        ring = Ring.open(ring_folder(self._folder) / name)
        self._rings[name] = ring
        while len(self._rings) > _OPEN_RINGS:
            self._rings.popitem(last=False)
        return ring
