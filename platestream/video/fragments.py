"""Fragmented MP4 on disk: in whole fragments, one a frame, and found again after a crash."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from platestream.append_file import AppendFile, DiskError
from platestream.errors import OutputError

_BOX = struct.Struct(">I4s")  # ISO/IEC 14496-12: a box begins with its size and its type
_LARGEST_HEADER = 2**20  # bytes; ours have some 800


class OtherHeaderError(OutputError):
    """A file was begun with other encoder settings; what comes now would not fit into it."""


@dataclass(frozen=True, slots=True)
class Fragments:
    """What a file of ours holds whole.

    Attributes:
        header: ``ftyp`` and ``moov`` as they stand in the file; empty if they are not whole.
        ends: For every whole fragment, the offset at which it ends.
        finished: Whether it is an ordinary MP4 already, which nothing can be added to.
    """

    header: bytes = b""
    ends: tuple[int, ...] = ()
    finished: bool = False


def scan(path: Path) -> Fragments:
    """Finds what is whole in a fragmented MP4 of ours, from its boxes' sizes alone.

    Returns:
        An empty ``Fragments`` if the file is not there or is not one.

    Raises:
        DiskError: It cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Fragments()
    except OSError as error:
        raise DiskError(f"cannot read '{path}': {error.strerror}") from error
    try:
        return _scan(fd)
    except OSError as error:
        raise DiskError(f"cannot read '{path}': {error.strerror}") from error
    finally:
        os.close(fd)


def last_decode_time(path: Path, fragments: Fragments) -> int:
    """When the last whole fragment's frame is decoded, in ticks of its track; -1 without one.

    Raises:
        OSError: The file cannot be read.
    """
    if not fragments.ends:
        return -1
    begin = fragments.ends[-2] if len(fragments.ends) > 1 else len(fragments.header)
    with path.open("rb") as file:
        file.seek(begin)
        head = file.read(4096)  # a moof of one frame has some 100 bytes
    at = head.find(b"tfdt")
    if at < 0:
        return -1
    version = head[at + 4]
    return int.from_bytes(head[at + 8 : at + (16 if version == 1 else 12)], "big")


class FragmentFile:
    """What the muxer writes into: bytes are held until a fragment is whole, then appended.

    The muxer never sees the disk: where there is no room, fragments wait here, and ``flush``
    tries again.

    Attributes:
        fragments: How many whole fragments are in the file.
    """

    def __init__(self, path: Path, kept: Fragments | None = None) -> None:
        """Names the file; nothing is opened before the first fragment.

        Args:
            kept: Goes on after these fragments of what is there.
        """
        kept = kept or Fragments()
        self._file = AppendFile(path, kept.ends[-1] if kept.ends else 0)
        self._expected = kept.header if kept.ends else b""
        self._held = bytearray()
        self._began = False  # whether the header has been dealt with
        self.fragments = len(kept.ends)

    @property
    def size(self) -> int:
        """The file's size, in bytes."""
        return self._file.size

    def write(self, data: bytes) -> int:
        """Takes what the muxer writes."""
        self._held += data
        return len(data)

    def begin(self) -> None:
        """Compares the muxer's header with that of the file that is gone on with.

        Raises:
            OtherHeaderError: They differ.
        """
        size = _length(self._held, b"ftyp", b"moov")
        if self._expected and bytes(self._held[:size]) != self._expected:
            raise OtherHeaderError(f"'{self._file.path}' was begun with other encoder settings")
        if size and self._expected:
            del self._held[:size]
            self._began = True

    def flush(self) -> None:
        """Appends what is whole.

        Raises:
            DiskError: It cannot be written now; it is kept, try again later.
            LostFileError: The file is gone.
        """
        if not self._began and (size := _length(self._held, b"ftyp", b"moov")):
            self._file.append(bytes(self._held[:size]))
            del self._held[:size]
            self._began = True
        while self._began and (size := _length(self._held, b"moof", b"mdat")):
            self._file.append(bytes(self._held[:size]))
            del self._held[:size]
            self.fragments += 1

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()


def _scan(fd: int) -> Fragments:
    total = os.fstat(fd).st_size
    offset = 0
    for kind in (b"ftyp", b"moov"):
        size = _box(fd, offset, total, kind)
        offset += size
        if not size or offset > _LARGEST_HEADER:
            return Fragments()
    header = os.pread(fd, offset, 0)
    if b"mvex" not in header:  # the box that announces fragments
        return Fragments(header, finished=True)
    ends = []
    while moof := _box(fd, offset, total, b"moof"):
        mdat = _box(fd, offset + moof, total, b"mdat")
        if not mdat:
            break
        offset += moof + mdat
        ends.append(offset)
    return Fragments(header, tuple(ends))


def _box(fd: int, offset: int, total: int, kind: bytes) -> int:
    """The size of the box at an offset; 0 if it is another one or not whole."""
    head = os.pread(fd, _BOX.size, offset)
    if len(head) < _BOX.size:
        return 0
    size, found = _BOX.unpack(head)
    return size if found == kind and _BOX.size <= size <= total - offset else 0


def _length(data: bytearray, first: bytes, second: bytes) -> int:
    """How long two boxes at the beginning are together; 0 if they are not both there, whole."""
    length = 0
    for kind in (first, second):
        if len(data) < length + _BOX.size:
            return 0
        size, found = _BOX.unpack_from(data, length)
        if found != kind:
            raise OutputError(f"the muxer wrote a box {found!r} where {kind!r} was due")
        length += size
    return length if len(data) >= length else 0
