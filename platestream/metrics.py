"""A service's metrics for Prometheus: what it counts, how long things take, what lies before it.

Each session has a registry of its own. Times are by the clock on the wall; between two hosts
they are as right as the hosts' clocks. docs/operations.md has the table of all metrics.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import prometheus_client
import redis
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from platestream import __version__, streams
from platestream.clock import now_ms
from platestream.messages import Frame, RenderedFrame

_M = TypeVar("_M", Counter, Histogram)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10.0, 60.0)
_FRAMES = (1, 2, 4, 8, 16, 32, 64)

# Redis counters by the part of their name before the service's: why frames were not handled
_WHY_SKIPPED = {
    "skipped_by": "newer",
    "trimmed_before": "trimmed",
    "overwritten_before": "overwritten",
    "refused_by": "refused",
    "refused_before": "refused",
    "late_for": "late",
    "undecoded_by": "undecoded",
    "damaged_by": "damaged",
}
_COUNTED_BY_DONE = {"frames_in", "frames_written", "readings"}

# What each service reads: the stream's name and key, the group, whether entry ids are frame ids
_READS: dict[str, tuple[str, Callable[[str], str], str, bool]] = {
    "ocr": ("frames", streams.frames_key, streams.OCR, True),
    "visualize": ("frames", streams.frames_key, streams.VISUALIZE, True),
    "track": ("readings", streams.readings_key, streams.TRACK, False),
    "writer": ("rendered", streams.rendered_key, streams.WRITER, True),
}


class Metrics:
    """Counters and histograms of one service.

    Per frame a service calls ``took`` and ``done``, and where they apply ``overlaid``,
    ``written`` or ``batch``; ``Session.count`` calls ``count``.
    """

    def __init__(self, service: str, camera: str) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.service = service
        self._camera = camera
        self._cameras: set[str] = set()
        self._known: dict[tuple[Counter | Histogram, tuple[str, ...]], Counter | Histogram] = {}
        self.registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)
        self._in = self._counter("frames_in", "Frames (track: readings) taken in.")
        self._out = self._counter("frames_out", "Frames published or, by the writer, written.")
        self._skipped = self._counter("frames_skipped", "Frames not handled, by reason.", "reason")
        self._claims = self._counter("claims", "Frames taken over from another replica.")
        self._own = {
            "reconnects": self._counter("reconnects", "Times a lost source came back."),
            "stalls": self._counter("stalls", "Times a source was connected but silent."),
            "passages": self._counter("passages", "Plates that came, were read, and have gone."),
        }
        self._events = self._counter("events", "What else Redis counts, by its name.", "event")
        self._hop = self._histogram("hop_seconds", "From published to taken in.")
        self._handling = self._histogram(
            "handling_seconds", "From taken in to done; waiting for room included."
        )
        self._to_overlay = self._histogram(
            "capture_to_overlay_seconds", "From captured to published with its overlay."
        )
        self._to_file = self._histogram(
            "capture_to_file_seconds", "From captured to taken by the file's encoder."
        )
        self._age = self._histogram("overlay_age_seconds", "Age of the reading drawn on a frame.")
        self._batch = self._histogram("batch_frames", "Frames read at once.", _FRAMES)

    def count(self, camera: str, **counters: int) -> None:
        """Adds what Redis counts under these names; zeros, and what ``done`` counts, are left out.

        ``skipped_by_ocr`` becomes a skipped frame with the reason ``newer``, and so on; a name
        that is not known is an event of that name.
        """
        for name, amount in counters.items():
            if not amount or name in _COUNTED_BY_DONE:
                continue
            kind, _, _service = name.rpartition("_")
            if kind in _WHY_SKIPPED:
                self._of(self._skipped, camera, _WHY_SKIPPED[kind]).inc(amount)
            elif name == "dead":
                self._of(self._skipped, camera, "dead").inc(amount)
            elif kind == "claimed_by":
                self._of(self._claims, camera).inc(amount)
            elif name in self._own:
                self._of(self._own[name], camera).inc(amount)
            else:
                self._of(self._events, camera, name).inc(amount)

    def took(self, camera: str, sent_at_ms: int | None = None) -> float:
        """A frame has been taken in; returns when, for ``done``.

        Args:
            sent_at_ms: When it was published, in ms since the epoch; None where that is unknown.
        """
        self._cameras.add(camera)
        self._of(self._in, camera).inc()
        if sent_at_ms is not None:
            self._of(self._hop, camera).observe(_since_s(sent_at_ms))
        return time.perf_counter()

    def done(self, camera: str, took: float, frames: int = 1) -> None:
        """Frames are published or written, all at once.

        Args:
            took: What ``took`` returned for the first of them.
        """
        self._of(self._out, camera).inc(frames)
        self._of(self._handling, camera).observe(time.perf_counter() - took)

    def cameras(self) -> list[str]:
        """Those that are served, or that frames were taken of; else the one of the settings."""
        return sorted(self._cameras.copy() or {self._camera})  # another thread may add to them

    def serves(self, cameras: Iterable[str]) -> None:
        """These are the cameras now, and no others: what was counted of those is dropped."""
        self._cameras = set(cameras)
        for metric, labels in list(self._known):
            if labels[0] not in self._cameras:
                del self._known[metric, labels]
                metric.remove(self.service, *labels)

    def batch(self, camera: str, frames: int) -> None:
        """So many frames are read at once."""
        self._of(self._batch, camera).observe(frames)

    def overlaid(self, camera: str, frame: RenderedFrame) -> None:
        """A frame is published with its overlay: how late, and how old its reading is."""
        self._since_capture(self._to_overlay, camera, frame)
        if frame.overlay_age_ms is not None:
            self._of(self._age, camera).observe(frame.overlay_age_ms / 1000)

    def written(self, camera: str, frame: RenderedFrame) -> None:
        """A frame is with the file's encoder, and in the file with the next one: how late."""
        self._since_capture(self._to_file, camera, frame)

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """All of them as text, and its content type, in the format that ``Accept`` asks for."""
        return expose(self.registry, accept)

    def _since_capture(self, histogram: Histogram, camera: str, frame: Frame) -> None:
        # a frame of a file was captured when its time in the file says, which is no clock's
        began = frame.captured_at_ms if frame.mode == "live" else frame.published_at_ms
        if began is not None:
            self._of(histogram, camera).observe(_since_s(began))

    def _of(self, metric: _M, *labels: str) -> _M:
        """A camera's share of a metric; ``labels`` would take longer than the counting itself.

        Args:
            labels: The camera, and what else the metric tells apart.
        """
        known = self._known.get((metric, labels))
        if known is None:
            known = self._known[metric, labels] = metric.labels(self.service, *labels)
        return known  # type: ignore[return-value]

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        names = ("service", "camera", *labels)
        return Counter(f"platestream_{name}_total", documentation, names, registry=self.registry)

    def _histogram(
        self, name: str, documentation: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(
            f"platestream_{name}",
            documentation,
            ("service", "camera"),
            buckets=buckets,
            registry=self.registry,
        )


class Readiness(NamedTuple):
    """What ``/readyz`` says, and ``/readyz?camera=…`` of each camera."""

    ok: bool
    cameras: Mapping[str, bool] = MappingProxyType({})


class Surroundings(Collector):
    """What is looked up when Prometheus asks: the backlog before a service, and its health."""

    def __init__(
        self,
        metrics: Metrics,
        client: streams.Client,
        is_alive: Callable[[], bool],
        readiness: Callable[[], Readiness],
    ) -> None:
        """Joins the metrics' registry.

        Args:
            client: With a short time-out: a scrape must not wait for a Redis that is away.
        """
        self._metrics = metrics
        self._client = client
        self._is_alive = is_alive
        self._readiness = readiness
        metrics.registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """The same without values, so that registering needs no Redis."""
        return self._families().values()

    def collect(self) -> Iterable[Metric]:
        """Looks them up; without Redis the backlog is left out, and ``redis_up`` is 0."""
        families, service = self._families(), self._metrics.service
        families["info"].add_metric([], {"version": __version__})  # type: ignore[attr-defined]
        up = True
        try:
            self._client.ping()
            for camera in self._metrics.cameras():
                self._backlog(families, camera)
        except redis.ResponseError:
            pass  # it answers, but this user may not look
        except streams.FAILURE:
            up = False
        readiness = self._readiness()
        for name, value in (
            ("redis_up", up),
            ("healthy", self._is_alive()),
            ("ready", readiness.ok),
        ):
            families[name].add_metric([service], float(value))  # type: ignore[attr-defined]
        for camera, value in readiness.cameras.items():
            families["camera_ready"].add_metric(  # type: ignore[attr-defined]
                [service, camera], float(value)
            )
        return families.values()

    def _backlog(self, families: dict[str, Metric], camera: str) -> None:
        service = self._metrics.service
        if service not in _READS:
            return
        stream, key, group, by_frame_id = _READS[service]
        head = streams.noted_frame_id(self._client, camera) if by_frame_id else None
        found = streams.backlog(self._client, key(camera), head)

        def add(name: str, labels: list[str], value: float) -> None:
            families[name].add_metric(labels, value)  # type: ignore[attr-defined]

        add("stream_entries", [service, camera, stream], found.entries)
        if found.bytes is not None:
            add("stream_bytes", [service, camera, stream], found.bytes)
        behind = found.groups.get(group)
        if behind is not None:
            labels = [service, camera, stream, group]
            add("group_pending_entries", labels, behind.pending)
            add("group_consumers", labels, behind.consumers)
            if behind.lag is not None:
                add("group_lag_entries", labels, behind.lag)

    @staticmethod
    def _families() -> dict[str, Metric]:
        one, stream = ["service"], ["service", "camera", "stream"]
        table: list[tuple[str, str, list[str]]] = [
            ("stream_entries", "Entries in the stream that the service reads.", stream),
            ("stream_bytes", "Memory that Redis needs for that stream.", stream),
            ("group_lag_entries", "Entries not yet handed to the group.", [*stream, "group"]),
            ("group_pending_entries", "Entries handed out, not done with.", [*stream, "group"]),
            ("group_consumers", "Consumers that the group knows.", [*stream, "group"]),
            ("redis_up", "Whether Redis answers.", one),
            ("healthy", "Whether /healthz says so.", one),
            ("ready", "Whether /readyz says so.", one),
            ("camera_ready", "Whether /readyz?camera=NAME says so.", ["service", "camera"]),
        ]
        families: dict[str, Metric] = {
            name: GaugeMetricFamily(f"platestream_{name}", documentation, labels=labels)
            for name, documentation, labels in table
        }
        families["info"] = InfoMetricFamily("platestream_build", "The version.")
        return families


def expose(collected: Collector, accept: str) -> tuple[bytes, str]:
    """Metrics as text, and its content type, in the format that ``Accept`` asks for."""
    encode, content_type = choose_encoder(accept)
    return encode(collected), content_type


def _since_s(began_ms: int) -> float:
    return max(0.0, (now_ms() - began_ms) / 1000)  # two hosts' clocks may differ
