"""A producer's side: pictures packed for the way that the settings name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from platestream import streams
from platestream.errors import SharedMemoryError
from platestream.messages import MAX_PIXELS, Pixels
from platestream.picture import Form, Picture, form_of
from platestream.pixels import codec
from platestream.pixels.folder import list_folder, make_folder, remove_left_rings, ring_folder
from platestream.pixels.ring import Ring, StreamName, new_name, parts_of, slot_bytes_for
from platestream.settings import Settings, StreamSettings

_log = structlog.get_logger()
_SPARE = 2  # slots beyond the window: a reader that is late has its picture a little longer
_FEWEST_LIVE = 4
_MOST_LIVE = 64


class Sender(Protocol):
    """Packs a camera's pictures for one stream."""

    def prepare(self, form: Form, *, waits: bool) -> int:
        """Makes ready for pictures of a form; costs nothing while it stays the same.

        Args:
            waits: Whether the producer waits for its consumers; else the newest pictures count.

        Returns:
            How many frames may be under way, from the oldest that some group is not done with.

        Raises:
            SharedMemoryError: There is too little of it.
        """

    def canvas(self, frame_id: int, form: Form) -> Picture:
        """Where to make a frame's picture, if it is not there yet: packing it then costs less.

        Returns:
            A picture of that form, in one piece, with anything in it.
        """

    def pack(self, frame_id: int, picture: Picture) -> Pixels:
        """Packs the picture of a frame; ``prepare`` was called for its form.

        A frame that was published before must be found as it was: it is not packed again.

        Args:
            picture: Any picture, or the canvas that was asked for last.
        """

    def weight(self, pixels: Pixels) -> int:
        """How many bytes of its stream's budget the entry with a packed picture takes."""

    def release(self, before: int) -> None:
        """Says that nobody needs frames before an id any more."""

    def close(self) -> None:
        """Lets go; what is under way stays for those who are to read it."""


def open_sender(
    client: streams.Client, settings: Settings, camera: str, stream: StreamName
) -> Sender:
    """The sender for a camera's ``frames`` or ``rendered``, as ``streams.pixels`` says.

    Raises:
        SharedMemoryError: The folder for rings cannot be used.
    """
    how = settings.streams.pixels
    if how == "raw" or how == "jpeg" or how == "auto":
        return CodecSender(settings.streams)
    key = streams.frames_key(camera) if stream == "frames" else streams.rendered_key(camera)
    return RingSender(
        settings.streams,
        camera,
        stream,
        home=_home(settings),
        token=streams.ring_token(client, camera),
        token_of=lambda name: streams.known_ring_token(client, name),
        published=lambda frame_id: streams.last_published(client, key) >= frame_id,
    )


def remove_left(
    client: streams.Client, settings: Settings, served: Collection[str] = ()
) -> list[str]:
    """Removes rings that no process writes and no entry can name any more.

    A producer does so when it starts; where a camera was retired none may.

    Args:
        served: Cameras that there are; their rings are left alone.

    Returns:
        The names of those that were removed.
    """
    try:
        folder = ring_folder(settings.streams.shm_dir)
    except SharedMemoryError:  # there can be none here
        return []
    tokens = partial(streams.known_ring_token, client)
    return remove_left_rings(folder, _home(settings), tokens, served=served)


def _home(settings: Settings) -> bytes:
    """16 bytes that tell our Redis."""
    return hashlib.sha256(settings.redis.url.encode()).digest()[:16]


class CodecSender:
    """Packs into the entry itself: ``jpeg`` or ``raw``."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings

    def prepare(self, form: Form, *, waits: bool) -> int:
        """See ``Sender``."""
        return self._settings.window_frames

    def canvas(self, frame_id: int, form: Form) -> Picture:
        """See ``Sender``."""
        return form.empty()

    def pack(self, frame_id: int, picture: Picture) -> Pixels:
        """See ``Sender``."""
        raw = self._settings.pixels == "raw"
        return codec.pack(picture, "raw" if raw else "jpeg", self._settings.jpeg_quality)

    def weight(self, pixels: Pixels) -> int:
        """See ``Sender``."""
        return streams.held_bytes(len(pixels.data))

    def release(self, before: int) -> None:
        """See ``Sender``."""

    def close(self) -> None:
        """See ``Sender``."""


class RingSender:
    """Copies into a ring in shared memory; a larger picture, or another mode, gets a new ring.

    A producer that was killed is followed by one that goes on with its ring, where it fits: what
    lies in it may still be wanted. Rings that no longer fit stay until their frames are done with.

    Too little memory for the first ring is an error; for a larger one later it is not: what does
    not fit travels in its entry, as JPEG.
    """

    def __init__(
        self,
        settings: StreamSettings,
        camera: str,
        stream: StreamName,
        *,
        home: bytes,
        token: str,
        token_of: Callable[[str], str | None],
        published: Callable[[int], bool],
    ) -> None:
        """Takes over what an earlier producer left, and removes what nobody can want.

        Args:
            home: 16 bytes that tell our Redis.
            token: What this Redis knows the camera's rings by.
            token_of: The same for any camera; None for one that it does not know.
            published: Whether a frame is in the stream, or was.

        Raises:
            SharedMemoryError: The folder cannot be used.
        """
        self._settings = settings
        self._budget_bytes: int = getattr(settings.shares, stream)
        self._camera = camera
        self._stream: StreamName = stream
        self._home = home
        self._token = token
        self._published = published
        self._ring: Ring | None = None
        self._canvas: Picture | None = None
        self._prepared: tuple[Form, bool] | None = None
        self._aside = False  # whether there is no ring for the pictures that come now
        self._window = 1
        self._waits = False
        self._folder: Path = ring_folder(settings.shm_dir)
        make_folder(self._folder)
        own = (camera, stream, token)
        remove_left_rings(self._folder, home, token_of, spared=lambda name: parts_of(name) == own)
        found = (Ring.adopt(p) for p in list_folder(self._folder) if parts_of(p.name) == own)
        self._old = [ring for ring in found if ring is not None]
        self._doubtful = bool(self._old)  # whether a frame to be packed may be out already

    def prepare(self, form: Form, *, waits: bool) -> int:
        """See ``Sender``."""
        if self._prepared == (form, waits):
            return self._window
        slot_bytes = slot_bytes_for(form)
        width, height, _ = form
        if width * height > MAX_PIXELS:
            raise SharedMemoryError(f"{width}x{height}: the limit is {MAX_PIXELS} pixels")
        affordable = self._budget_bytes // slot_bytes
        if waits:
            slots = max(1 + _SPARE, min(self._settings.window_frames + _SPARE, affordable))
        else:
            slots = min(_MOST_LIVE, max(_FEWEST_LIVE, affordable))
        self._aside = False
        ring = self._ring
        if ring is None or ring.slot_bytes < slot_bytes or self._waits != waits:
            try:
                made = self._take_up(slots, slot_bytes) or self._make(slots, slot_bytes)
            except SharedMemoryError as error:
                if ring is None and not self._old:
                    raise
                self._aside = True
                _log.warning(f"{error}; pictures of {width}x{height} travel as JPEG meanwhile")
            else:
                if ring is not None:
                    self._old.append(ring)
                self._ring, self._waits = made, waits
                self._window = max(1, min(self._settings.window_frames, made.slots - _SPARE))
        self._prepared = (form, waits)
        return self._window

    def _make(self, slots: int, slot_bytes: int) -> Ring:
        name = new_name(self._camera, self._stream, self._token)
        return Ring.create(self._folder, name, slots, slot_bytes, self._home)

    def canvas(self, frame_id: int, form: Form) -> Picture:
        """See ``Sender``."""
        if self._aside or self._place_of_published(frame_id) is not None:
            return form.empty()
        self._canvas = self._written().begin(frame_id, form)
        return self._canvas

    def pack(self, frame_id: int, picture: Picture) -> Pixels:
        """See ``Sender``."""
        if self._aside:
            self._canvas = None
            return codec.pack(picture, "jpeg", self._settings.jpeg_quality)
        ring = self._written()
        if picture is self._canvas:
            place = ring.finish(frame_id, picture)
        else:
            place = self._place_of_published(frame_id) or ring.write(frame_id, picture)
        self._canvas = None
        if not self._waits:
            self.release(frame_id - ring.slots)
        return Pixels(
            codec="shm",
            ring=ring.name,
            slot=place[0],
            generation=place[1],
            **codec.layout(form_of(picture)),
        )

    def weight(self, pixels: Pixels) -> int:
        """See ``Sender``.

        The stream keeps twice as many entries as the ring has slots: what is a little late is
        then counted as overwritten by who wanted it, and does not just vanish.
        """
        if pixels.codec != "shm":
            return streams.held_bytes(len(pixels.data))
        return self._budget_bytes // (2 * self._written().slots)

    def release(self, before: int) -> None:
        """See ``Sender``."""
        if not self._old:
            return
        for ring in [ring for ring in self._old if ring.last_frame_id < before]:
            ring.remove()
            self._old.remove(ring)

    def close(self) -> None:
        """See ``Sender``."""
        for ring in [*self._old, *([self._ring] if self._ring else [])]:
            ring.release()
        self._old, self._ring, self._prepared, self._canvas = [], None, None, None

    def _written(self) -> Ring:
        assert self._ring is not None, "prepare comes first"
        return self._ring

    def _place_of_published(self, frame_id: int) -> tuple[int, int] | None:
        """Where a frame lies that an earlier producer published before it ended."""
        if not self._doubtful:
            return None
        place = self._written().holds(frame_id)
        self._doubtful = place is not None  # from the first new frame on, all are new
        return place if place is not None and self._published(frame_id) else None

    def _take_up(self, slots: int, slot_bytes: int) -> Ring | None:
        """An earlier ring of the same shape: the newest of them, if there are several."""
        fitting = [r for r in self._old if (r.slots, r.slot_bytes) == (slots, slot_bytes)]
        if not fitting:
            return None
        ring = max(fitting, key=lambda r: r.last_frame_id)
        self._old.remove(ring)
        return ring
