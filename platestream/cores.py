"""CPU cores: how many of them a process that reads plates or decodes video may take."""

from __future__ import annotations

import os

_MOST = 4  # threads; more of them hardly make networks as small as ours faster


def share(processes: int) -> int:
    """Threads for each of so many processes, so that together they fill the cores: 1 to 4."""
    try:
        cores = len(os.sched_getaffinity(0))  # those that this process may use
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    return max(1, min(_MOST, cores // processes))
