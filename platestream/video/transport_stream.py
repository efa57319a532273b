"""MPEG-TS files in parts of one codec each.

FFmpeg goes on with the decoder it began with when the codec changes within a file, and its
parsers spoil what lies between. Each part is therefore opened as a file of its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
_Videos = tuple[tuple[int, int], ...]  # pid and codec of each

_SYNC = 0x47
_STRIDES = (188, 192, 204)  # ISO/IEC 13818-1; with a time code in front; with parity behind
_PACKET = 188
_ASSOCIATION_PID = 0
_ASSOCIATION, _MAP = 0x00, 0x02  # kinds of tables
# ISO/IEC 13818-1, table 2-34: MPEG-1, MPEG-2, MPEG-4, H.264, HEVC, VVC
_VIDEO_TYPES = {0x01, 0x02, 0x10, 0x1B, 0x24, 0x33}
_LEAST = 8  # packets in a row that tell an MPEG-TS
_LEAST_READ = 16 * 2**10


class TransportStream:
    """A file to be read front to back, which ends wherever the codec of its video changes.

    ``next_part`` goes on behind. Between them lies the program map that names the other codec;
    the next part begins with the association table that belongs to it.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            OSError: It cannot be read.
        """
        self._file = path.open("rb")
        self._ready = b""  # of this part, not given out yet
        self._held = b""  # of the next part
        self._rest = b""  # of a packet
        self._stride = 0
        self._at_change = False
        self._association = b""
        self._map_pids: set[int] = set()
        self._videos: dict[int, _Videos] = {}  # by the pid of the program's map

    def read(self, size: int) -> bytes:
        """The next bytes of this part; empty at its end."""
        while not self._ready and not self._at_change:
            data = self._held or self._file.read(max(size, _LEAST_READ))
            self._held = b""
            if not data:
                self._ready, self._rest = self._rest, b""
                break
            self._take(self._rest + data)
        given, self._ready = self._ready[:size], self._ready[size:]
        return given

    def next_part(self) -> bool:
        """Goes on behind a change of codec; False if the file is at its end.

        What has not been read of this part is passed over.
        """
        while not self._at_change:
            if not self.read(_LEAST_READ):
                return False
        self._at_change = False
        self._ready = self._association
        return True

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def _take(self, data: bytes) -> None:
        """Finds how much of some bytes belongs to this part."""
        self._rest = b""
        self._ready = data
        at = 0
        while at < len(data) and not self._at_change:
            if not self._stride or data[at] != _SYNC:
                self._stride, begin = _packets_of(data[at:])
                if not self._stride:
                    return
                at += begin
            at = self._take_packets(data, at)
            if len(data) - at < self._stride:
                self._rest, self._ready = data[at:], data[:at]
                return

    def _take_packets(self, data: bytes, begin: int) -> int:
        """Takes in packets up to a change, or to where they are out of step; returns the place."""
        whole = (len(data) - begin) // self._stride
        packets = np.frombuffer(data, np.uint8, whole * self._stride, begin)
        packets = packets.reshape(whole, self._stride)
        strays = packets[:, 0] != _SYNC
        lost = np.flatnonzero(strays & np.append(strays[1:], True))  # one alone is damaged only
        whole = int(lost[0]) if len(lost) else whole
        packets = packets[:whole]
        pids = (packets[:, 1].astype(np.uint16) & 0x1F) << 8 | packets[:, 2]
        number = 0
        while (number := self._next_table(packets, pids, number)) < whole:
            if self._changes(int(pids[number]), packets[number].tobytes()):
                end = begin + number * self._stride
                self._ready, self._held, self._at_change = data[:end], data[end:], True
                return end
            number += 1
        return begin + whole * self._stride

    def _next_table(self, packets: Bytes, pids: npt.NDArray[np.signedinteger], number: int) -> int:
        """The next packet that may say what there is; the number of all if there is none."""
        wanted = np.isin(pids[number:], [_ASSOCIATION_PID, *self._map_pids])
        found = np.flatnonzero(wanted & (packets[number:, 0] == _SYNC))
        return number + int(found[0]) if len(found) else len(pids)

    def _changes(self, pid: int, packet: bytes) -> bool:
        """Takes in a packet with tables; whether the video behind it has another codec."""
        section = _section(packet[:_PACKET])
        if section is None:
            return False
        if pid == _ASSOCIATION_PID and section[0] == _ASSOCIATION:
            self._association = packet
            self._map_pids = set(_map_pids(section))
        elif pid in self._map_pids and section[0] == _MAP and (videos := _videos(section)):
            gone = {p for p in self._videos if p not in self._map_pids}
            before = {self._videos[p] for p in gone} if pid not in self._videos else set()
            if pid in self._videos:
                before = {self._videos[pid]}
            for one in gone:
                del self._videos[one]
            self._videos[pid] = videos
            return bool(before) and videos not in before
        return False


def _packets_of(data: bytes) -> tuple[int, int]:
    """How far packets are apart, and where the first begins; 0, 0 if there are none."""
    values = np.frombuffer(data, np.uint8) == _SYNC
    for stride in _STRIDES:
        for begin in range(min(stride + 1, len(values) - _LEAST * stride)):
            if values[begin::stride][:_LEAST].all():
                return stride, begin
    return 0, 0


def _section(packet: bytes) -> bytes | None:
    """The table that begins in a packet, without its checksum; None if it has none that is whole.

    ISO/IEC 13818-1, 2.4.3.2 and 2.4.4.
    """
    damaged, begins = packet[1] & 0x80, packet[1] & 0x40
    adaptation, payload = packet[3] & 0x20, packet[3] & 0x10
    at = 5 + packet[4] if adaptation else 4
    if damaged or not begins or not payload or at >= len(packet):
        return None
    at += 1 + packet[at]
    if at + 8 > len(packet):
        return None
    end = at + 3 + ((packet[at + 1] & 0x0F) << 8 | packet[at + 2])
    section = packet[at:end]
    applies = section[5] & 1
    if end > len(packet) or len(section) < 12 or not applies or _checksum(section):
        return None
    return section[:-4]


def _map_pids(section: bytes) -> list[int]:
    """The pids of the maps of all programs that an association table names."""
    entries = [section[at : at + 4] for at in range(8, len(section) - 3, 4)]
    return [(one[2] & 0x1F) << 8 | one[3] for one in entries if one[0] or one[1]]


def _videos(section: bytes) -> _Videos:
    """The video streams that a program's map names: pid and codec."""
    found = []
    at = 12 + ((section[10] & 0x0F) << 8 | section[11])
    while at + 5 <= len(section):
        if section[at] in _VIDEO_TYPES:
            found.append(((section[at + 1] & 0x1F) << 8 | section[at + 2], section[at]))
        at += 5 + ((section[at + 3] & 0x0F) << 8 | section[at + 4])
    return tuple(found)


def _checksum(section: bytes) -> int:
    """CRC-32/MPEG-2 (ISO/IEC 13818-1, annex A); 0 where the checksum at the end is right."""
    value = 0xFFFFFFFF
    for byte in section:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value
