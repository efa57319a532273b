"""Rings of pictures: whole or known to be gone, also while another process writes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from platestream.colour import BT601
from platestream.errors import MessageError, OverwrittenError, SharedMemoryError
from platestream.picture import Form, copy, form_of, memory_of
from platestream.pixels import ring as rings
from platestream.pixels.ring import Ring, new_name, ring_bytes, slot_bytes_for
from tests.conftest import wait_until
from tests.planes import some_planes

HOME = b"a redis, sixteen"
NAME = "gate-1.frames.0123456789abcdef.01234567.ring"
WIDTH, HEIGHT = 160, 90


def picture(value: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.full((height, width, 3), value % 251, np.uint8)


def make(folder: Path, slots: int = 3, *, checked: bool = False) -> Ring:
    return Ring.create(
        folder, NAME, slots, slot_bytes_for(Form(WIDTH, HEIGHT)), HOME, checked=checked
    )


def read(ring: Ring, slot: int, generation: int) -> np.ndarray:
    image = ring.peek(slot, generation, Form(WIDTH, HEIGHT)).copy()
    ring.check(slot, generation, image)
    return image


@pytest.mark.parametrize("checked", [False, True])
def test_a_picture_is_read_as_it_was_written(tmp_path: Path, checked: bool) -> None:
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    ring = make(tmp_path, checked=checked)
    slot, generation = ring.write(7, noise)
    assert (slot, generation % 2) == (1, 0)
    assert (read(Ring.open(tmp_path / NAME), slot, generation) == noise).all()


def test_a_picture_that_is_no_plain_block_of_memory_is_written_too(tmp_path: Path) -> None:
    wide = np.random.default_rng(1).integers(0, 256, (HEIGHT, 2 * WIDTH, 3), np.uint8)
    ring = make(tmp_path)
    place = ring.write(1, wide[:, ::2])
    assert (read(ring, *place) == wide[:, ::2]).all()


def test_an_overwritten_picture_is_not_given_out(tmp_path: Path) -> None:
    ring = make(tmp_path, slots=2)
    reader = Ring.open(tmp_path / NAME)
    first = ring.write(1, picture(1))
    second = ring.write(2, picture(2))
    ring.write(3, picture(3))
    with pytest.raises(OverwrittenError):
        read(reader, *first)
    assert (read(reader, *second) == 2).all()


def test_what_is_overwritten_while_it_is_looked_at_is_found_out(tmp_path: Path) -> None:
    ring = make(tmp_path, slots=1)
    reader = Ring.open(tmp_path / NAME)
    slot, generation = ring.write(1, picture(1))
    seen = reader.peek(slot, generation, Form(WIDTH, HEIGHT))
    ring.write(2, picture(2))
    with pytest.raises(OverwrittenError):
        reader.check(slot, generation, seen)


def test_a_checksum_finds_what_the_generation_does_not(tmp_path: Path) -> None:
    """As on a processor that shows another the generation before the picture."""
    ring = make(tmp_path, checked=True)
    slot, generation = ring.write(1, picture(1))
    reader = Ring.open(tmp_path / NAME)
    ring._picture(slot, Form(WIDTH, HEIGHT))[50, 50] = 9
    with pytest.raises(OverwrittenError):
        read(reader, slot, generation)


def test_a_picture_half_written_by_a_killed_producer_is_none(tmp_path: Path) -> None:
    ring = make(tmp_path)
    slot, generation = ring.write(4, picture(4))
    ring._words[ring._at(slot)] = generation + 1  # what it writes first
    reader = Ring.open(tmp_path / NAME)
    for named in (generation, generation + 1, generation + 2):
        with pytest.raises(OverwrittenError):
            read(reader, slot, named)
    assert ring.holds(4) is None
    ring.release()
    follower = Ring.adopt(tmp_path / NAME)
    assert follower is not None
    slot, later = follower.write(4, picture(4))
    assert later > generation
    assert later % 2 == 0


def test_a_follower_goes_on_where_a_producer_ended(tmp_path: Path) -> None:
    ring = make(tmp_path)
    places = [ring.write(i, picture(i)) for i in (10, 11)]
    assert Ring.adopt(tmp_path / NAME) is None  # its producer lives
    ring.release()
    follower = Ring.adopt(tmp_path / NAME)
    assert follower is not None
    assert follower.holds(11) == places[1]
    assert follower.holds(8) is None
    assert follower.last_frame_id == 11
    third = follower.write(12, picture(12))
    assert third[1] > places[1][1]
    assert all((read(follower, *p) == v).all() for p, v in zip([*places, third], (10, 11, 12)))  # noqa: B905


def test_ids_past_32_bits(tmp_path: Path) -> None:
    ring = make(tmp_path)
    place = ring.write(2**40 + 1, picture(1))
    assert (read(ring, *place) == 1).all()
    assert ring.last_frame_id == 2**40 + 1


@pytest.mark.parametrize(
    ("slot", "width", "height"),
    [(3, WIDTH, HEIGHT), (0, HEIGHT, WIDTH), (0, 4000, 4000), (9999, 1, 1)],
)
def test_what_an_entry_says_is_not_believed(
    tmp_path: Path, slot: int, width: int, height: int
) -> None:
    ring = make(tmp_path)
    _, generation = ring.write(3, picture(3))
    with pytest.raises(MessageError) as error:
        Ring.open(tmp_path / NAME).peek(slot, generation, Form(width, height))
    assert not isinstance(error.value, OverwrittenError)


def test_planes_are_read_as_they_were_written_and_not_as_bgr(tmp_path: Path) -> None:
    planes = some_planes(WIDTH, HEIGHT, BT601)
    ring = make(tmp_path, checked=True)
    place = ring.write(7, planes)
    reader, form = Ring.open(tmp_path / NAME), form_of(planes)
    seen = reader.peek(*place, form)
    reader.check(*place, seen)
    assert (memory_of(seen) == memory_of(planes)).all()
    with pytest.raises(MessageError, match="no picture of"):
        reader.peek(*place, Form(WIDTH, HEIGHT))
    place = ring.write(8, picture(8))
    with pytest.raises(MessageError, match="no picture of"):
        reader.peek(*place, form)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:5000],
        lambda data: b"x" * len(data),
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:12] + b"\xff\xff\xff\xff" + data[16:],  # slots
        lambda data: data[:16] + bytes(8) + data[24:],  # bytes of a slot
        lambda data: data[:8] + b"\x07" + data[9:],  # version
    ],
)
def test_a_file_that_is_no_ring_is_refused(tmp_path: Path, damage: object) -> None:
    make(tmp_path).release()
    path = tmp_path / NAME
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(MessageError):
        Ring.open(path)
    assert Ring.adopt(path) is None


def test_a_ring_of_before_the_machine_was_started_is_none(tmp_path: Path) -> None:
    make(tmp_path).release()
    path = tmp_path / NAME
    data = bytearray(path.read_bytes())
    data[32:48] = bytes(16)
    path.write_bytes(data)
    with pytest.raises(OverwrittenError):
        Ring.open(path)


def test_a_ring_that_is_gone_is_as_good_as_overwritten(tmp_path: Path) -> None:
    with pytest.raises(OverwrittenError):
        Ring.open(tmp_path / NAME)


def test_links_are_not_followed(tmp_path: Path) -> None:
    ring = make(tmp_path)
    ring.release()
    link = tmp_path / "gate-2.frames.0123456789abcdef.01234567.ring"
    link.symlink_to(tmp_path / NAME)
    with pytest.raises(MessageError):
        Ring.open(link)


def test_a_removed_ring_can_still_be_read_by_who_has_it(tmp_path: Path) -> None:
    ring = make(tmp_path)
    place = ring.write(1, picture(1))
    reader = Ring.open(tmp_path / NAME)
    ring.remove()
    assert not (tmp_path / NAME).exists()
    assert (read(reader, *place) == 1).all()


@pytest.mark.parametrize(
    "name",
    ["", "../x.frames.0123456789abcdef.01234567.ring", "a/b.frames.0123456789abcdef.01234567.ring",
     ".frames.0123456789abcdef.01234567.ring", NAME + "\n", NAME + ".ring", NAME.upper(),
     NAME.replace("frames", "secrets")],
)  # fmt: skip
def test_only_names_of_rings_are_names(name: str) -> None:
    assert rings.parts_of(name) is None
    assert rings.parts_of(NAME) == ("gate-1", "frames", "0123456789abcdef")


def test_new_names_are_names() -> None:
    assert rings.parts_of(new_name("a.b-c", "rendered", "0" * 16)) == (
        "a.b-c",
        "rendered",
        "0" * 16,
    )


def test_more_than_there_is_is_refused_with_the_bytes(tmp_path: Path) -> None:
    slots, slot_bytes = 4096, slot_bytes_for(Form(8192, 8192))
    needed = ring_bytes(slots, slot_bytes)
    folder = Path("/dev/shm") if rings.free_bytes(Path("/dev/shm")) < needed else tmp_path
    if rings.free_bytes(folder) > needed:
        pytest.skip("more than 824 GB of memory here")
    name = new_name("test-too-large", "frames", "0" * 16)
    with pytest.raises(SharedMemoryError, match=rf"need {needed} bytes, and .* has \d+ .*jpeg"):
        Ring.create(folder, name, slots, slot_bytes, HOME)
    assert not list(folder.glob(f"*{name}*"))


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from platestream.errors import SharedMemoryError
from platestream.pixels.ring import Ring
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
try:
    Ring.create(Path(sys.argv[1]), sys.argv[2], 8, 2**20, bytes(16))
except SharedMemoryError as error:
    print(error)
"""


def test_a_limit_of_the_system_is_no_bus_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path), NAME],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"need {ring_bytes(8, 2**20)} bytes" in done.stdout
    assert os.strerror(errno.EFBIG) in done.stdout
    assert not list(tmp_path.iterdir())


_WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from platestream.colour import BT601
from platestream.picture import Form
from platestream.pixels.ring import Ring, slot_bytes_for
form = Form(640, 360, BT601 if sys.argv[5] == "i420" else None)
ring = Ring.create(Path(sys.argv[1]), sys.argv[2], 2, slot_bytes_for(form), bytes(16),
                   checked=sys.argv[3] == "1")
pictures = [form.over(np.full(form.size, v, np.uint8)) for v in range(251)]
until = time.monotonic() + float(sys.argv[4])
frame = 0
while time.monotonic() < until:
    frame += 1
    ring.write(frame, pictures[frame % 251])
    if frame % 64 == 0:
        time.sleep(0.0005)  # on one core the reader must have its turn
print(frame)
"""


@pytest.mark.parametrize(
    ("checked", "layout"), [(False, "bgr"), (True, "bgr"), (False, "i420"), (True, "i420")]
)
def test_no_torn_picture_however_a_reader_races_its_writer(
    tmp_path: Path, checked: bool, layout: str
) -> None:
    """Every byte of a picture tells its frame: one of two frames would be seen at once.

    It ends when as much has been seen as in a longer race on a slow machine.
    """
    form = Form(640, 360, BT601 if layout == "i420" else None)
    command = [sys.executable, "-c", _WRITER, str(tmp_path), NAME, str(int(checked)), "2.5", layout]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: (tmp_path / NAME).exists(), 60, "a ring")
        ring = Ring.open(tmp_path / NAME)
        whole, before, during, frame = 0, 0, 0, 0
        while writer.poll() is None and (whole < 300 or during < 10):
            frame = ring.last_frame_id
            slot = frame % 2
            generation = ring._words[ring._at(slot)]
            try:
                seen = ring.peek(slot, generation, form)
            except OverwrittenError:
                before += 1
                continue
            picture = copy(seen)
            try:
                ring.check(slot, generation, picture)
            except OverwrittenError:
                during += 1
                continue
            memory = memory_of(picture).reshape(-1)
            assert (memory == memory[0]).all()
            whole += 1
        written = ring.last_frame_id
    finally:
        writer.kill()
        writer.communicate()
    assert written > 100
    assert whole > 10
    assert during > 0, (whole, before, during)


def test_a_killed_producer_leaves_its_ring_to_a_follower(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(tmp_path), NAME, "0", "60", "bgr"]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        wait_until(lambda: (tmp_path / NAME).exists(), 60, "a ring")
        ring = Ring.open(tmp_path / NAME)
        wait_until(lambda: ring.last_frame_id > 5, 60, "frames")
        assert Ring.adopt(tmp_path / NAME) is None
        writer.send_signal(signal.SIGKILL)
        writer.wait(20)
        assert Ring.adopt(tmp_path / NAME) is not None
        assert time.time_ns() // 1_000_000 - ring.written_at_ms < 120_000
    finally:
        writer.kill()
        writer.communicate()
