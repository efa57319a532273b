"""A ring of pictures in shared memory: one producer writes, any number of readers copy.

The file, little-endian, every part on a page of its own:

- header: magic, version, slots, bytes of a slot, whether pictures carry a checksum, the producer's
  pid, the boot it was made in, the Redis it belongs to, when a picture was last written;
- a header for every slot, eight words of 64 bits: generation, frame id, size in bytes, width and
  height, checksum;
- the slots: pictures, as HxWx3 uint8 BGR or as planes; how many bytes they have tells which.

A slot is a sequence lock (seqlock). Its generation is odd while the producer writes, and even and
new once the picture is whole; an entry names the generation it means. A reader looks at the
generation, copies, and looks again: it has the picture it was promised, or knows that it is gone.

Words are written and read by one aligned 8-byte move each (CPython's memoryview does a memcpy of
a constant 8 bytes), in program order, because every step is a call into compiled code. x86-64
keeps the order of stores among themselves, and of loads (total store order; glibc's memcpy ends
its non-temporal stores with a fence). Other processors promise no such order, and Python has no
fence to ask for it: there every picture carries a CRC-32, and one that does not match counts as
overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import mmap
import os
import platform
import re
import secrets
import stat
import struct
import zlib
from pathlib import Path
from typing import Final, Literal

import numpy as np

from platestream.clock import now_ms
from platestream.errors import MessageError, OverwrittenError, SharedMemoryError
from platestream.messages import MAX_PIXELS, RING_NAME
from platestream.picture import Form, Picture, copy, form_of, memory_of

StreamName = Literal["frames", "rendered"]

PAGE: Final = 4096
MAX_SLOTS: Final = 4096
ORDERED_STORES: Final = platform.machine().lower() in {"x86_64", "amd64"}

_MAGIC = b"pstreamR"
_VERSION = 1
_HEADER = struct.Struct("<8sIIQII16s16sQ")
_WRITTEN_AT_WORD = (_HEADER.size - 8) // 8
_SLOT_WORDS = 8
_GENERATION, _FRAME_ID, _SIZE, _SHAPE, _CHECKSUM = range(5)
_NAME = re.compile(RING_NAME)


def slot_bytes_for(form: Form) -> int:
    """How much a slot for pictures of a form takes: whole pages."""
    return -(-form.size // PAGE) * PAGE


def ring_bytes(slots: int, slot_bytes: int) -> int:
    """How large the file of a ring is."""
    return PAGE + _table_bytes(slots) + slots * slot_bytes


def new_name(camera: str, stream: StreamName, token: str) -> str:
    """A name for a new ring, never used before.

    Args:
        token: What the camera is known by in its Redis, 16 hexadecimal digits.
    """
    return f"{camera}.{stream}.{token}.{secrets.token_hex(4)}.ring"


def parts_of(name: str) -> tuple[str, str, str] | None:
    """Camera, stream and token of a ring's name; None if it is not one."""
    if not _NAME.fullmatch(name) or "\n" in name:
        return None
    camera, stream, token, _, _ = name.rsplit(".", 4)
    return camera, stream, token


class Ring:
    """An open ring. It is unmapped when nobody has a picture of it any more.

    Attributes:
        name: The file's name, which entries carry.
        slots: How many pictures it holds.
        slot_bytes: How large the largest of them may be.
        home: 16 bytes that tell the Redis it belongs to.
    """

    def __init__(self, path: Path, file: int, *, writable: bool) -> None:
        """Maps an open file, after checking that it is what its header says.

        Args:
            file: A descriptor, which stays the caller's unless ``writable``.

        Raises:
            MessageError: It is no ring of ours.
        """
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size < 2 * PAGE:
            raise MessageError(f"'{path}' is no ring of pictures")
        header = _HEADER.unpack(os.pread(file, _HEADER.size, 0))
        magic, version, slots, slot_bytes, checked, _pid, boot, home, _ = header
        self.slots, self.slot_bytes, self.home = int(slots), int(slot_bytes), bytes(home)
        if magic != _MAGIC or version != _VERSION:
            raise MessageError(f"'{path}' is no ring of pictures of this version")
        if not (
            1 <= self.slots <= MAX_SLOTS
            and 0 < self.slot_bytes <= 3 * MAX_PIXELS + PAGE
            and self.slot_bytes % PAGE == 0
            and facts.st_size == ring_bytes(self.slots, self.slot_bytes)
        ):
            raise MessageError(f"'{path}' is not as large as its header says")
        if boot != boot_id():
            raise OverwrittenError(f"'{path.name}' is of before this machine was started")
        self.path = path
        self.name = path.name
        self._checked = bool(checked)
        self._first_slot = PAGE + _table_bytes(self.slots)
        self._map = mmap.mmap(
            file, facts.st_size, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        )
        self._words = memoryview(self._map).cast("Q")
        self._bytes = np.frombuffer(self._map, np.uint8)
        # an object, so that the lock goes with the ring also when nobody says close
        self._file = io.FileIO(file, "r+") if writable else None
        self._generation = 0
        if writable:
            # a producer that was killed while it wrote has left an odd one
            newest = max(self._words[self._at(slot)] for slot in range(self.slots))
            self._generation = newest + newest % 2

    @classmethod
    def create(
        cls,
        folder: Path,
        name: str,
        slots: int,
        slot_bytes: int,
        home: bytes,
        *,
        checked: bool = not ORDERED_STORES,
    ) -> Ring:
        """Makes a ring, all of its memory set aside, and locks it as its producer.

        Raises:
            SharedMemoryError: There is not enough memory, or the folder cannot be written.
        """
        size = ring_bytes(slots, slot_bytes)
        path = folder / f".{name}.new"
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise SharedMemoryError(f"cannot make '{path}': {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _set_aside(file, folder, slots, size)
            maker = (os.getpid(), boot_id(), home, now_ms())
            header = _HEADER.pack(_MAGIC, _VERSION, slots, slot_bytes, checked, *maker)
            os.pwrite(file, header, 0)
            os.rename(path, folder / name)
            return cls(folder / name, file, writable=True)
        except OSError as error:
            path.unlink(missing_ok=True)
            os.close(file)
            raise SharedMemoryError(f"cannot make '{path}': {error.strerror}") from error
        except SharedMemoryError:
            path.unlink(missing_ok=True)
            os.close(file)
            raise

    @classmethod
    def adopt(cls, path: Path) -> Ring | None:
        """Opens a ring whose producer is gone, and locks it as its producer.

        Returns:
            None if it is gone, has a producer, or is no ring of ours from this boot.
        """
        try:
            file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(path, file, writable=True)
        except (OSError, MessageError):
            os.close(file)
            return None

    @classmethod
    def open(cls, path: Path) -> Ring:
        """Opens a ring to read from it.

        Raises:
            OverwrittenError: It has been removed.
            MessageError: It is no ring of ours.
        """
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise OverwrittenError(f"the ring '{path.name}' is not in {path.parent}") from error
        except OSError as error:
            raise MessageError(f"cannot read '{path}': {error.strerror}") from error
        try:
            return cls(path, file, writable=False)
        except OSError as error:
            raise MessageError(f"cannot read '{path}': {error.strerror}") from error
        finally:
            os.close(file)

    @property
    def written_at_ms(self) -> int:
        """When a picture was last written, in ms since the epoch."""
        return int(self._words[_WRITTEN_AT_WORD])

    @property
    def last_frame_id(self) -> int:
        """The newest frame in it; 0 if there is none."""
        return max(self._words[self._at(slot) + _FRAME_ID] for slot in range(self.slots))

    @property
    def removed(self) -> bool:
        """Whether the producer's file is gone, or another has its name."""
        try:
            assert self._file is not None
            return os.stat(self.path).st_ino != os.fstat(self._file.fileno()).st_ino
        except OSError:
            return True

    def holds(self, frame_id: int) -> tuple[int, int] | None:
        """Slot and generation of a frame, if it lies in the ring whole."""
        slot = frame_id % self.slots
        at = self._at(slot)
        generation = self._words[at]
        if self._words[at + _FRAME_ID] == frame_id and generation and generation % 2 == 0:
            return slot, generation
        return None

    def begin(self, frame_id: int, form: Form) -> Picture:
        """A frame's slot, to be written: a picture of a form, whatever was in it before.

        Nobody can read it until ``finish``; the form's size is no more than a slot.
        """
        words, at = self._words, self._at(frame_id % self.slots)
        words[at] = self._generation + 1
        words[at + _FRAME_ID] = frame_id
        words[at + _SIZE] = form.size
        words[at + _SHAPE] = form.width << 32 | form.height
        return self._picture(frame_id % self.slots, form)

    def finish(self, frame_id: int, picture: Picture) -> tuple[int, int]:
        """Says that what ``begin`` gave is whole; returns the slot and its generation."""
        slot = frame_id % self.slots
        words, at = self._words, self._at(slot)
        if self._checked:
            words[at + _CHECKSUM] = zlib.crc32(memory_of(picture).data)
        self._generation += 2
        words[at] = self._generation
        words[_WRITTEN_AT_WORD] = now_ms()
        return slot, self._generation

    def write(self, frame_id: int, picture: Picture) -> tuple[int, int]:
        """Copies a picture, no larger than a slot, into its frame's slot.

        Returns:
            The slot and its generation.
        """
        target = self.begin(frame_id, form_of(picture))
        copy(picture, target)
        return self.finish(frame_id, target)

    def peek(self, slot: int, generation: int, form: Form) -> Picture:
        """A picture where it lies, read-only; ``check`` says if it was whole.

        Raises:
            OverwrittenError: The slot holds another picture already.
            MessageError: There is no such slot, or its picture is of another size.
        """
        size, (width, height, _) = form.size, form
        if slot >= self.slots or size > self.slot_bytes:
            raise MessageError(
                f"the ring '{self.name}' has {self.slots} slots of {self.slot_bytes} bytes, and "
                f"none for slot {slot} with {width}x{height}"
            )
        at = self._at(slot)
        self._expect(at, generation)
        if self._words[at + _SIZE] != size or self._words[at + _SHAPE] != width << 32 | height:
            self._expect(at, generation)
            raise MessageError(
                f"slot {slot} of '{self.name}' is no picture of {width}x{height} in {size} bytes"
            )
        return self._picture(slot, form)

    def check(self, slot: int, generation: int, picture: Picture) -> None:
        """Makes sure that what was read of a slot until now was of its generation.

        Args:
            picture: What was read: the slot's picture, or a copy of it.

        Raises:
            OverwrittenError: It was overwritten meanwhile.
        """
        at = self._at(slot)
        if self._checked and zlib.crc32(memory_of(picture).data) != self._words[at + _CHECKSUM]:
            raise OverwrittenError(
                f"slot {slot} of '{self.name}' was overwritten while it was read"
            )
        self._expect(at, generation)

    def remove(self) -> None:
        """Deletes the file, if it is still this ring's; who has it open can still read it."""
        if self._file is not None and not self.removed:
            self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Gives the producer's lock up; the file stays for those who still read it."""
        if self._file is not None:
            # the mapping has the descriptor too, and would keep the lock
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()
            self._file = None

    def _expect(self, at: int, generation: int) -> None:
        found = self._words[at]
        if found != generation or generation % 2 or not generation:
            raise OverwrittenError(
                f"a slot of '{self.name}' holds generation {found}, not {generation}: "
                "it was overwritten before it was read"
            )

    def _at(self, slot: int) -> int:
        return PAGE // 8 + slot * _SLOT_WORDS

    def _picture(self, slot: int, form: Form) -> Picture:
        begin = self._first_slot + slot * self.slot_bytes
        return form.over(self._bytes[begin : begin + form.size])


def boot_id() -> bytes:
    """16 bytes that are others after every start of the machine."""
    with contextlib.suppress(OSError, ValueError):
        text = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        return bytes.fromhex(text.strip().replace("-", ""))[:16]
    return bytes(16)


def free_bytes(folder: Path) -> int:
    """How much may be written where a folder lies."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def _set_aside(file: int, folder: Path, slots: int, size: int) -> None:
    """Takes all of the memory now: what is short later kills the process with SIGBUS."""
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.ENOMEM):
            raise
        os.ftruncate(file, 0)
        raise SharedMemoryError(
            f"too little shared memory: {slots} pictures need {size} bytes, and {folder} has "
            f"{free_bytes(folder)} ({error.strerror}); make it larger (docker: --shm-size), set a "
            "smaller streams.budget_mib or streams.window_frames, or --set streams.pixels=jpeg"
        ) from error


def _table_bytes(slots: int) -> int:
    return -(-slots * _SLOT_WORDS * 8 // PAGE) * PAGE
