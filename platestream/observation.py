"""A service seen from outside: ``/metrics``, ``/healthz`` and ``/readyz``."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import cast

from platestream import streams
from platestream.endpoint import Answer, Endpoint, Request
from platestream.health import Health, Verdict
from platestream.masking import mask
from platestream.metrics import Metrics, Readiness, Surroundings
from platestream.settings import Settings

_TIMEOUT_S = 1.0
_NO_CAMERA = {"lost", "stalled"}  # states in ``camera:{cam}``


@contextlib.contextmanager
def observed(
    metrics: Metrics, health: Health, settings: Settings, stopping: threading.Event
) -> Iterator[None]:
    """Answers over HTTP for as long as the block runs; does nothing with ``http.port = 0``.

    Raises:
        SettingsError: The port cannot be listened on.
    """
    if not settings.http.port:
        yield
        return
    client = streams.connect(settings.redis, timeout_s=_TIMEOUT_S, retries=0)

    def readiness() -> Verdict:
        reasons = [] if not stopping.is_set() else ["stopping"]
        try:
            client.ping()
            if metrics.service == "capture":
                reasons += camera_reasons(client, settings.camera)
        except streams.FAILURE as error:
            reasons.append(streams.away(error, settings.redis))
        own = health.is_ready()
        return Verdict(own.ok and not reasons, (*own.reasons, *reasons))

    def answer(verdict: Verdict) -> Answer:
        return health_answer(metrics.service, settings.camera, verdict)

    def ready(request: Request) -> Answer:
        asked = request.query.get("camera")
        if asked is not None and asked not in metrics.cameras():
            return unknown_camera(metrics.service, asked)
        return answer(readiness())

    def shown() -> Readiness:
        # OCR is of no camera: one of many replicas, or of a pool
        cameras = [] if metrics.service == streams.OCR else metrics.cameras()
        ok = readiness().ok
        return Readiness(ok, dict.fromkeys(cameras, ok))

    Surroundings(metrics, client, lambda: health.is_alive().ok, shown)
    routes = {
        "/metrics": lambda request: Answer(*metrics.expose(request.accept)),
        "/healthz": lambda _: answer(health.is_alive()),
        "/readyz": ready,
    }
    with Endpoint(settings.http.host, settings.http.port, routes):
        yield


def health_answer(
    service: str, camera: str, verdict: Verdict, failed: int = HTTPStatus.SERVICE_UNAVAILABLE
) -> Answer:
    """What ``/healthz`` and ``/readyz`` answer, as ``platestream.probe`` reads it.

    Args:
        failed: The status where the verdict is not good.
    """
    said = {
        "status": "ok" if verdict.ok else "failed",
        "service": service,
        "camera": camera,
        "reasons": [mask(reason) for reason in verdict.reasons],
    }
    body = json.dumps(said, ensure_ascii=False).encode() + b"\n"
    return Answer(body, "application/json", HTTPStatus.OK if verdict.ok else failed)


def unknown_camera(service: str, camera: str) -> Answer:
    """What ``/readyz?camera=…`` answers about one that the service does not have."""
    verdict = Verdict(False, (f"no camera '{camera}' here",))
    return health_answer(service, camera, verdict, HTTPStatus.NOT_FOUND)


def camera_reasons(client: streams.Client, camera: str) -> list[str]:
    """What capture has noted in Redis that is wrong with a camera's source."""
    state = cast("bytes | None", client.hget(streams.camera_key(camera), "state"))
    known = (state or b"").decode("utf-8", "replace")
    return [f"camera '{camera}' is {known}"] if known in _NO_CAMERA else []
