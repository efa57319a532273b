"""Metrics: what is counted under which name; what dashboard and documents name is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import redis

from platestream import streams
from platestream.clock import now_ms
from platestream.messages import Pixels, RenderedFrame
from platestream.metrics import Metrics, Readiness, Surroundings
from platestream.runtime import Session
from platestream.settings import Settings

ROOT = Path(__file__).parents[2]
GATE = {"service": "ocr", "camera": "gate-1"}


def _rendered(mode: str, captured_ago_ms: int, published_ago_ms: int | None) -> RenderedFrame:
    now = now_ms()
    return RenderedFrame(
        frame_id=1,
        captured_at_ms=now - captured_ago_ms,
        published_at_ms=None if published_ago_ms is None else now - published_ago_ms,
        pts_s=0,
        width=2,
        height=2,
        mode=mode,  # type: ignore[arg-type]
        pixels=Pixels(codec="raw", data=b""),
        overlay_age_ms=150,
    )


@pytest.fixture
def ocr() -> Metrics:
    return Metrics("ocr", "gate-1")


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"platestream_{name}", GATE | labels)


def test_the_names_of_redis_counters_say_where_they_belong(ocr: Metrics) -> None:
    ocr.count("gate-1", skipped_by_ocr=7, trimmed_before_ocr=2, claimed_by_ocr=3, dead=1)
    ocr.count("gate-1", refused_by_ocr=1, late_for_ocr=1, skipped_by_ocr=1, passages=4)
    ocr.count("gate-1", crops_left_out=5, reconnects=0)
    reasons = {"newer": 8, "trimmed": 2, "refused": 1, "late": 1, "dead": 1}
    for reason, amount in reasons.items():
        assert _value(ocr, "frames_skipped_total", reason=reason) == amount
    assert _value(ocr, "claims_total") == 3
    assert _value(ocr, "passages_total") == 4
    assert _value(ocr, "events_total", event="crops_left_out") == 5
    assert _value(ocr, "reconnects_total") is None


def test_a_session_counts_for_both(client: redis.Redis) -> None:
    session = Session("ocr", Settings(camera="gate-1"), client)
    session.count("gate-1", skipped_by_ocr=3, claimed_by_ocr=0)
    assert streams.read_hash(client, streams.counts_key("gate-1")) == {"skipped_by_ocr": "3"}
    assert _value(session.metrics, "frames_skipped_total", reason="newer") == 3


def test_a_frame_is_counted_and_timed(ocr: Metrics) -> None:
    took = ocr.took("gate-1", now_ms() - 300)
    ocr.took("gate-1")
    ocr.batch("gate-1", 2)
    ocr.done("gate-1", took, 2)
    assert _value(ocr, "frames_in_total") == 2
    assert _value(ocr, "frames_out_total") == 2
    assert _value(ocr, "hop_seconds_count") == 1
    assert 0.3 <= (_value(ocr, "hop_seconds_sum") or 0) < 5
    assert _value(ocr, "handling_seconds_count") == 1
    assert _value(ocr, "batch_frames_sum") == 2


def test_cameras_that_are_no_longer_served_are_forgotten(client: redis.Redis) -> None:
    session = Session("ocr", Settings(), client)
    for camera in ("gate-1", "gate-2"):
        session.metrics.done(camera, session.metrics.took(camera, 1))
        session.metrics.batch(camera, 1)
        session.count(camera, skipped_by_ocr=1, claimed_by_ocr=1, dead=1, crops_left_out=1)
    session.serves(["gate-2", "gate-3"])
    shown = session.metrics.expose()[0].decode()
    assert "gate-1" not in shown
    assert 'platestream_events_total{camera="gate-2",event="crops_left_out"' in shown
    assert session.metrics.cameras() == ["gate-2", "gate-3"]
    session.count("gate-1", dead=1)  # it is back
    assert _value(session.metrics, "frames_skipped_total", reason="dead") == 1
    assert streams.read_counts(client, "gate-1")["dead"] == 2


def test_a_clock_that_is_behind_makes_no_negative_time(ocr: Metrics) -> None:
    ocr.took("gate-1", now_ms() + 60_000)
    assert _value(ocr, "hop_seconds_sum") == 0


@pytest.mark.parametrize(
    ("mode", "captured_ago_ms", "published_ago_ms", "seconds"),
    [("live", 400, 100, 0.4), ("file", 90_000, 100, 0.1), ("file", 90_000, None, None)],
)
def test_delay_since_capture_is_by_a_clock(
    ocr: Metrics,
    mode: str,
    captured_ago_ms: int,
    published_ago_ms: int | None,
    seconds: float | None,
) -> None:
    frame = _rendered(mode, captured_ago_ms, published_ago_ms)
    ocr.overlaid("gate-1", frame)
    ocr.written("gate-1", frame)
    for name in ("capture_to_overlay_seconds", "capture_to_file_seconds"):
        measured = _value(ocr, f"{name}_sum")
        if seconds is None:
            assert measured is None
        else:
            assert seconds <= (measured or 0) < seconds + 60
    assert _value(ocr, "overlay_age_seconds_sum") == 0.15


@pytest.fixture
def surrounded(ocr: Metrics, client: redis.Redis) -> Metrics:
    Surroundings(ocr, client, lambda: True, lambda: Readiness(False))
    return ocr


def test_the_backlog_is_looked_up(surrounded: Metrics, client: redis.Redis) -> None:
    key = streams.frames_key("gate-1")
    streams.ensure_group(client, key, streams.OCR)
    for frame_id in range(1, 11):
        streams.publish_captured(client, "gate-1", frame_id, {"frame_id": str(frame_id)})
    streams.GroupConsumer(client, key, streams.OCR, "one").read(3, None)
    stream = {"stream": "frames"}
    group = {**stream, "group": "ocr"}
    assert _value(surrounded, "group_lag_entries", **group) == 7
    assert _value(surrounded, "group_pending_entries", **group) == 3
    assert _value(surrounded, "group_consumers", **group) == 1
    assert _value(surrounded, "stream_entries", **stream) == 10
    size = streams.backlog(client, key).bytes  # None from fakeredis
    assert _value(surrounded, "stream_bytes", **stream) == size
    one = {"service": "ocr"}
    values = [
        surrounded.registry.get_sample_value(f"platestream_{name}", one)
        for name in ("redis_up", "healthy", "ready")
    ]
    assert values == [1, 1, 0]


def test_a_redis_that_is_away_does_not_keep_the_rest_away(ocr: Metrics) -> None:
    client = streams.connect("redis://127.0.0.1:1/0", timeout_s=1)
    Surroundings(ocr, client, lambda: True, lambda: Readiness(False))
    ocr.took("gate-1")
    text = ocr.expose()[0].decode()
    assert 'platestream_redis_up{service="ocr"} 0.0' in text
    assert 'platestream_frames_in_total{camera="gate-1",service="ocr"} 1.0' in text
    assert "platestream_group_lag_entries{" not in text


def _names(metrics: Metrics) -> set[str]:
    """The names that a query may use."""
    names = set()
    for line in metrics.expose()[0].decode().splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            names |= (
                {name + e for e in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
            )
    return names


def test_all_that_the_dashboard_names_is_there(surrounded: Metrics) -> None:
    board = json.loads((ROOT / "deploy/grafana/platestream.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    named = {name for q in queries for name in re.findall(r"\b(?:platestream|process)_\w+", q)}
    assert len(queries) > 20
    assert named <= _names(surrounded)


def test_the_documents_name_all_of_ours_and_no_other(surrounded: Metrics) -> None:
    text = (ROOT / "docs/operations.md").read_text()
    named = set(re.findall(r"`(platestream_\w+)`", text))
    ours = {name for name in _names(surrounded) if name.startswith("platestream_")}
    assert named == {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours}
