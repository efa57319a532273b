"""What a fleet hears of its processes, and when it holds one to have hung."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest
from prometheus_client.core import Metric

from platestream import fleet_reports
from platestream.fleet_metrics import Counted
from platestream.fleet_reports import Reports
from platestream.health import Health
from platestream.metrics import Metrics
from tests.conftest import wait_until


class Heard:
    """A process's reports, its end of the pipe in a test's hands, and a clock."""

    def __init__(self) -> None:
        self.counted = Counted()
        self.reports = Reports(self.counted)
        self.now = time.monotonic()

    def say(self, *, alive: bool = True, wrong: str = "") -> None:
        line = json.dumps({"alive": alive, "wrong": wrong}) + "\n"
        os.write(self.reports.writing, line.encode())

    def look(self, seconds: float) -> None:
        """Looks ten times a second, for so long."""
        for _ in range(round(10 * seconds)):
            self.now += 0.1
            self.reports.look(self.now)


@pytest.fixture
def heard() -> Iterator[Heard]:
    one = Heard()
    yield one
    one.reports.begun()
    one.reports.close()


def test_its_own_words_are_what_is_wrong(heard: Heard) -> None:
    assert heard.reports.wrong() == "starting"
    heard.say(wrong="no room on disk")
    heard.look(0.1)
    assert heard.reports.wrong() == "no room on disk"
    heard.say()
    heard.look(0.1)
    assert heard.reports.wrong() == ""
    assert heard.reports.hung(30) == ""


def test_silence_is_said_and_then_is_a_hang(heard: Heard) -> None:
    heard.say()
    heard.look(4)
    assert heard.reports.wrong() == ""
    heard.look(6)
    assert heard.reports.wrong() == "no word from its process for 10 s"
    heard.look(19)
    assert heard.reports.hung(30) == ""
    heard.look(2)
    assert heard.reports.hung(30) == "no word from its process for 31 s"


def test_a_start_may_take_as_long_as_a_services_own(heard: Heard) -> None:
    heard.look(119)
    assert heard.reports.hung(30) == ""
    heard.look(2)
    assert heard.reports.hung(30)


def test_one_that_says_that_it_makes_no_progress_has_hung(heard: Heard) -> None:
    heard.say(alive=False, wrong="no progress for 31 s")
    heard.look(4)
    assert heard.reports.wrong() == "no progress for 31 s"
    assert heard.reports.hung(30) == ""
    heard.look(2)
    assert heard.reports.hung(30) == "no progress for 31 s"


def test_a_fleet_that_stood_still_itself_holds_nobody_to_have_been_silent(heard: Heard) -> None:
    heard.say()
    heard.look(1)
    heard.now += 1000
    heard.look(0.1)
    assert heard.reports.hung(30) == ""
    assert heard.reports.wrong() == ""


def test_a_process_tells_how_it_does_and_what_it_counts(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(fleet_reports.VARIABLE, str(os.dup(heard.reports.writing)))
    health, metrics = Health(30), Metrics("track", "a")
    health.not_ready("no room on disk " + 1000 * "я", "disk")
    health.alive()

    def wrong() -> str:
        heard.look(0.1)
        return heard.reports.wrong()

    with fleet_reports.reporting(health, metrics.registry):
        assert fleet_reports.VARIABLE not in os.environ
        wait_until(lambda: wrong().startswith("no room on disk яя"), what="a report")
        health.ready("disk")
        wait_until(lambda: not wrong(), what="a better one")
        metrics.took("a")
    heard.reports.look(heard.now)  # at the end, too, and whoever just closes takes it in
    assert _frames_in(heard.counted) == 1


def test_what_came_last_is_taken_in_when_it_has_ended() -> None:
    counted = Counted()
    reports = Reports(counted)
    _write(reports, {"metric": "platestream_frames_in", "samples": [["_total", {}, 7]]})
    reports.begun()
    reports.close()
    assert _frames_in(counted) == 7


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"{}",
        b'{"alive": true}',
        b'{"metric": "platestream_frames_in"}',
        b'{"metric": "platestream_frames_in", "samples": [7]}',
        b'{"metric": "platestream_frames_in", "samples": [["_total", {"camera": "b"}, 7]]}',
        b'{"metric": "platestream_frames_in", "samples": [["_total", {"x\\ny": "b"}, 7]]}',
        b'{"metric": "platestream_frames_in", "samples": [["_total", {}, NaN]]}',
        b'{"metric": "platestream_frames_in", "samples": [["_total", {}, -1]]}',
        b'{"metric": "platestream_frames_in", "samples": [["_total", {}, "many"]]}',
        b"x" * 60_000,
        b"[" * 60_000,
    ],
)
def test_a_report_that_makes_no_sense_is_left_out(heard: Heard, line: bytes) -> None:
    heard.say()
    heard.look(0.1)
    os.write(heard.reports.writing, line + b"\n")
    heard.look(0.1)
    assert heard.reports.wrong() == ""
    assert _frames_in(heard.counted) is None
    heard.say(wrong="no room on disk")
    heard.look(0.1)
    assert heard.reports.wrong() == "no room on disk"


def _write(reports: Reports, message: dict[str, object]) -> None:
    os.write(reports.writing, json.dumps(message).encode() + b"\n")


def _frames_in(counted: Counted) -> float | None:
    """What was counted of ``platestream_frames_in``; None if nothing was."""
    family = Metric("platestream_frames_in", "", "counter")
    counted.add_to(family, {})
    return family.samples[0].value if family.samples else None
