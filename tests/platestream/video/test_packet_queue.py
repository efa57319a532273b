"""Packets before the decoder: what is let go when it is late, and that nothing is else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from platestream.video import packet_queue
from platestream.video.packet_queue import PacketQueue
from tests.conftest import wait_until


@dataclass
class Packet:
    number: int
    is_keyframe: bool = False
    size: int = 1000


class Network:
    """Gives packets as soon as it is allowed to; knows which it has given."""

    def __init__(self, *packets: Packet) -> None:
        self._packets = packets
        self._allowed = threading.Semaphore(0)
        self.asked = 0

    def come(self, many: int) -> None:
        goal = self.asked + many
        self._allowed.release(many)
        # asked for the one behind them, it has put them away
        wait_until(lambda: self.asked == goal, what=f"packet {goal} taken")

    def __iter__(self) -> Iterator[Packet]:
        for packet in self._packets:
            self._allowed.acquire()
            yield packet
            self.asked += 1
        self._allowed.acquire()


def packets(kinds: str) -> list[Packet]:
    """``K`` a key frame, ``p`` another; numbered from 0."""
    return [Packet(number, kind == "K") for number, kind in enumerate(kinds)]


def take(taken: Iterator[Packet | None], many: int) -> list[int | None]:
    found = [next(taken) for _ in range(many)]
    return [packet and packet.number for packet in found]


@contextlib.contextmanager
def queued(
    kinds: str,
) -> Iterator[tuple[PacketQueue, Network, Iterator[Packet | None]]]:
    network = Network(*packets(kinds))
    queue = PacketQueue(60)
    taken = queue.through(iter(network))  # type: ignore[arg-type]
    try:
        yield queue, network, taken  # type: ignore[misc]
    finally:
        network._allowed.release(1000)
        taken.close()  # type: ignore[attr-defined]


def started(
    queue: PacketQueue, network: Network, taken: Iterator[Packet | None], limit_s: float
) -> None:
    """The queue's thread begins with the first packet asked for; then the limit counts."""
    network._allowed.release()
    assert take(taken, 1) == [0]
    wait_until(lambda: network.asked == 1, what="the thread waiting")
    queue.limit_s = limit_s


def test_a_decoder_in_time_gets_every_packet() -> None:
    with queued("KpppKppp") as (queue, network, taken):
        started(queue, network, taken, 60)
        network.come(7)
        assert take(taken, 7) == [1, 2, 3, 4, 5, 6, 7]
        assert queue.take_skipped() == 0


def test_a_late_decoder_goes_on_at_the_newest_key_frame() -> None:
    with queued("KppKppKpp") as (queue, network, taken):
        started(queue, network, taken, 0)
        network.come(8)
        assert take(taken, 2) == [None, 6]
        assert queue.take_skipped() == 5
        assert queue.take_skipped() == 0


def test_without_a_key_frame_all_are_let_go_until_one_comes() -> None:
    with queued("KpppppKpp") as (queue, network, taken):
        started(queue, network, taken, 0)
        network.come(3)
        got: list[Packet | None] = []
        thread = threading.Thread(target=lambda: got.extend(next(taken) for _ in range(2)))
        thread.start()
        wait_until(lambda: queue.let_go_s > 0, what="packets let go")
        network.come(2)
        assert not got
        queue.limit_s = 60  # the decoder is in time again
        network.come(1)
        thread.join(10)
        assert [packet and packet.number for packet in got] == [None, 6]
        network.come(2)
        assert take(taken, 2) == [7, 8]
        assert queue.take_skipped() == 5
        assert queue.let_go_s == 0


def test_a_camera_that_marks_no_key_frames_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packet_queue, "_KEY_PATIENCE_S", 0.0)
    with queued("ppppp") as (queue, network, taken):
        started(queue, network, taken, 0)
        network.come(2)
        got: list[Packet | None] = []
        thread = threading.Thread(target=lambda: got.append(next(taken)))
        thread.start()
        wait_until(lambda: queue.let_go_s > 0, what="packets let go")
        queue.limit_s = 60
        network.come(1)
        thread.join(10)
        assert [packet and packet.number for packet in got] == [3]  # with what the decoder has
        assert queue.take_skipped() == 2


def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_queue, "_MOST_BYTES", 5000)
    with queued("KppKpppKp" + 20 * "p" + "K") as (queue, network, taken):
        started(queue, network, taken, 60)
        network.come(6)
        assert queue.take_skipped() == 2  # up to the key frame 3
        network.come(3)
        assert queue.take_skipped() == 4  # up to the key frame 7
        network.come(19)
        assert queue.take_skipped() == 22
        network.come(1)
        assert take(taken, 2) == [None, 29]


def test_the_end_and_a_failure_come_after_all_packets() -> None:
    def failing() -> Iterator[Packet]:
        yield from packets("Kpp")
        raise ValueError("gone")

    taken = PacketQueue(60).through(failing())  # type: ignore[arg-type]
    assert take(taken, 3) == [0, 1, 2]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="gone"):
        next(taken)
    over = PacketQueue(60).through(iter(packets("Kp")))  # type: ignore[arg-type]
    assert [packet and packet.number for packet in over] == [0, 1]  # type: ignore[attr-defined]
