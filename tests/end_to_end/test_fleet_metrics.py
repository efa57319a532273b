"""What the fleets of two cameras show to Prometheus: of both, whatever becomes of a process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from platestream.embedded_redis import EmbeddedRedis
from tests import conftest
from tests.end_to_end.test_fleet import fleet, write_cameras
from tests.platestream.test_observation import get
from tests.sources import free_port

PATIENCE_S = 60.0
wait_until = partial(conftest.wait_until, pause_s=0.1)  # services are asked over HTTP


def _samples(port: int, camera: str) -> dict[str, float]:
    """A camera's samples by name; of those with more labels the sum."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(get(port, "/metrics")[1]):
        for sample in family.samples:
            if sample.labels.get("camera") == camera:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def _value(port: int, camera: str, name: str) -> float:
    return _samples(port, camera).get(name, 0.0)


def test_metrics_of_each_camera_go_on_over_its_processes_and_end_with_it(
    tmp_path: Path, any_server: EmbeddedRedis, make_long_video: Callable[[Path, int], Path]
) -> None:
    clip = make_long_video(tmp_path / "clip.mp4", 200)
    path = tmp_path / "cameras.toml"
    write_cameras(path, {"north": clip, "south": clip})
    capturing, drawing = free_port(), free_port()
    with (
        fleet("capture", path, any_server.url, "--set", f"http.port={capturing}"),
        fleet("visualize", path, any_server.url, "--set", f"http.port={drawing}") as visualize,
    ):
        for camera in ("north", "south"):
            for port, name in (
                (capturing, "platestream_frames_out_total"),
                (drawing, "platestream_capture_to_overlay_seconds_count"),
            ):
                wait_until(
                    lambda port=port, camera=camera, name=name: _value(port, camera, name) > 9,
                    PATIENCE_S,
                    f"{name} of {camera}",
                )
            captured = _samples(capturing, camera)
            assert captured["platestream_frames_in_total"] > 9
            assert captured["platestream_frames_out_total"] > 9
            assert captured["platestream_handling_seconds_bucket"] > 9
            drawn = _samples(drawing, camera)
            assert drawn["platestream_hop_seconds_count"] > 9
            assert 0 < drawn["platestream_capture_to_overlay_seconds_sum"] < 60
            assert drawn["platestream_camera_ready"] == 1
            assert drawn["process_resident_memory_bytes"] > 1e6
            assert get(drawing, f"/readyz?camera={camera}")[0] == 200

        killed = visualize.children()["north"]
        os.kill(killed, signal.SIGKILL)
        counted = {name: v for name, v in _samples(drawing, "north").items() if "total" in name}
        names = {name for name in _samples(drawing, "north") if name.startswith("platestream_")}
        least = counted["platestream_frames_in_total"]

        def more() -> bool:
            now = _samples(drawing, "north")
            assert names <= set(now)
            assert now["platestream_frames_in_total"] >= least
            return now["platestream_frames_in_total"] > least + 9

        wait_until(more, PATIENCE_S, "frames of the next process")
        assert visualize.children()["north"] != killed

        write_cameras(path, {"south": clip})
        wait_until(lambda: not _samples(drawing, "north"), PATIENCE_S, "no word of it")
        assert get(drawing, "/readyz?camera=north")[0] == 404
        south = _value(drawing, "south", "platestream_frames_in_total")
        wait_until(
            lambda: _value(drawing, "south", "platestream_frames_in_total") > south,
            PATIENCE_S,
            "the other goes on",
        )


def test_all_that_a_process_has_counted_is_shown_when_it_has_ended(
    tmp_path: Path, any_server: EmbeddedRedis, make_video: Callable[..., Path]
) -> None:
    clip = make_video(tmp_path / "clip.mp4", frames=6)  # over before a second is
    path, port = tmp_path / "cameras.toml", free_port()
    path.write_text(f"[cameras.a]\nsource = '{clip}'\n")
    with fleet("capture", path, any_server.url, "--set", f"http.port={port}") as capture:
        wait_until(lambda: capture.says("its source has ended"), PATIENCE_S, "an end")
        assert _value(port, "a", "platestream_frames_out_total") == 6
