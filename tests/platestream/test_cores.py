"""How cores are shared."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from platestream import cores


@pytest.mark.parametrize(
    ("there", "processes", "threads"), [(1, 1, 1), (2, 1, 2), (2, 4, 1), (8, 3, 2), (64, 1, 4)]
)
def test_processes_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, there: int, processes: int, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(there)), raising=False)
    assert cores.share(processes) == threads


def test_not_every_system_tells_which_cores_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert cores.share(1) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux shows them")
def test_what_is_imported_starts_no_thread() -> None:
    """numpy's and OpenCV's OpenBLAS would: one for each core, in every process of a fleet."""
    script = (
        "import os, platestream.video, platestream.overlay, numpy, cv2;"
        "print(len(os.listdir('/proc/self/task')))"
    )
    unset = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", script], env=unset, capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr
