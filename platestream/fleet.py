"""One service for every camera of a ``cameras.toml``: a process each, started, changed and ended
as the file says, while it runs.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import structlog

from platestream import cameras_file, logs, options, streams
from platestream.cameras_file import CameraEntry, CamerasFileError, setting_variables
from platestream.children import Child, how_it_ended
from platestream.errors import SettingsError
from platestream.fleet_observation import observed
from platestream.runtime import EXIT_OK, EXIT_REFUSED
from platestream.settings import Settings

Service = Literal["capture", "track", "visualize", "writer"]
State = Literal["running", "waiting", "leaving", "done"]

GRACE_S = 30.0
"""How long what is under way of a camera that was removed may take to finish."""

_POLL_S = 0.1
_FILE_POLL_S = 1.0
_THROUGH_POLL_S = 0.5
_STOP_S = 10.0  # from SIGTERM to SIGKILL
_LONGEST_PAUSE_S = 60.0
_STEADY_S = 60.0  # a process that has run for so long is no longer held to have failed before
_REMIND_S = 60.0


_OF_EVERY_PROCESS = {
    "log.format": "json",  # read by the fleet, and said again in its own words
    "http.port": 0,  # one port cannot serve them all: the fleet answers for them
}


@dataclass(frozen=True)
class CameraState:
    """How a camera's process does.

    Attributes:
        state: ``running``; ``waiting`` to be tried again; ``leaving``: the camera was removed,
            what is under way is being finished; ``done``: the source has ended.
        reason: Why it is waiting; empty otherwise.
        failures: How often it has failed since it last ran steadily.
    """

    camera: str
    state: State
    reason: str
    failures: int
    pid: int | None


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
    with observed(service, settings, fleet.idle_s, lambda: fleet.problem, fleet.wrong_with_cameras):
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
        self._context = _Context(
            service,
            setting_variables({**(given or {}), **_OF_EVERY_PROCESS}),
            streams.connect(settings.redis, timeout_s=2.0),
            once,
            grace_s,
        )
        self._members: dict[str, _Member] = {}
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

    def wrong_with_cameras(self) -> dict[str, str]:
        """Why cameras that are in the file have no process now; empty where they have one."""
        states = self.states().items()
        return {name: one.reason for name, one in states if one.state != "leaving"}

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
                    member.tick(now)
                    if member.gone:
                        del self._members[member.name]
                time.sleep(_POLL_S)
        finally:
            members = list(self._members.values())
            for member in members:
                member.terminate()
            until = time.monotonic() + _STOP_S
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
        if self._service == "writer":
            cameras_file.check_outputs(cameras, self._settings.writer, self._path)
        return cameras

    def _complain(self, problem: str, now: float) -> None:
        if problem == self.problem and now - self._said_at < _REMIND_S:
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
                self._members[name] = _Member(entry, self._context)
                self._log.info(f"camera {name} was added", camera=name)
            elif self._members[name].change(entry):
                self._log.info(f"camera {name} has changed", camera=name)


@dataclass(frozen=True)
class _Context:
    """What the members of a fleet have in common."""

    service: Service
    environment: Mapping[str, str]
    client: streams.Client
    once: bool
    grace_s: float


class _Member:
    """One camera of a fleet and its process.

    Attributes:
        leaving: The camera was removed from the file.
        done: Its process has ended well and is not to be started again.
        refused: It was done with because its process refused to work.
        gone: Nothing is left to do for it.
    """

    def __init__(self, entry: CameraEntry, context: _Context) -> None:
        self.name = entry.name
        self.leaving = self.done = self.refused = self.gone = False
        self._context = context
        self._log = structlog.get_logger().bind(camera=entry.name)
        self._own = entry.own_settings(context.service)
        self._child: Child | None = None
        self._child_own: Mapping[str, Any] = {}
        self._started_at = 0.0
        self._terminated_at: float | None = None
        self._left_at = 0.0
        self._next_try = 0.0
        self._next_question = 0.0
        self._failures = 0
        self._reason = ""
        self._said = ("", 0.0)  # a reason, and when

    def state(self) -> CameraState:
        """How it does."""
        running = self._child is not None
        process = self._child.process if self._child else None
        state: State = "running" if running else "done" if self.done else "waiting"
        reason = "" if running else self._reason
        return CameraState(
            self.name,
            "leaving" if self.leaving else state,
            reason,
            self._failures,
            process.pid if process else None,
        )

    def change(self, entry: CameraEntry) -> bool:
        """Takes up what the file says of it now; returns whether that is anything new."""
        own = entry.own_settings(self._context.service)
        if own == self._own and not self.leaving:
            return False
        self.done = self.done and own == self._own and not self.leaving
        self._own, self.leaving, self.refused = own, False, False
        self._failures, self._next_try, self._reason = 0, 0.0, ""
        return True

    def remove(self) -> None:
        """Lets it finish what is under way, and go."""
        self.leaving, self._left_at, self._next_question = True, time.monotonic(), 0.0

    def tick(self, now: float) -> None:
        """Looks after the process."""
        if self._child is not None:
            code = self._child.exit_code()
            if code is None:
                self._look_after_running(self._child, now)
                return
            self._take_leave_of(self._child, code, now)
        if self.leaving:
            self._retire(now)
        elif not self.done and now >= self._next_try:
            self._start(now)

    def terminate(self) -> None:
        """Asks the process to stop."""
        if self._child is not None:
            if self._terminated_at is None:
                self._terminated_at = time.monotonic()
            self._child.terminate()

    def wait(self, timeout_s: float) -> None:
        """Waits for the process's end; kills it when that takes too long."""
        if self._child is not None:
            self._child.wait(timeout_s)

    def _start(self, now: float) -> None:
        context = self._context
        self._child = Child(
            self.name,
            [f"services.{context.service}", "--camera", self.name],
            {**context.environment, **setting_variables(self._own)},
            self._on_log,
            tells_fatal=False,
        )
        self._child_own, self._started_at, self._terminated_at = self._own, now, None
        self._child.start()

    def _look_after_running(self, child: Child, now: float) -> None:
        if self._terminated_at is not None:
            if now - self._terminated_at > _STOP_S:
                self._log.warning(f"it did not stop within {_STOP_S:.0f} s of SIGTERM; killed")
                child.wait(0)
        elif (self.leaving and self._may_end(now)) or self._own != self._child_own:
            self.terminate()
        if now - self._started_at > _STEADY_S:
            self._failures = 0

    def _may_end(self, now: float) -> bool:
        """Whether a process of a removed camera may be ended now; capture must, to give an end."""
        service = self._context.service
        return service == "capture" or self._is_finished(now, (service,))

    def _is_finished(self, now: float, services: tuple[str, ...]) -> bool:
        """Whether services are through with a removed camera; or have had long enough."""
        if now < self._next_question:
            return False
        self._next_question = now + _THROUGH_POLL_S
        client = self._context.client
        try:
            if all(streams.is_through(client, self.name, service) for service in services):
                return True
        except streams.FAILURE as error:
            self._log.debug(f"cannot see how far it is: {error}")
        if now - self._left_at > self._context.grace_s:
            self._log.warning(
                f"what was under way of the removed camera {self.name} was not finished by "
                f"{' and '.join(services)} within {self._context.grace_s:.0f} s"
            )
            return True
        return False

    def _retire(self, now: float) -> None:
        """The last of a removed camera, once its process has ended."""
        if self._context.service != "capture":
            self.gone = True
            return
        if not self._is_finished(now, (streams.OCR, streams.VISUALIZE, streams.WRITER)):
            return
        try:
            if not streams.retire_camera(self._context.client, self.name):
                self._log.warning(f"frames of {self.name} that nobody has taken stay in Redis")
        except streams.FAILURE as error:
            self._log.warning(f"{self.name} is still among the cameras in Redis: {error}")
        self.gone = True

    def _take_leave_of(self, child: Child, code: int, now: float) -> None:
        """Decides what the end of a process means."""
        context = self._context
        self._child = None
        if self._terminated_at is not None:
            return
        if code == EXIT_OK and (context.service == "capture" or context.once):
            self.done = True
            self._log.info("its source has ended" if context.service == "capture" else "done")
            return
        self._failures += 1
        refused = code == EXIT_REFUSED
        pause = min(_LONGEST_PAUSE_S, 2.0 ** (self._failures - 1)) * random.uniform(0.8, 1.0)
        if self._failures == 1 and not refused:
            pause = 0.0
        how = child.last_error or how_it_ended(code)
        self._reason = f"camera {self.name}: {how}"
        self._next_try = now + pause
        if refused and context.once:
            self.done = self.refused = True
        said, at = self._said
        if said != self._reason or now - at > _REMIND_S:
            self._said = (self._reason, now)
            again = "" if self.done else f"; trying again, at least every {_LONGEST_PAUSE_S:.0f} s"
            self._log.error(self._reason + again)

    def _on_log(self, _name: str, level: str, event: str) -> None:
        getattr(self._log, level if level in _LEVELS else "debug")(event)


_LEVELS = {"debug", "info", "warning", "error"}
