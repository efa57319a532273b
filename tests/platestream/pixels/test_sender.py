"""Senders and receivers: one interface for every way; rings kept, taken up, removed."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import redis

from platestream import messages, pixels, streams
from platestream.colour import BT601, Colour
from platestream.errors import MessageError, OverwrittenError, SharedMemoryError
from platestream.messages import Frame, Pixels
from platestream.picture import I420, Form, bgr, form_of, memory_of
from platestream.pixels.ring import Ring, new_name, slot_bytes_for
from platestream.settings import Settings, load
from tests.conftest import fill
from tests.planes import some_planes

CAMERA = "gate-1"
WIDTH, HEIGHT = 320, 180
MIB = 2**20


def settings(folder: Path, how: str = "shm", **more: object) -> Settings:
    given = {"streams.pixels": how, "streams.shm_dir": str(folder)}
    return load(given | {f"streams.{name}": value for name, value in more.items()})


def sender(client: redis.Redis, given: Settings, stream: str = "frames") -> pixels.Sender:
    return pixels.open_sender(client, given, CAMERA, stream)  # type: ignore[arg-type]


def picture(value: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.full((height, width, 3), value % 251, np.uint8)


def frame(frame_id: int, packed: Pixels, width: int = WIDTH, height: int = HEIGHT) -> Frame:
    return Frame(
        frame_id=frame_id, captured_at_ms=1, pts_s=0, width=width, height=height, pixels=packed
    )


def publish(client: redis.Redis, frame_id: int, packed: Pixels) -> bool:
    fields = messages.frame_fields(frame(frame_id, packed))
    return streams.publish_captured(client, CAMERA, frame_id, fields).new


def rings(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("how", ["shm", "raw", "jpeg", "auto"])
def test_a_picture_comes_through_an_entry(client: redis.Redis, tmp_path: Path, how: str) -> None:
    given = settings(tmp_path, how)
    sending = sender(client, given)
    sending.prepare(Form(WIDTH, HEIGHT), waits=False)
    publish(client, 1, sending.pack(1, picture(77)))
    ((_, fields),) = client.xrange(streams.frames_key(CAMERA))
    arrived = messages.parse_frame(fields)
    assert isinstance(arrived, Frame)
    # whatever the receiver's own setting says
    receiver = pixels.Receiver(settings(tmp_path, "jpeg").streams)
    image = receiver.unpack(arrived.pixels, WIDTH, HEIGHT)
    assert np.abs(image.astype(int) - 77).max() <= (0 if how in ("shm", "raw") else 3)
    image[:] = 0  # its own, to draw on
    with receiver.view(arrived.pixels, WIDTH, HEIGHT) as seen:
        assert np.abs(seen.astype(int) - 77).max() <= 3


def test_a_receiver_cannot_write_into_a_ring(client: redis.Redis, tmp_path: Path) -> None:
    given = settings(tmp_path)
    sending = sender(client, given)
    sending.prepare(Form(WIDTH, HEIGHT), waits=False)
    packed = sending.pack(1, picture(1))
    with (
        pixels.Receiver(given.streams).view(packed, WIDTH, HEIGHT) as seen,
        pytest.raises(ValueError, match="read-only"),
    ):
        seen[0, 0] = 3


def test_a_view_says_at_its_end_whether_it_was_whole(client: redis.Redis, tmp_path: Path) -> None:
    given = settings(tmp_path)
    sending = sender(client, given)
    sending.prepare(Form(WIDTH, HEIGHT), waits=False)
    packed = sending.pack(1, picture(1))

    def overwrite() -> None:
        for frame_id in range(2, 66):
            sending.pack(frame_id, picture(frame_id))

    receiver = pixels.Receiver(given.streams)
    with pytest.raises(OverwrittenError), receiver.view(packed, WIDTH, HEIGHT):
        overwrite()
    packed = sending.pack(1, picture(1))

    def fail(_: np.ndarray) -> None:
        overwrite()
        raise ValueError("a model that fails on half a picture")

    with pytest.raises(OverwrittenError), receiver.view(packed, WIDTH, HEIGHT) as seen:
        fail(seen)


@pytest.mark.parametrize(
    "packed",
    [
        {"codec": "shm"},
        {"codec": "shm", "ring": "../../etc/passwd"},
        {"codec": "shm", "ring": "a/../b.frames.0123456789abcdef.01234567.ring"},
        {"codec": "shm", "ring": "x.frames.0123456789abcdef.01234567.ring", "slot": -1},
        {"codec": "shm", "ring": "x.frames.0123456789abcdef.01234567.ring", "generation": 2**63},
        {"codec": "elf"},
    ],
)
def test_an_entry_cannot_name_what_is_no_ring(tmp_path: Path, packed: dict[str, object]) -> None:
    import msgpack

    fields = {
        b"frame_id": b"1",
        b"captured_at_ms": b"1",
        b"pts_s": b"0",
        b"width": b"320",
        b"height": b"180",
        b"body": msgpack.packb({"pixels": packed}),
    }

    def receive() -> None:
        parsed = messages.parse_frame(fields)
        assert isinstance(parsed, Frame)
        pixels.Receiver(settings(tmp_path).streams).unpack(parsed.pixels, WIDTH, HEIGHT)

    with pytest.raises(MessageError):
        receive()


def test_a_ring_of_a_file_has_room_for_the_window_and_more(
    client: redis.Redis, tmp_path: Path
) -> None:
    sending = sender(client, settings(tmp_path, window_frames=5))
    assert sending.prepare(Form(WIDTH, HEIGHT), waits=True) == 5
    (name,) = rings(tmp_path)
    assert Ring.open(tmp_path / name).slots > 5


def test_a_budget_bounds_window_and_ring(client: redis.Redis, tmp_path: Path) -> None:
    given = settings(tmp_path, budget_mib=30, window_frames=8)
    file, live = sender(client, given), sender(client, given, "rendered")
    assert file.prepare(Form(1920, 1080), waits=True) == 3  # five of 5.93 MiB, two to spare
    live.prepare(Form(1920, 1080), waits=False)
    for name in rings(tmp_path):
        assert (tmp_path / name).stat().st_size < 30 * MIB


def test_a_frame_of_another_size_gets_a_ring_of_its_own(
    client: redis.Redis, tmp_path: Path
) -> None:
    given = settings(tmp_path, window_frames=4)
    sending, receiver = sender(client, given), pixels.Receiver(given.streams)
    sending.prepare(Form(WIDTH, HEIGHT), waits=True)
    small = sending.pack(1, picture(1))
    sending.prepare(Form(640, 360), waits=True)
    large = sending.pack(2, picture(2, 640, 360))
    assert len(rings(tmp_path)) == 2
    assert (receiver.unpack(small, WIDTH, HEIGHT) == 1).all()  # still to be read
    assert (receiver.unpack(large, 640, 360) == 2).all()
    sending.release(1)
    assert len(rings(tmp_path)) == 2
    sending.release(2)  # frame 1 is done with
    assert rings(tmp_path) == [large.ring]
    sending.prepare(Form(WIDTH, HEIGHT), waits=True)  # a smaller one fits
    assert sending.pack(3, picture(3)).ring == large.ring


def test_what_a_full_disk_has_no_ring_for_travels_in_its_entry(
    client: redis.Redis, mount_disk: Callable[[int], Path]
) -> None:
    """Somebody else has filled it since: what was set aside is there, for larger pictures none."""
    folder = mount_disk(8)
    given = settings(folder, window_frames=4)
    sending, receiver = sender(client, given), pixels.Receiver(given.streams)
    window = sending.prepare(Form(WIDTH, HEIGHT), waits=True)
    fill(folder / "others")
    for frame_id in range(1, 13):  # every slot twice
        packed = sending.pack(frame_id, picture(frame_id))
        assert packed.codec == "shm"
        assert (receiver.unpack(packed, WIDTH, HEIGHT) == frame_id).all()
    assert sending.prepare(Form(640, 360), waits=True) == window
    canvas = sending.canvas(13, Form(640, 360))
    canvas[...] = 130
    for frame_id, one in ((13, canvas), (14, picture(140, 640, 360))):
        packed = sending.pack(frame_id, one)
        assert packed.codec == "jpeg"
        assert sending.weight(packed) < 100_000
        assert abs(receiver.unpack(packed, 640, 360).astype(int) - 10 * frame_id).max() <= 2
    sending.prepare(Form(WIDTH, HEIGHT), waits=True)
    assert sending.pack(15, picture(15)).codec == "shm"
    (folder / "others").unlink()
    sending.prepare(Form(640, 360), waits=True)
    assert sending.pack(16, picture(16, 640, 360)).codec == "shm"


def test_too_little_for_the_first_ring_is_an_error(
    client: redis.Redis, mount_disk: Callable[[int], Path]
) -> None:
    folder = mount_disk(1)
    sending = sender(client, settings(folder))
    needed = 2 * 4096 + 10 * slot_bytes_for(Form(WIDTH, HEIGHT))
    with pytest.raises(SharedMemoryError, match=f"10 pictures need {needed} bytes, and .* has"):
        sending.prepare(Form(WIDTH, HEIGHT), waits=True)
    assert rings(folder) == []


def test_live_an_old_ring_goes_when_its_frames_would_have(
    client: redis.Redis, tmp_path: Path
) -> None:
    sending = sender(client, settings(tmp_path, budget_mib=4))
    sending.prepare(Form(WIDTH, HEIGHT), waits=False)
    sending.pack(1, picture(1))
    sending.prepare(Form(640, 360), waits=False)
    for frame_id in range(2, 9):
        last = sending.pack(frame_id, picture(2, 640, 360))
    assert rings(tmp_path) == [last.ring]


def test_a_follower_goes_on_in_the_ring_of_one_that_was_killed(
    client: redis.Redis, tmp_path: Path
) -> None:
    given = settings(tmp_path)
    first, receiver = sender(client, given), pixels.Receiver(given.streams)
    first.prepare(Form(WIDTH, HEIGHT), waits=True)
    packed = {i: first.pack(i, picture(i)) for i in (1, 2, 3)}
    for frame_id in (1, 2):
        publish(client, frame_id, packed[frame_id])
    first.close()  # as the end of a process does; frame 3 never came out
    second = sender(client, given)
    second.prepare(Form(WIDTH, HEIGHT), waits=True)
    # frame 2 is out: who reads it must find what its entry says, not a picture drawn anew
    assert second.pack(2, picture(99)) == packed[2]
    again = second.pack(3, picture(98))
    assert again.ring == packed[3].ring
    assert again.generation > packed[3].generation
    fourth = second.pack(4, picture(4))
    for one, value in ((packed[1], 1), (packed[2], 2), (again, 98), (fourth, 4)):
        assert (receiver.unpack(one, WIDTH, HEIGHT) == value).all()
    assert rings(tmp_path) == [fourth.ring]


def test_two_producers_do_not_write_into_one_ring(client: redis.Redis, tmp_path: Path) -> None:
    given = settings(tmp_path)
    one, two = sender(client, given), sender(client, given)
    for sending in (one, two):
        sending.prepare(Form(WIDTH, HEIGHT), waits=True)
    assert one.pack(1, picture(1)).ring != two.pack(1, picture(2)).ring


def test_a_ring_whose_camera_is_forgotten_is_removed(client: redis.Redis, tmp_path: Path) -> None:
    given = settings(tmp_path)
    sending = sender(client, given)
    sending.prepare(Form(WIDTH, HEIGHT), waits=True)
    ring = sending.pack(1, picture(1)).ring
    sending.close()
    other = pixels.open_sender(client, given, "gate-2", "frames")
    assert rings(tmp_path) == [ring]  # gate-1 may be started again, and its entries be read
    other.close()
    streams.forget_camera(client, CAMERA)
    sender(client, given).close()
    assert rings(tmp_path) == []


def test_a_producer_that_begins_locks_no_ring_that_another_may_take_up(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet's cameras begin at once: each must find its own ring unlocked."""
    given = settings(tmp_path)
    for stream in ("frames", "rendered"):
        sending = sender(client, given, stream)
        sending.prepare(Form(WIDTH, HEIGHT), waits=True)
        sending.close()
    foreign = Ring.create(tmp_path, new_name("a", "frames", "0" * 16), 2, 4096, b"other" * 3)
    foreign.release()
    locked = set()
    flock = fcntl.flock

    def noted(file: int | io.FileIO, how: int) -> None:
        locked.add(os.fstat(file if isinstance(file, int) else file.fileno()).st_ino)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", noted)
    pixels.open_sender(client, given, "gate-2", "frames").close()
    assert locked == set()
    sender(client, given).close()
    own = [path for path in tmp_path.iterdir() if path.name.startswith(f"{CAMERA}.frames")]
    assert locked == {path.stat().st_ino for path in own}


def test_rings_of_a_camera_that_was_retired_go_and_readers_unmap_them(
    client: redis.Redis, tmp_path: Path
) -> None:
    """While its producer has one, and while an entry is still to be read, it stays."""
    given = settings(tmp_path)
    sending, receiver = sender(client, given), pixels.Receiver(given.streams)
    streams.ensure_group(client, streams.frames_key(CAMERA), streams.OCR)
    sending.prepare(Form(WIDTH, HEIGHT), waits=True)
    packed = sending.pack(1, picture(1))
    publish(client, 1, packed)
    streams.register_camera(client, CAMERA, started_at_ms="1", ended="0")
    sending.close()
    assert not streams.retire_camera(client, CAMERA)
    assert pixels.remove_left(client, given) == []
    receiver.unpack(packed, WIDTH, HEIGHT)
    client.xtrim(streams.frames_key(CAMERA), maxlen=0)  # it is done with
    assert streams.retire_camera(client, CAMERA)
    late = Ring.adopt(tmp_path / packed.ring)  # a producer that has not ended yet
    assert pixels.remove_left(client, given) == []
    assert late is not None
    late.release()
    receiver.let_go()
    assert len(receiver._rings) == 1
    assert pixels.remove_left(client, given, [CAMERA]) == []
    assert pixels.remove_left(client, given) == [packed.ring]
    receiver.let_go()
    assert len(receiver._rings) == 0
    assert rings(tmp_path) == []


def test_what_is_not_ours_to_judge_stays(client: redis.Redis, tmp_path: Path) -> None:
    """A ring of another Redis, one that is being made, one in use, and what is no ring."""
    slot_bytes = slot_bytes_for(Form(16, 16))
    token = "0" * 16
    foreign = Ring.create(tmp_path, new_name("a", "frames", token), 2, slot_bytes, b"other" * 3)
    foreign.release()
    used = Ring.create(tmp_path, new_name("b", "frames", token), 2, slot_bytes, bytes(16))
    (tmp_path / ".c.frames.new-one.ring.new").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("mine")
    before = rings(tmp_path)
    sender(client, settings(tmp_path)).close()
    assert rings(tmp_path) == before
    foreign = Ring.adopt(tmp_path / foreign.name)  # type: ignore[assignment]
    foreign._words[8] = 1  # last written in 1970
    foreign.release()
    sender(client, settings(tmp_path)).close()
    assert rings(tmp_path) == [name for name in before if name != foreign.name]
    used.release()


def test_a_folder_that_cannot_be_used_is_named(client: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SharedMemoryError, match="file/rings"):
        sender(client, settings(tmp_path / "file" / "rings"))


def test_a_detached_frame_outlives_its_ring(client: redis.Redis, tmp_path: Path) -> None:
    given = settings(tmp_path)
    sending, receiver = sender(client, given), pixels.Receiver(given.streams)
    sending.prepare(Form(WIDTH, HEIGHT), waits=True)
    kept = receiver.detach(frame(1, sending.pack(1, picture(50))), 90)
    (tmp_path / rings(tmp_path)[0]).unlink()
    image = pixels.Receiver(given.streams).unpack(kept.pixels, WIDTH, HEIGHT)
    assert np.abs(image.astype(int) - 50).max() <= 3


def test_a_receiver_lets_removed_rings_go(client: redis.Redis, tmp_path: Path) -> None:
    given = settings(tmp_path)
    receiver = pixels.Receiver(given.streams)
    sending = sender(client, given)
    for turn, size in enumerate((100, 200, 400), 1):
        sending.prepare(Form(size, size), waits=True)
        receiver.unpack(sending.pack(turn, picture(turn, size, size)), size, size)
        sending.release(turn)
    assert len(receiver._rings) == 2  # the one in use, and the one removed since


@pytest.mark.parametrize("how", ["shm", "raw", "jpeg"])
def test_a_picture_made_where_it_is_to_lie(client: redis.Redis, tmp_path: Path, how: str) -> None:
    given = settings(tmp_path, how)
    sending, receiver = sender(client, given), pixels.Receiver(given.streams)
    sending.prepare(Form(WIDTH, HEIGHT), waits=True)
    source = sending.pack(1, picture(40))
    canvas = sending.canvas(2, Form(WIDTH, HEIGHT))
    receiver.unpack(source, WIDTH, HEIGHT, into=canvas)
    canvas[:90] = 200
    packed = sending.pack(2, canvas)
    image = receiver.unpack(packed, WIDTH, HEIGHT).astype(int)
    assert np.abs(image[:80] - 200).max() <= 4
    assert np.abs(image[100:] - 40).max() <= 4
    assert np.abs(receiver.unpack(source, WIDTH, HEIGHT).astype(int) - 40).max() <= 3


def test_a_canvas_that_is_not_packed_is_read_by_nobody(client: redis.Redis, tmp_path: Path) -> None:
    given = settings(tmp_path, window_frames=2)
    sending, receiver = sender(client, given), pixels.Receiver(given.streams)
    sending.prepare(Form(WIDTH, HEIGHT), waits=True)
    first = sending.pack(1, picture(1))
    slots = Ring.open(tmp_path / first.ring).slots
    sending.canvas(1 + slots, Form(WIDTH, HEIGHT))
    with pytest.raises(OverwrittenError):
        receiver.unpack(first, WIDTH, HEIGHT)
    second = sending.pack(2, picture(2))
    assert (receiver.unpack(second, WIDTH, HEIGHT) == 2).all()


def test_a_published_picture_is_not_drawn_over(client: redis.Redis, tmp_path: Path) -> None:
    given = settings(tmp_path)
    first = sender(client, given)
    first.prepare(Form(WIDTH, HEIGHT), waits=True)
    packed = first.pack(1, picture(1))
    publish(client, 1, packed)
    first.close()
    second = sender(client, given)
    second.prepare(Form(WIDTH, HEIGHT), waits=True)
    canvas = second.canvas(1, Form(WIDTH, HEIGHT))
    canvas[:] = 9
    receiver = pixels.Receiver(given.streams)
    assert (receiver.unpack(packed, WIDTH, HEIGHT) == 1).all()
    assert second.pack(1, canvas) == packed
    assert (receiver.unpack(packed, WIDTH, HEIGHT) == 1).all()


@pytest.mark.parametrize("how", ["shm", "raw", "jpeg"])
def test_planes_come_through_an_entry(client: redis.Redis, tmp_path: Path, how: str) -> None:
    given = settings(tmp_path, how)
    planes = some_planes(WIDTH, HEIGHT, Colour("bt709", True))
    planes.y[...] = 99
    sending = sender(client, given)
    sending.prepare(form_of(planes), waits=False)
    publish(client, 1, sending.pack(1, planes))
    ((_, fields),) = client.xrange(streams.frames_key(CAMERA))
    arrived = messages.parse_frame(fields)
    assert isinstance(arrived, Frame)
    receiver = pixels.Receiver(given.streams)
    form = pixels.form(arrived.pixels, WIDTH, HEIGHT)
    assert form == (Form(WIDTH, HEIGHT) if how == "jpeg" else form_of(planes))
    if how != "jpeg":
        back = receiver.unpack(arrived.pixels, WIDTH, HEIGHT)
        assert (memory_of(back) == memory_of(planes)).all()
    image = receiver.bgr(arrived.pixels, WIDTH, HEIGHT)
    assert np.abs(image.astype(int) - bgr(planes)).mean() <= (3 if how == "jpeg" else 0)
    image[:] = 0  # its own
    buried = receiver.detach(arrived, 95)
    assert np.abs(receiver.bgr(buried.pixels, WIDTH, HEIGHT).astype(int) - bgr(planes)).mean() < 3


def test_a_ring_of_planes_has_twice_as_many_slots_and_takes_no_bgr(
    client: redis.Redis, tmp_path: Path
) -> None:
    sending = sender(client, settings(tmp_path, budget_mib=32))
    sending.prepare(Form(1920, 1080, BT601), waits=False)
    assert [Ring.open(tmp_path / name).slots for name in rings(tmp_path)] == [10]
    planes = sending.pack(1, some_planes(1920, 1080, BT601))
    sending.prepare(Form(1920, 1080), waits=False)  # the same camera, now in another size, fitted
    packed = sending.pack(2, picture(7, 1920, 1080))
    assert packed.ring != planes.ring
    receiver = pixels.Receiver(settings(tmp_path).streams)
    assert (receiver.bgr(packed, 1920, 1080) == 7).all()
    assert isinstance(receiver.unpack(planes, 1920, 1080), I420)
    sending.prepare(Form(1920, 1080, BT601), waits=False)
    assert sending.pack(3, some_planes(1920, 1080, BT601)).ring == packed.ring  # they fit there


def test_planes_that_an_entry_only_says_are_there_are_refused(
    client: redis.Redis, tmp_path: Path
) -> None:
    given = settings(tmp_path)
    sending = sender(client, given)
    sending.prepare(Form(WIDTH, HEIGHT), waits=False)
    packed = sending.pack(1, picture(1)).model_copy(update={"layout": "i420"})
    receiver = pixels.Receiver(given.streams)
    for width, height in ((WIDTH, HEIGHT), (WIDTH - 1, HEIGHT), (WIDTH, 2 * HEIGHT)):
        with pytest.raises(MessageError) as error:
            receiver.bgr(packed, width, height)
        assert not isinstance(error.value, OverwrittenError)


def test_a_view_of_planes_cannot_be_written(client: redis.Redis, tmp_path: Path) -> None:
    given = settings(tmp_path)
    sending = sender(client, given)
    planes = some_planes(WIDTH, HEIGHT, BT601)
    sending.prepare(form_of(planes), waits=False)
    packed = sending.pack(1, planes)
    with pixels.Receiver(given.streams).view(packed, WIDTH, HEIGHT) as seen:
        assert isinstance(seen, I420)
        assert not any(plane.flags.writeable for plane in (*seen.planes, seen.block))
