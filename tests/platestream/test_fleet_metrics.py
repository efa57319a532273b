"""What a camera's processes count, one after the other, as their fleet shows it."""

from __future__ import annotations

import json
import os
import select

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from platestream.fleet_metrics import Counted, FleetCollector, messages
from platestream.metrics import Metrics, expose


def _process(*, frames: int, skipped: int = 0) -> Metrics:
    """The metrics of a process that has taken in so many frames."""
    metrics = Metrics("visualize", "a")
    for _ in range(frames):
        took = metrics.took("a", 0)
        metrics.done("a", took)
    metrics.count("a", skipped_by_visualize=skipped)
    return metrics


def _hear(counted: Counted, process: Metrics) -> None:
    for message in messages(process.registry):
        line = json.dumps(message, separators=(",", ":"))
        assert len(line) < select.PIPE_BUF
        counted.take(json.loads(line))


def _shown(*cameras: tuple[str, Counted], pids: dict[str, int] | None = None) -> dict[str, float]:
    """Samples as Prometheus reads them, by name and labels."""
    own = Metrics("visualize", "camera")
    together = FleetCollector("visualize", own.registry, lambda: dict(cameras), lambda: pids or {})
    text = expose(together, "")[0].decode()
    assert text.count("# TYPE platestream_frames_in_total ") == 1
    return {
        f"{s.name}{sorted(s.labels.items())}": s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def _of(name: str, camera: str, **more: str) -> str:
    return f"{name}{sorted({'service': 'visualize', 'camera': camera, **more}.items())}"


def test_a_fleet_shows_what_a_process_alone_would() -> None:
    counted, process = Counted(), _process(frames=3, skipped=2)
    _hear(counted, process)
    alone = {
        f"{s.name}{sorted(s.labels.items())}": s.value
        for family in text_string_to_metric_families(process.expose()[0].decode())
        for s in family.samples
        if s.name.startswith("platestream_")
    }
    shown = _shown(("a", counted))
    assert {name: v for name, v in shown.items() if name.startswith("platestream_")} == alone
    assert alone[_of("platestream_frames_in_total", "a")] == 3
    assert alone[_of("platestream_hop_seconds_bucket", "a", le="+Inf")] == 3
    assert alone[_of("platestream_frames_skipped_total", "a", reason="newer")] == 2


def test_no_series_falls_or_goes_away_with_a_process() -> None:
    counted = Counted()
    _hear(counted, _process(frames=3, skipped=2))
    counted.begin()
    before = _shown(("a", counted))
    assert before[_of("platestream_frames_in_total", "a")] == 3
    second = _process(frames=1)
    _hear(counted, second)
    _hear(counted, second)  # the same again is nothing new
    after = _shown(("a", counted))
    assert after[_of("platestream_frames_in_total", "a")] == 4
    assert after[_of("platestream_hop_seconds_count", "a")] == 4
    assert after[_of("platestream_frames_skipped_total", "a", reason="newer")] == 2
    assert set(before) == set(after)


def test_cameras_are_kept_apart_and_one_that_is_gone_is_not_shown() -> None:
    one, other = Counted(), Counted()
    _hear(one, _process(frames=1))
    _hear(other, _process(frames=2))
    both = _shown(("a", one), ("b", other))
    assert both[_of("platestream_frames_in_total", "a")] == 1
    assert both[_of("platestream_frames_in_total", "b")] == 2
    assert not any("'b'" in name for name in _shown(("a", one)))


def test_processes_are_shown_by_camera_and_one_that_has_ended_is_not() -> None:
    pids = {"a": os.getpid(), "gone": 2**22 + 1}
    shown = _shown(("a", Counted()), pids=pids)
    assert shown["process_resident_memory_bytes[('camera', 'a')]"] > 1e6
    assert "process_cpu_seconds_total[('camera', 'a')]" in shown
    assert shown["process_resident_memory_bytes[]"] > 1e6
    assert not any("gone" in name for name in shown)


def test_a_process_cannot_make_series_without_end() -> None:
    counted = Counted()
    for number in range(3000):
        samples = [["_total", {"event": str(number)}, 1.0]]
        counted.take({"metric": "platestream_events", "samples": samples})
    family = Metric("platestream_events", "", "counter")
    counted.add_to(family, {})
    assert len(family.samples) == 1000


def test_families_that_the_service_does_not_have_are_not_shown() -> None:
    counted = Counted()
    for name, suffix in (("platestream_ready", ""), ("other", "_total"), ("process_x", "_total")):
        counted.take({"metric": name, "samples": [[suffix, {}, 1.0]]})
    assert not any(name.startswith(("other", "platestream_ready")) for name in
                   _shown(("a", counted)))  # fmt: skip


def test_a_label_that_cannot_be_one_takes_all_of_the_message_with_it() -> None:
    counted = Counted()
    samples = [["_total", {}, 1.0], ["_total", {"event": 101 * "x"}, 1.0]]
    with pytest.raises(ValueError, match="no label"):
        counted.take({"metric": "platestream_frames_in", "samples": samples})
    family = Metric("platestream_frames_in", "", "counter")
    counted.add_to(family, {})
    assert not family.samples
