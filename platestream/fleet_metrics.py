"""What a fleet's processes count, as the fleet shows it: summed up over a camera's processes.

A process sends what it has counted since it began (``messages``), beside how it does; the fleet
adds up what is new (``Counted``), so that a series neither falls nor goes away where a process
ends and the next one begins, and is gone with its camera.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

_SAMPLES = 40  # a message of so many fits in what a pipe takes as a whole
_SUFFIXES = {"counter": {"_total"}, "histogram": {"_bucket", "_sum", "_count"}}
_ITS_OWN = ("service", "camera")  # labels that the fleet gives
_MOST_SERIES = 1000  # of a camera; a service has some hundred
_LONGEST_LABEL = 100

_Labels = tuple[tuple[str, str], ...]


def messages(own: Collector) -> Iterator[dict[str, Any]]:
    """What a process has counted since it began, in parts.

    Args:
        own: Counters and histograms of one camera; others are left out.
    """
    for family in own.collect():
        suffixes = _SUFFIXES.get(family.type, set())
        samples = [
            [suffix, _more(sample.labels), sample.value]
            for sample in family.samples
            if (suffix := sample.name.removeprefix(family.name)) in suffixes
            and "camera" in sample.labels
        ]
        for at in range(0, len(samples), _SAMPLES):
            yield {"metric": family.name, "samples": samples[at : at + _SAMPLES]}


def _more(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name not in _ITS_OWN}


class Counted:
    """What the processes of one camera have counted, one after the other. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str, _Labels], float] = {}  # what this process said
        self._sums: dict[tuple[str, str, _Labels], float] = {}

    def begin(self) -> None:
        """A process begins, and counts from 0."""
        with self._lock:
            self._last = {}

    def take(self, message: Mapping[str, Any]) -> None:
        """Adds what is new in one of a process's ``messages``.

        Raises:
            ValueError: It is none; nothing of it is taken.
        """
        try:
            name = str(message["metric"])
            new = {
                (name, str(suffix), _checked(labels)): _amount(value)
                for suffix, labels, value in message["samples"]
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no message of counts: {error!r}") from error
        with self._lock:
            for key, value in new.items():
                if key not in self._sums and len(self._sums) >= _MOST_SERIES:
                    continue
                more = max(0.0, value - self._last.get(key, 0.0))
                self._sums[key] = self._sums.get(key, 0.0) + more
                self._last[key] = value

    def add_to(self, family: Metric, labels: Mapping[str, str]) -> None:
        """Adds to a family what was counted of it, with labels that say whose it is."""
        suffixes = _SUFFIXES.get(family.type, set())
        with self._lock:
            sums = list(self._sums.items())
        for (name, suffix, more), value in sums:
            if name == family.name and suffix in suffixes:
                family.add_sample(name + suffix, {**labels, **dict(more)}, value)


def _checked(labels: Mapping[str, str]) -> _Labels:
    """Labels as a key.

    Raises:
        ValueError: One could not be shown.
    """
    for name, value in labels.items():
        if name in _ITS_OWN or not name.isidentifier() or len(name + value) > _LONGEST_LABEL:
            raise ValueError(f"no label of a count: {name[:_LONGEST_LABEL]!r}")
    return tuple(labels.items())


def _amount(value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"no count: {value}")
    return float(value)


class FleetCollector(Collector):
    """A fleet's own metrics, with what its processes count and what they take of the machine."""

    def __init__(
        self,
        service: str,
        own: Collector,
        counted: Callable[[], Mapping[str, Counted]],
        pids: Callable[[], Mapping[str, int]],
    ) -> None:
        """Shows it whenever it is asked.

        Args:
            own: Has the families that the processes count, too, without samples.
            counted: By camera.
            pids: Of the processes that run, by camera.
        """
        self._service = service
        self._own = own
        self._counted = counted
        self._pids = pids

    def collect(self) -> Iterable[Metric]:
        """The fleet's families, each with the samples of all cameras."""
        counted = self._counted()
        of_processes = list(_of_processes(self._pids()))
        for family in self._own.collect():
            for camera, one in counted.items():
                one.add_to(family, {"service": self._service, "camera": camera})
            for camera, theirs in of_processes:
                if theirs.name == family.name:
                    for sample in theirs.samples:
                        family.add_sample(sample.name, {"camera": camera}, sample.value)
            yield family


def _of_processes(pids: Mapping[str, int]) -> Iterator[tuple[str, Metric]]:
    """CPU, memory and open files of processes; nothing of one that has just ended."""
    for camera, pid in pids.items():
        for family in ProcessCollector(pid=partial(str, pid), registry=None).collect():
            yield camera, family
