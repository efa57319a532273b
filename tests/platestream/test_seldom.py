"""Lines that repeat themselves: few are said, all are counted."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import structlog

from platestream.seldom import COUNTED, WINDOW_S, Seldom


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seldom(clock: Clock) -> Seldom:
    return Seldom(clock)


def say(seldom: Seldom, text: str, level: str = "error", **more: Any) -> str | None:
    """What comes of a line; None if it was left out."""
    try:
        return str(seldom(None, level, {"event": text, "level": level, **more})["event"])
    except structlog.DropEvent:
        return None


def test_of_a_flood_the_first_lines_are_said_and_then_a_count_a_minute(
    seldom: Seldom, clock: Clock
) -> None:
    """30 damaged frames a second for five minutes, each with another id and error."""
    said = []
    for n in range(5 * 60 * 30):
        clock.now = 100 + n / 30
        text = f"entry {n}-0 of frames:{{gate-1}}: byte {n:08x} is {chr(97 + n % 26)}"
        if (line := say(seldom, text)) is not None:
            said.append(line)
    assert len(said) == 5 * 3
    assert "more like it" not in "".join(said[:3])
    assert said[3].endswith("(and 1,797 more like it in 60 s)")
    ((level, last),) = seldom.due(all_of_them=True)
    assert level == "error"
    assert last["event"].endswith("(and 1,796 more like it in 60 s)")  # itself is the last


def test_what_is_left_out_is_said_when_nothing_follows(seldom: Seldom, clock: Clock) -> None:
    for n in range(10):
        say(seldom, f"frame {n} is damaged", camera="gate-1")
    assert seldom.due() == []
    clock.now += WINDOW_S
    ((level, line),) = seldom.due()
    assert level == "error"
    assert line["event"] == "frame 9 is damaged (and 6 more like it in 60 s)"
    assert line["camera"] == "gate-1"
    text = line.pop("event")
    assert say(seldom, text, **line) == text  # passes, and is not counted again
    assert COUNTED not in line or seldom.due() == []
    assert say(seldom, "frame 11 is damaged", camera="gate-1") == "frame 11 is damaged"


def test_other_lines_cameras_and_levels_are_not_held_back(seldom: Seldom) -> None:
    for n in range(10):
        say(seldom, f"frame {n} is damaged", camera="gate-1")
    assert say(seldom, "frame 10 is damaged", camera="gate-1") is None
    assert say(seldom, "frame 10 is damaged", camera="gate-2") is not None
    assert say(seldom, "frame 10 is damaged", level="warning", camera="gate-1") is not None
    assert say(seldom, "the disk is full", camera="gate-1") is not None
    assert say(seldom, "frame 10 is damaged", camera="gate-1", fatal=True) is not None
    assert all(say(seldom, f"detail {n}", level="debug") for n in range(100))


def test_kinds_are_bounded(seldom: Seldom, clock: Clock) -> None:
    """Whatever a stranger's bytes put into a message."""
    words = [chr(97 + n % 26) + chr(97 + n // 26 % 26) + chr(97 + n // 676) for n in range(5_000)]
    said = [word for word in words if say(seldom, f"refused {word}") is not None]
    assert 500 <= len(said) <= 510
    clock.now += WINDOW_S
    ((_, line),) = seldom.due()
    assert "more like it" in line["event"]
    assert say(seldom, "refused, again") is not None


_FLOOD = """
import structlog
from platestream import logs
from platestream.settings import LogSettings

logs.configure(LogSettings(format="json"), service="capture", camera="gate-1")
log = structlog.get_logger()
for n in range(10_000):
    try:
        raise ValueError(f"at {n}")
    except ValueError as error:
        log.warning(f"frame {n} is damaged: {error}", exc_info=error)
logs.say_left_out(all_of_them=True)
"""


def test_a_process_that_ends_says_what_it_has_left_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FLOOD], capture_output=True, text=True, timeout=60, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"].split(":")[0] for line in lines] == [
        *(f"frame {n} is damaged" for n in range(3)),
        "frame 9999 is damaged",
    ]
    assert lines[3]["event"].endswith("(and 9,996 more like it in 0 s)") or "9,996" in str(lines[3])
    assert {(line["service"], line["camera"]) for line in lines} == {("capture", "gate-1")}
    assert "counted" not in lines[3]
