"""A fleet seen from outside: one service's health for many cameras, and what waits for it.

``/metrics`` of a fleet has what each of its processes counts, as one service's would.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from platestream import streams
from platestream.endpoint import Answer, Endpoint, Request
from platestream.fleet_metrics import Counted, FleetCollector
from platestream.health import Verdict
from platestream.metrics import Metrics, Readiness, Surroundings, expose
from platestream.observation import camera_reasons, health_answer, unknown_camera
from platestream.settings import Settings

_TIMEOUT_S = 1.0


@contextlib.contextmanager
def observed(
    service: str,
    settings: Settings,
    idle_s: Callable[[], float],
    problem: Callable[[], str],
    cameras: Callable[[], Mapping[str, str]],
    counted: Callable[[], Mapping[str, Counted]] = dict,
    pids: Callable[[], Mapping[str, int]] = dict,
) -> Iterator[None]:
    """Answers over HTTP for as long as the block runs; does nothing with ``http.port = 0``.

    It is ready while its file is good, no process keeps dying and at least one camera is served:
    one of many that is unplugged is named among the reasons, but does not make all of the service
    fail. ``/readyz?camera=…`` is about that one alone.

    Args:
        idle_s: Since when the fleet has not looked after its processes, in seconds.
        problem: What is wrong with the file of cameras, or with all of the service; empty if
            nothing is.
        cameras: What is wrong with each camera's process, or stands in the way of its work, by
            camera; empty where nothing is.
        counted: What the cameras' processes have counted, by camera.
        pids: Of the processes that run, by camera.

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

    def look() -> tuple[list[str], dict[str, str]]:
        """What is wrong with all of the service, and with each camera."""
        general = list(liveness().reasons)
        wrong = dict(cameras())
        try:
            client.ping()
            if service == "capture":
                for camera in wrong:
                    reasons = [wrong[camera], *camera_reasons(client, camera)]
                    wrong[camera] = "; ".join(filter(None, reasons))
        except streams.FAILURE as error:
            general.append(streams.away(error, settings.redis))
        return general, wrong

    def readiness() -> tuple[Verdict, dict[str, Verdict]]:
        """Of the service, and of each camera; Redis is asked once for both."""
        general, wrong = look()
        served = not wrong or not all(wrong.values())
        reasons = {camera: (*general, *filter(None, [why])) for camera, why in wrong.items()}
        by_camera = {camera: Verdict(not why, why) for camera, why in reasons.items()}
        general += filter(None, [problem()])
        ok = not general and served
        return Verdict(ok, (*general, *filter(None, wrong.values()))), by_camera

    def answer(verdict: Verdict) -> Answer:
        return health_answer(service, "all", verdict)

    def ready(request: Request) -> Answer:
        asked = request.query.get("camera")
        of_all, by_camera = readiness()
        if asked is None:
            return answer(of_all)
        verdict = by_camera.get(asked)
        if verdict is None:
            return unknown_camera(service, asked)
        return health_answer(service, asked, verdict)

    def shown() -> Readiness:
        of_all, by_camera = readiness()
        return Readiness(of_all.ok, {camera: one.ok for camera, one in by_camera.items()})

    metrics = Metrics(service, settings.camera)
    Surroundings(metrics, client, lambda: liveness().ok, shown)
    together = FleetCollector(service, metrics.registry, counted, pids)

    def exposition(request: Request) -> Answer:
        metrics.serves(cameras())
        return Answer(*expose(together, request.accept))

    routes = {
        "/metrics": exposition,
        "/healthz": lambda _: answer(liveness()),
        "/readyz": ready,
    }
    with Endpoint(settings.http.host, settings.http.port, routes):
        yield
