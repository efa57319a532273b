"""What a fleet hears of its processes, and when it holds one to have hung."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from platestream import fleet_reports
from platestream.fleet_reports import Reports
from platestream.health import Health
from tests.conftest import wait_until


class Heard:
    """A process's reports, its end of the pipe in a test's hands, and a clock."""

    def __init__(self) -> None:
        self.reports = Reports()
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


def test_a_process_tells_how_it_does(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fleet_reports.VARIABLE, str(os.dup(heard.reports.writing)))
    health = Health(30)
    health.not_ready("no room on disk " + 1000 * "я", "disk")
    health.alive()
    fleet_reports.report(health)

    def wrong() -> str:
        heard.look(0.1)
        return heard.reports.wrong()

    wait_until(lambda: wrong().startswith("no room on disk яя"), what="a report")
    health.ready("disk")
    wait_until(lambda: not wrong(), what="a better one")
    assert fleet_reports.VARIABLE not in os.environ
