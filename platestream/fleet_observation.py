"""A fleet seen from outside: one service's health for many cameras, and what waits for it.

Its processes count their frames in Redis; ``/metrics`` of a fleet has health and backlog.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from platestream import streams
from platestream.endpoint import Answer, Endpoint
from platestream.health import Verdict
from platestream.metrics import Metrics, Surroundings
from platestream.observation import camera_reasons, health_answer
from platestream.settings import Settings

_TIMEOUT_S = 1.0


@contextlib.contextmanager
def observed(
    service: str,
    settings: Settings,
    idle_s: Callable[[], float],
    problem: Callable[[], str],
    cameras: Callable[[], Mapping[str, str]],
) -> Iterator[None]:
    """Answers over HTTP for as long as the block runs; does nothing with ``http.port = 0``.

    It is ready while its file is good, no process keeps dying and at least one camera is served:
    one of many that is unplugged is named among the reasons, but does not make all of the service
    fail.

    Args:
        idle_s: Since when the fleet has not looked after its processes, in seconds.
        problem: What is wrong with the file of cameras, or with all of the service; empty if
            nothing is.
        cameras: What is wrong with each camera's process, or stands in the way of its work, by
            camera; empty where nothing is.

    Raises:
        SettingsError: The port cannot be listened on.
    """
    if not settings.http.port:
        yield
        return
    client = streams.connect(settings.redis, timeout_s=_TIMEOUT_S, retries=0)

    def liveness() -> Verdict:
        idle = idle_s()
        if idle <= settings.http.hang_s:
            return Verdict(True)
        return Verdict(False, (f"no progress for {idle:.0f} s",))

    def readiness() -> Verdict:
        alive = liveness()
        wrong = dict(cameras())
        general = [*alive.reasons, *filter(None, [problem()])]
        try:
            client.ping()
            if service == "capture":
                for camera in wrong:
                    reasons = [wrong[camera], *camera_reasons(client, camera)]
                    wrong[camera] = "; ".join(filter(None, reasons))
        except streams.FAILURE as error:
            general.append(streams.away(error, settings.redis))
        served = not wrong or not all(wrong.values())
        return Verdict(not general and served, (*general, *filter(None, wrong.values())))

    def answer(verdict: Verdict) -> Answer:
        return health_answer(service, "all", verdict)

    metrics = Metrics(service, settings.camera)
    Surroundings(metrics, client, lambda: liveness().ok, lambda: readiness().ok)

    def exposition(accept: str) -> Answer:
        metrics.serves(cameras())
        return Answer(*metrics.expose(accept))

    routes = {
        "/metrics": exposition,
        "/healthz": lambda _: answer(liveness()),
        "/readyz": lambda _: answer(readiness()),
    }
    with Endpoint(settings.http.host, settings.http.port, routes):
        yield
