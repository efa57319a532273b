"""Which tests go to one worker of pytest-xdist, one after the other, and which wherever there is
room; and which workers need not know of which tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

try:
    from xdist.scheduler import LoadScopeScheduling
except ImportError:  # then there is nothing to schedule
    LoadScopeScheduling = object

TOGETHER = (
    "tests/deploy/kubernetes/",  # forms of kinds take seconds to load
    "tests/docs/test_redis_cli.py",  # a run that is looked into by all of them
    "tests/platestream/test_cli.py",  # and all below: networks
    "tests/platestream/vision/",
    "tests/training/",
)
"""Tests that share what takes seconds to make or to import: folders, files."""

COMPUTING = 2
"""Workers that run those, and other tests when none is left.

The others do not import them: collecting all tests takes a worker more than twice as long. And
what computes has another beside it that waits, rather than one like itself.
"""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves what is ``TOGETHER`` out where another worker runs it."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None or not collection_path.is_relative_to(config.rootpath):
        return None
    number = int(worker["workerid"].removeprefix("gw"))
    # one that takes the place of one that has died must be able to run everything
    if number < COMPUTING or number >= worker["workercount"]:
        return None
    path = collection_path.relative_to(config.rootpath).as_posix()
    return True if f"{path}/".startswith(TOGETHER) else None


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist may not be there
    """Sends what is ``TOGETHER`` to one worker, the largest first, and other tests one by one.

    xdist's own way, marks and ``--dist loadgroup``, does nothing with pytest 9.2: xdist 3.8 changes
    a test's id where pytest no longer looks.
    """

    def schedule(self) -> None:
        """Sends the first tests; those that know all tests come first, and say which there are."""
        if self.collection is None:
            known = self.registered_collections
            self.registered_collections = dict(
                sorted(known.items(), key=lambda item: len(item[1]), reverse=True)
            )
            self.assigned_work = {node: {} for node in self.registered_collections}
            all_tests = next(iter(self.registered_collections.values()))
            self.config.pluginmanager.getplugin("dsession")._session.testscollected = len(all_tests)
        super().schedule()

    def _check_nodes_have_same_collection(self) -> bool:
        """Whether workers have collected the same, but for what is ``TOGETHER``."""
        all_tests, *others = self.registered_collections.values()
        apart = [test for test in all_tests if not test.startswith(TOGETHER)]
        same = all(
            tests == all_tests or [test for test in tests if not test.startswith(TOGETHER)] == apart
            for tests in others
        )
        return same or bool(super()._check_nodes_have_same_collection())

    def _assign_work_unit(self, node: Any) -> None:
        """Sends a worker the first tests in the queue that it has collected."""
        if node not in self.registered_collections:
            return  # one that takes another's place, and collects still: it is asked again
        collected = set(self.registered_collections[node])
        for scope, tests in self.workqueue.items():
            if tests.keys() <= collected:
                self.workqueue.move_to_end(scope, last=False)
                super()._assign_work_unit(node)
                return
        node.shutdown()

    def _split_scope(self, nodeid: str) -> str:
        """The name of what is sent as one."""
        return next((start for start in TOGETHER if nodeid.startswith(start)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Makes the scheduler of this project's tests."""
    return Scheduling(config, log)
