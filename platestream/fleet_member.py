"""One camera of a fleet and its process: started, tried again, changed, taken leave of."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from platestream import streams
from platestream.cameras_file import CameraEntry, setting_variables
from platestream.children import Child, how_it_ended
from platestream.fleet_metrics import Counted
from platestream.fleet_reports import VARIABLE as REPORTS_VARIABLE
from platestream.fleet_reports import Reports
from platestream.process_limit import StartError, starting
from platestream.runtime import EXIT_OK, EXIT_REFUSED

Service = Literal["capture", "track", "visualize", "writer"]
State = Literal["running", "waiting", "leaving", "done"]

REMIND_S = 60.0
"""How often what is still wrong is said again."""

_THROUGH_POLL_S = 0.5
_OTHER_POLL_S = 2.0
_NO_ANSWER_S = 5.0
_LONGEST_PAUSE_S = 60.0
_STEADY_S = 60.0  # a process that has run for so long is no longer held to have failed before
_OFTEN = 2  # failures; after them a process is held to serve only when it
_PROVEN_S = 10.0  # has run for so long: one that dies again and again says that it is well, too
_LEVELS = {"debug", "info", "warning", "error"}


@dataclass(frozen=True)
class CameraState:
    """How a camera's process does.

    Attributes:
        state: ``running``; ``waiting`` to be tried again; ``leaving``: the camera was removed,
            what is under way is being finished; ``done``: the source has ended.
        reason: Why it is waiting, or what stands in the way of its work; empty otherwise.
        failures: How often it has failed since it last ran steadily.
        keeps_dying: Whether they were several, and none a refusal, which is the camera's own
            matter: something is wrong with the service.
    """

    camera: str
    state: State
    reason: str
    failures: int
    pid: int | None
    keeps_dying: bool = False


class Asking:
    """Whether Redis is asked: not for a while after it has given no answer.

    An answer may take seconds, and the fleet looks after one member after the other.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def may(self) -> bool:
        """Whether it is asked now."""
        return time.monotonic() >= self._next

    def failed(self) -> None:
        """Notes that it gave no answer."""
        self._next = time.monotonic() + _NO_ANSWER_S


@dataclass(frozen=True)
class Context:
    """What the members of a fleet have in common.

    Attributes:
        grace_s: How long what is under way of a camera that was removed may take to finish.
        stop_s: From SIGTERM to SIGKILL.
        hang_s: A process that says nothing for so long has hung.
    """

    service: Service
    environment: Mapping[str, str]
    client: streams.Client
    once: bool
    grace_s: float
    stop_s: float
    hang_s: float
    asking: Asking = field(default_factory=Asking)


class Member:
    """One camera of a fleet and its process.

    Attributes:
        leaving: The camera was removed from the file.
        done: Its process has ended well and is not to be started again.
        refused: It was done with because its process refused to work.
        gone: Nothing is left to do for it.
        counted: What its processes have counted, one after the other.
    """

    def __init__(self, entry: CameraEntry, context: Context) -> None:
        self.name = entry.name
        self.leaving = self.done = self.refused = self.gone = False
        self.counted = Counted()
        self._context = context
        self._log = structlog.get_logger().bind(camera=entry.name)
        self._own = entry.own_settings(context.service)
        self._child: Child | None = None
        self._child_own: Mapping[str, Any] = {}
        self._started_at = 0.0
        self._terminated_at: float | None = None
        self._killed = False
        self._hung = ""
        self._reports: Reports | None = None
        self._left_at = 0.0
        self._next_try = 0.0
        self._next_question = 0.0
        self._failures = 0
        self._refused = False  # the last failure
        self._last_pid = 0
        self._reason = ""
        self._said = ("", 0.0)  # a reason, and when

    def state(self) -> CameraState:
        """How it does."""
        running = self._child is not None
        process = self._child.process if self._child else None
        state: State = "running" if running else "done" if self.done else "waiting"
        return CameraState(
            self.name,
            "leaving" if self.leaving else state,
            self._why_not_served(state),
            self._failures,
            process.pid if process else None,
            self._fails_again() and not self._refused and not self.done,
        )

    def _fails_again(self) -> bool:
        """Whether it has failed several times, and not run well since."""
        proven = self._child is not None and time.monotonic() - self._started_at > _PROVEN_S
        return self._failures >= _OFTEN and not proven

    def _why_not_served(self, state: State) -> str:
        reports = self._reports
        if state == "done":
            return self._reason
        if state == "waiting" or reports is None:
            return self._reason or f"camera {self.name}: starting"
        if self._fails_again() or (self._failures and not reports.heard):
            return f"{self._reason}; it has failed {self._failures} times and was started again"
        wrong = reports.wrong()
        return f"camera {self.name}: {wrong}" if wrong else ""

    def change(self, entry: CameraEntry) -> bool:
        """Takes up what the file says of it now; returns whether that is anything new."""
        own = entry.own_settings(self._context.service)
        if own == self._own and not self.leaving:
            return False
        self.done = self.done and own == self._own and not self.leaving
        self._own, self.leaving, self.refused = own, False, False
        self._failures, self._next_try, self._reason = 0, 0.0, ""
        self._refused = False
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
        elif not self.done and now >= self._next_try and not self._another_serves(now):
            self._start(now)

    def _another_serves(self, now: float) -> bool:
        """Whether the camera was taken over by a process that still serves it, elsewhere.

        To start one here would take it back, and so on; it is started when the other one is gone.
        """
        context = self._context
        if not (self._refused and context.asking.may()):
            return False
        ours = f"{socket.gethostname()}:{self._last_pid}"
        try:
            other = streams.other_owner(context.client, self.name, context.service, ours)
        except streams.FAILURE as error:
            context.asking.failed()
            self._log.debug(f"cannot see who serves it: {error}")
            return False  # its process waits for Redis, and says so
        if other:
            self._next_try = now + _OTHER_POLL_S
        return bool(other)

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
        self._close_reports()

    def _start(self, now: float) -> None:
        context = self._context
        self.counted.begin()
        try:
            with starting():
                reports = Reports(self.counted)
        except StartError as error:
            self._failed(str(error), now)
            return
        own_end = {REPORTS_VARIABLE: str(reports.writing)}
        child = Child(
            self.name,
            [f"services.{context.service}", "--camera", self.name],
            {**context.environment, **setting_variables(self._own), **own_end},
            self._on_log,
            tells_fatal=False,
            inherits=(reports.writing,),
        )
        self._child_own, self._started_at, self._terminated_at = self._own, now, None
        self._killed, self._hung = False, ""
        try:
            child.start()
        except StartError as error:
            reports.close()
            self._failed(str(error), now)
            return
        finally:
            reports.begun()
        self._child, self._reports = child, reports
        self._last_pid = child.process.pid if child.process else 0

    def _look_after_running(self, child: Child, now: float) -> None:
        if self._terminated_at is not None:
            stop_s = self._context.stop_s
            if now - self._terminated_at > stop_s and not self._killed:
                self._killed = True
                self._log.warning(f"it did not stop within {stop_s:.0f} s of SIGTERM; killed")
                child.kill()
            return
        if self._reports is not None and not self._killed:
            self._reports.look(now)
            self._hung = self._reports.hung(self._context.hang_s)
            if self._hung:  # it may be stopped, and hear no SIGTERM
                self._killed = True
                child.kill()
                return
        if (self.leaving and self._may_end(now)) or self._own != self._child_own:
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
        client, asking = self._context.client, self._context.asking
        try:
            if asking.may() and all(
                streams.is_through(client, self.name, service) for service in services
            ):
                return True
        except streams.FAILURE as error:
            asking.failed()
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
        self._close_reports()
        if self._terminated_at is not None:
            return
        if code == EXIT_OK and (context.service == "capture" or context.once):
            self.done, self._reason = True, ""
            self._log.info("its source has ended" if context.service == "capture" else "done")
            return
        how = f"{self._hung}; killed" if self._hung else child.last_error or how_it_ended(code)
        self._failed(how, now, refused=code == EXIT_REFUSED)

    def _failed(self, how: str, now: float, *, refused: bool = False) -> None:
        """Says why there is no process, and when the next one is to be tried."""
        self._failures += 1
        self._refused = refused
        pause = min(_LONGEST_PAUSE_S, 2.0 ** (self._failures - 1)) * random.uniform(0.8, 1.0)
        if self._failures == 1 and not refused:
            pause = 0.0
        self._reason = f"camera {self.name}: {how}"
        self._next_try = now + pause
        if refused and self._context.once:
            self.done = self.refused = True
        said, at = self._said
        if said != self._reason or now - at > REMIND_S:
            self._said = (self._reason, now)
            again = "" if self.done else f"; trying again, at least every {_LONGEST_PAUSE_S:.0f} s"
            self._log.error(self._reason + again)

    def _close_reports(self) -> None:
        if self._reports is not None:
            self._reports.close()
            self._reports = None

    def _on_log(self, _name: str, level: str, event: str) -> None:
        getattr(self._log, level if level in _LEVELS else "debug")(event)
