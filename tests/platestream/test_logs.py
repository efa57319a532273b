"""Log lines: one JSON object each, whoever speaks; no passwords in any."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_SPEAK = """
import logging, sys, threading, warnings
import structlog
from platestream import logs
from platestream.errors import RedisError
from platestream.settings import LogSettings

logs.configure(LogSettings(format=sys.argv[1], level="debug"), service="capture", camera="gate-1")
log = structlog.get_logger()
log.info("opening rtsp://admin:hunter2@camera/1", source="rtsp://admin:hunter2@camera/1",
         facts={"url": ["redis://:hunter2@h"]}, error=RedisError("redis://:hunter2@h is away"))
try:
    raise ValueError("bad redis://u:hunter2@h")
except ValueError:
    log.exception("two\\nlines")
logging.getLogger("lib").warning("a library says redis://u:%s@h", "hunter2")
warnings.warn("old redis://u:hunter2@h")
def die():
    raise OSError("rtsp://u:hunter2@h")
thread = threading.Thread(target=die, name="reader")
thread.start()
thread.join()
"""


def _said(how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _SPEAK, how], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == ""
    return done.stderr


def test_json_lines() -> None:
    lines = [json.loads(line) for line in _said("json").splitlines()]
    assert [line["level"] for line in lines] == ["info", "error", "warning", "warning", "error"]
    assert all({"time", "level", "service", "camera", "event"} <= set(line) for line in lines)
    assert {(line["service"], line["camera"]) for line in lines} == {("capture", "gate-1")}
    assert lines[0]["source"] == "rtsp://admin:***@camera/1"
    assert lines[0]["facts"] == {"url": ["redis://:***@h"]}
    assert lines[0]["error"] == "redis://:***@h is away"
    assert lines[1]["event"] == "two\nlines"
    assert "ValueError: bad redis://u:***@h" in lines[1]["exception"]
    assert lines[4]["event"] == "thread reader died"
    assert "OSError: rtsp://u:***@h" in lines[4]["exception"]


@pytest.mark.parametrize("how", ["json", "console"])
def test_no_password_is_ever_said(how: str) -> None:
    said = _said(how)
    assert "hunter2" not in said
    assert said.count("***") >= 8
