"""Child processes: what they say goes to whoever started them, once."""

from __future__ import annotations

import io
import json

import pytest

from platestream.children import Child


@pytest.mark.parametrize(
    ("line", "tells_fatal", "told"),
    [
        ({"level": "warning", "event": "late"}, True, ["late"]),
        ({"level": "error", "event": "bad weights", "fatal": True}, True, []),
        ({"level": "error", "event": "oh", "fatal": True, "exception": "why"}, True, ["oh\nwhy"]),
        ({"level": "error", "event": "oh", "fatal": True, "exception": "why"}, False, []),
        ("no JSON", True, ["no JSON"]),
    ],
)
def test_a_refusal_is_left_to_the_parent_and_a_fault_is_told(
    line: object, tells_fatal: bool, told: list[str]
) -> None:
    heard: list[str] = []
    child = Child("ocr", [], {}, lambda _name, _level, event: heard.append(event), tells_fatal)
    text = line if isinstance(line, str) else json.dumps(line)
    child._listen(io.BytesIO(text.encode() + b"\n"))
    assert heard == told
    if isinstance(line, dict) and line["level"] == "error":
        assert child.last_error == line["event"]
