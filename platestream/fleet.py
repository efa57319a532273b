"""One service for every camera of a ``cameras.toml``: a process each, started, changed and ended
as the file says, while it runs.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from platestream import cameras_file, logs, options, streams
from platestream.cameras_file import CameraEntry, CamerasFileError, setting_variables
from platestream.errors import SettingsError
from platestream.fleet_member import REMIND_S, CameraState, Context, Member, Service
from platestream.fleet_metrics import Counted
from platestream.fleet_observation import observed
from platestream.runtime import EXIT_OK, EXIT_REFUSED
from platestream.settings import Settings

GRACE_S = 30.0
"""How long what is under way of a camera that was removed may take to finish."""

_POLL_S = 0.1
_FILE_POLL_S = 1.0


_OF_EVERY_PROCESS = {
    "log.format": "json",  # read by the fleet, and said again in its own words
    "http.port": 0,  # one port cannot serve them all: the fleet answers for them
}


def serve(
    service: Service,
    path: Path,
    flags: Mapping[str, Any],
    config: str | None,
    assignments: list[str] | None,
    *,
    once: bool = False,
) -> int:
    """Runs a service for all cameras of a file until SIGTERM or SIGINT; returns the exit code.

    Args:
        flags: Settings given on the command line, by dotted name; None where not given.
        once: End when no camera has anything left to do.

    Raises:
        SettingsError: A flag, the settings file, or the file of cameras is wrong.
    """
    for name, said in (("camera", "--camera"), ("capture.source", "a source")):
        if flags.get(name) is not None:
            raise SettingsError(f"give either {said} or --cameras, not both")
    settings = options.load(dict(flags), config, assignments)
    logs.configure(settings.log, service=service)
    given = dict(a.split("=", 1) for a in assignments or ())
    given |= {name: value for name, value in flags.items() if value is not None}
    given["redis.url"] = settings.redis.url
    fleet = Fleet(service, path, settings, given, once=once)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, fleet.stop)
    with observed(
        service,
        settings,
        fleet.idle_s,
        fleet.wrong,
        fleet.wrong_with_cameras,
        fleet.counted,
        fleet.pids,
    ):
        return fleet.run()


class Fleet:
    """The processes of one service, one for each camera of a file.

    Attributes:
        problem: What is wrong with the file as it is now; empty if it is in force.
    """

    def __init__(
        self,
        service: Service,
        path: Path,
        settings: Settings,
        given: Mapping[str, Any] | None = None,
        *,
        once: bool = False,
        grace_s: float = GRACE_S,
    ) -> None:
        """Reads the file; starts nothing yet.

        Args:
            settings: Those of all cameras.
            given: Those of them that the processes do not find by themselves in the environment
                and in the settings file, by dotted name.

        Raises:
            CamerasFileError: The file is not there or wrong.
        """
        self.problem = ""
        self._service = service
        self._path = path
        self._settings = settings
        self._once = once
        self._stopping = False
        self._looked_at = time.monotonic()
        self._log = structlog.get_logger()
        self._in_force = self._last_seen = cameras_file.read_bytes(path)
        self._refused: bytes | None = None
        self._next_look = 0.0
        self._said_at = 0.0
        self._context = Context(
            service,
            setting_variables({**(given or {}), **_OF_EVERY_PROCESS}),
            streams.connect(settings.redis, timeout_s=2.0),
            once,
            grace_s,
            settings.fleet.stop_s,
            settings.http.hang_s,
        )
        self._members: dict[str, Member] = {}
        self._apply(self._parse(self._in_force))

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Asks for an end; may be called from a signal handler."""
        self._stopping = True

    def states(self) -> dict[str, CameraState]:
        """How every camera's process does, by camera."""
        return {name: member.state() for name, member in self._members.copy().items()}

    def idle_s(self) -> float:
        """Since when it has not looked after its processes, in seconds."""
        return time.monotonic() - self._looked_at

    def wrong(self) -> str:
        """What is wrong with the file, or with the service itself; empty if nothing is."""
        if self.problem:
            return self.problem
        dying = [name for name, one in self.states().items() if one.keeps_dying]
        return f"processes of cameras keep dying: {', '.join(dying)}" if dying else ""

    def wrong_with_cameras(self) -> dict[str, str]:
        """Why cameras that are in the file are not served now; empty where they are."""
        states = self.states().items()
        return {name: one.reason for name, one in states if one.state != "leaving"}

    def counted(self) -> dict[str, Counted]:
        """What the processes of every camera have counted, by camera."""
        return {name: member.counted for name, member in self._members.copy().items()}

    def pids(self) -> dict[str, int]:
        """The processes that run, by camera."""
        return {name: one.pid for name, one in self.states().items() if one.pid is not None}

    def run(self) -> int:
        """Looks after the processes until ``stop``; none is left when it returns.

        Returns:
            0, or, with ``once``, 2 where a camera was refused.
        """
        self._log.info(f"{self._service} for {len(self._members)} cameras of '{self._path}'")
        try:
            while not self._stopping and not (self._once and self._all_done()):
                self._looked_at = now = time.monotonic()
                self._look(now)
                for member in list(self._members.values()):
                    if self._stopping:
                        break
                    self._looked_at = time.monotonic()
                    member.tick(now)
                    if member.gone:
                        del self._members[member.name]
                logs.say_left_out()
                time.sleep(_POLL_S)
        finally:
            members = list(self._members.values())
            for member in members:
                member.terminate()
            until = time.monotonic() + self._settings.fleet.stop_s
            for member in members:
                member.wait(max(0.1, until - time.monotonic()))
        return EXIT_REFUSED if any(m.refused for m in members) and self._once else EXIT_OK

    def _all_done(self) -> bool:
        return all(member.done for member in self._members.values())

    def _look(self, now: float) -> None:
        """Takes up what the file says, if it has changed and is good."""
        if now < self._next_look:
            return
        self._next_look = now + _FILE_POLL_S
        try:
            data = cameras_file.read_bytes(self._path)
            # the same twice: half of a file that is being written may be a good file, too
            settled, self._last_seen = data == self._last_seen, data
            if not settled:
                return
            if data == self._in_force:
                if self.problem:
                    self._log.info(f"'{self._path}' is again as it was")
                self.problem = ""
                return
            if data == self._refused:
                self._complain(self.problem, now)
                return
            try:
                cameras = self._parse(data)
            except CamerasFileError:
                self._refused = data
                raise
        except CamerasFileError as error:
            self._complain(" · ".join(error.problems[:5]), now)
            return
        self.problem = ""
        self._in_force, self._refused = data, None
        self._apply(cameras)

    def _parse(self, data: bytes) -> dict[str, CameraEntry]:
        cameras = cameras_file.parse(data, self._path)
        cameras_file.check_budgets(cameras, self._settings.streams, self._path)
        if self._service == "writer":
            cameras_file.check_outputs(cameras, self._settings.writer, self._path)
        return cameras

    def _complain(self, problem: str, now: float) -> None:
        if problem == self.problem and now - self._said_at < REMIND_S:
            return
        self.problem, self._said_at = problem, now
        self._log.error(f"{problem}; the cameras go on as they were")

    def _apply(self, cameras: dict[str, CameraEntry]) -> None:
        for name, member in self._members.items():
            if name not in cameras and not member.leaving:
                self._log.info(f"camera {name} was removed", camera=name)
                member.remove()
        for name, entry in cameras.items():
            if name not in self._members:
                self._members[name] = Member(entry, self._context)
                self._log.info(f"camera {name} was added", camera=name)
            elif self._members[name].change(entry):
                self._log.info(f"camera {name} has changed", camera=name)
