"""Which tests go to one worker of pytest-xdist, one after the other, and which wherever there is
room.
"""

from __future__ import annotations

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


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist may not be there
    """Sends what is ``TOGETHER`` to one worker, the largest first, and other tests one by one.

    xdist's own way, marks and ``--dist loadgroup``, does nothing with pytest 9.2: xdist 3.8 changes
    a test's id where pytest no longer looks.
    """

    def _split_scope(self, nodeid: str) -> str:
        """The name of what is sent as one."""
        return next((start for start in TOGETHER if nodeid.startswith(start)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Makes the scheduler of this project's tests."""
    return Scheduling(config, log)
