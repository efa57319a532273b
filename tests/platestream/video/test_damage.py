"""Damaged streams: how many frames gave no picture; none where nothing is damaged."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from platestream.video.damage import Damage
from platestream.video.source import VideoSource
from tests.numbered import numbered_picture
from tests.sources import write_video

PACKET = 188  # bytes of MPEG-TS


def stamped(pts: int | None, corrupt: bool = False) -> SimpleNamespace:
    return SimpleNamespace(pts=pts, is_corrupt=corrupt)


def decode(path: Path) -> tuple[int, int, Damage]:
    """Packets and frames of a file, and what is said of them."""
    with VideoSource(str(path)) as video:
        frames = sum(1 for _ in video.decoded())
        return video.packets - 1, frames, video.damage  # the last one only says that it is over


def destroyed(data: bytes) -> bytes:
    """A quarter of the stream has its payload destroyed, and its headers kept."""
    spoilt, many = bytearray(data), len(data) // PACKET
    for number in range(many // 4, many // 2):
        spoilt[PACKET * number + 20 : PACKET * (number + 1)] = bytes(PACKET - 20)
    return bytes(spoilt)


def dropped(data: bytes) -> bytes:
    """One packet in twenty never came."""
    chance, many = random.Random(1), len(data) // PACKET
    kept = [n for n in range(many) if n < 50 or chance.random() > 0.05]
    return b"".join(data[PACKET * n : PACKET * (n + 1)] for n in kept)


@pytest.mark.parametrize("damage", [destroyed, dropped])
def test_every_frame_that_came_is_a_picture_or_counted(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    clip = write_video(tmp_path / "c.ts", [n / 25 for n in range(100)])
    assert decode(clip)[2].lost == decode(clip)[2].marred == 0
    spoilt = tmp_path / "spoilt.ts"
    spoilt.write_bytes(damage(clip.read_bytes()))
    packets, frames, found = decode(spoilt)
    assert frames < 100
    assert found.lost == packets - frames
    assert found.lost + found.marred > 0


def test_frames_that_are_reordered_are_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "b.ts"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.options = {"bf": "3", "b-pyramid": "normal", "g": "12", "x264-params": "open-gop=1"}
        for number in range(60):
            picture = av.VideoFrame.from_ndarray(numbered_picture(number), format="bgr24")
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    packets, frames, found = decode(path)
    assert packets == frames == 60
    assert (found.lost, found.marred) == (0, 0)


def test_interlaced_pictures_of_two_packets_are_not_lost() -> None:
    damage = Damage()
    for number in range(0, 20, 2):
        damage.fed(stamped(number))
        damage.gave(stamped(number), interlaced=True)
        damage.fed(stamped(number + 1))
    assert damage.lost == 0


def test_what_comes_before_the_first_picture_is_not_lost() -> None:
    damage = Damage()
    for number in range(5):
        damage.fed(stamped(number))
        damage.failed(stamped(number))
    damage.fed(stamped(5))
    damage.gave(stamped(5), interlaced=False)
    damage.fed(stamped(3))  # before the key frame in time, and of a picture that never came
    damage.fed(stamped(6))
    damage.gave(stamped(6), interlaced=False)
    assert damage.lost == 0


def test_a_decoder_that_gives_nothing_more_has_lost_what_it_was_given() -> None:
    damage = Damage()
    for number in range(10):
        damage.fed(stamped(number))
        if number >= 2:  # two are held back for their order
            damage.gave(stamped(number - 2), interlaced=False)
    for number in range(10, 30):
        damage.fed(stamped(number))
    damage.cut(flushed=False)
    assert damage.lost == 20


def test_stamps_that_jump_back_are_no_loss() -> None:
    damage = Damage()
    for number in [*range(1000, 1010), *range(5)]:
        damage.fed(stamped(number))
        damage.gave(stamped(number), interlaced=False)
    assert damage.lost == 0


def test_marked_pictures_are_counted_once() -> None:
    damage = Damage()
    for pts, packet, frame in (
        (1, False, False),
        (2, True, False),
        (3, True, True),
        (4, False, True),
    ):
        damage.fed(stamped(pts, packet))
        damage.gave(stamped(pts, frame), interlaced=False)
    assert (damage.lost, damage.marred) == (0, 3)
