"""Every command of docs/redis-cli.md, run against what a real run has left: it prints as shown."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from platestream import streams
from platestream.embedded_redis import EmbeddedRedis
from tests import preloaded
from tests.conftest import wait_until
from tests.sources import part_of_clip

PAGE = Path(__file__).parents[2] / "docs" / "redis-cli.md"
CAMERA = "gate-1"
CLIP_FRAMES = 300  # of the built-in clip, which the page's run is of
FRAMES = 56  # its last ones, on which the last car is seen: what they leave has the same shapes


@dataclass(frozen=True)
class Example:
    """A command of the page, and what it prints there."""

    command: str
    shown: tuple[str, ...]


def examples(text: str) -> list[Example]:
    """The page's commands: lines of fenced blocks that begin with ``$``, and what follows each."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            found.append(Example(command, tuple(shown)))
    return found


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers, and texts that are no names."""
    line = re.sub(r"^([a-z][a-z_]+)([=:]).*", r"\1\2", line)
    line = re.sub(r'"([^"]*)("|$)', lambda m: _value(m[1]), line)
    line = re.sub(r"\b[A-Z0-9?*]*[0-9?][A-Z0-9?*]*\b|\?", "0", line)
    return re.sub(r"\s+", " ", line).strip()


def _value(text: str) -> str:
    return f'"{text}"' if re.fullmatch(r"[a-z][a-z_-]+", text) else '"0"'


def same_shape(printed: list[str], shown: tuple[str, ...]) -> bool:
    """Whether all that is shown was printed, in its order; ``…`` is any lines, or none.

    Bare values, one a line, may be more or fewer: how many there are is the clip's affair.
    """
    left, gap = _values_once(map(shape, printed)), False
    for line in _values_once(map(shape, shown)):
        if line == "…":
            gap = True
            continue
        while gap and left and left[0] != line:
            left.pop(0)
        if not left or left.pop(0) != line:
            return False
        gap = False
    return gap or not left


def _values_once(lines: Iterable[str]) -> list[str]:
    return [
        key for line, same in itertools.groupby(lines) for key in ([line] if line == "0" else same)
    ]


EXAMPLES = examples(PAGE.read_text(encoding="utf-8"))


def test_shapes_tell_outputs_apart() -> None:
    shown = ('1) "name"', '2) "ocr"', "…", "pending=3")
    assert same_shape(['1) "name"', '2) "ocr"', "pending=77"], shown)
    assert same_shape(['1) "name"', '2) "ocr"', "lag=1", "pending=77"], shown)
    assert not same_shape(['1) "name"', '2) "writer"', "pending=77"], shown)
    assert not same_shape(['1) "name"', '2) "ocr"'], shown)
    assert not same_shape(['1) "name"', '2) "ocr"', "pending=3", "more=1"], shown)
    assert same_shape(["A593AK72"], ("A593AK72", "E733TX716"))
    assert not same_shape([], ("A593AK72", "E733TX716"))
    assert not same_shape(["A593AK72", "more"], ("A593AK72", "E733TX716"))


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory,
    find_redis: Callable[[str], str],
) -> Iterator[EmbeddedRedis]:
    """A Redis after a run of the built-in clip, and two services that serve on."""
    folder = tmp_path_factory.mktemp("run")
    common = ["--set", "log.format=json", "--redis"]
    with EmbeddedRedis(find_redis("system")) as server:
        client = streams.connect(server.url)
        command = [sys.executable, "-m", "platestream", "run"]
        clip = part_of_clip(folder / "clip.mp4", CLIP_FRAMES - FRAMES, FRAMES)
        command += [str(clip), "--camera", CAMERA, "--output", "out.mp4"]
        done = preloaded.run(
            [*command, "--redis", server.url, "--set", "streams.pixels=jpeg"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert done.returncode == 0, done.stderr
        last = streams.last_frame_id(client, CAMERA)
        broken = {"frame_id": str(last + 1), "body": b"no picture"}
        started = [
            preloaded.Popen(
                [sys.executable, "-m", f"services.{name}", *words, *common, server.url],
                stderr=subprocess.DEVNULL,
            )
            for name, words in (("ocr", ["--name", "ocr-2"]), ("track", ["--camera", CAMERA]))
        ]
        key = streams.frames_key(CAMERA)
        streams.publish(client, key, streams.entry_id(last + 1), broken)
        wait_until(lambda: client.xlen(streams.dead_key(CAMERA)) == 1, 60, "a dead frame")
        wait_until(
            lambda: len(list(streams.alive_services(client))) == 2, 60, "two services that live"
        )
        busy = streams.GroupConsumer(client, streams.rendered_key(CAMERA), streams.WRITER, "writer")
        end = client.xrevrange(streams.rendered_key(CAMERA), count=1)[0][0].decode()
        number = streams.frame_id_of(end) + 1
        streams.publish(client, busy.key, streams.entry_id(number), {"frame_id": str(number)})
        assert len(busy.read(1, None)) == 1  # taken, and never done with
        yield server
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)


def run(command: str, server: EmbeddedRedis) -> list[str]:
    """Runs a command of the page with the server of the test."""
    redis_cli = shutil.which("redis-cli")
    if redis_cli is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs redis-cli")
        pytest.skip("no redis-cli here")
    socket = server.url.removeprefix("unix://")
    command = command.replace(f"{CLIP_FRAMES}-1", f"{FRAMES}-1")
    command, found = re.subn(r"^redis-cli\b", f"{redis_cli} --no-raw -s {socket}", command)
    if "--raw" in command:
        command = command.replace(" --no-raw", "", 1)
    assert found == 1, "a command of the page begins with redis-cli"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "replace").splitlines()


def test_the_page_shows_every_kind_of_key() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for key in (*streams.camera_keys(CAMERA), streams.CAMERAS_KEY, streams.REPLICAS_KEY, "alive:"):
        assert key in text
    assert len(EXAMPLES) >= 20


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.command)
def test_a_command_prints_what_the_page_shows(example: Example, ran: EmbeddedRedis) -> None:
    printed = run(example.command, ran)
    assert printed, "nothing was printed"
    assert not any(line.startswith("(error)") for line in printed), printed
    assert example.shown, "the page shows nothing"
    assert same_shape(printed, example.shown), "\n".join(printed)
