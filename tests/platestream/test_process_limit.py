"""Why a process could not be started, in a sentence that names the limit."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from platestream.process_limit import StartError, is_reached, starting

_WITHOUT_FILES = """
import resource, sys
from platestream.children import Child, start_all
from platestream.process_limit import StartError
child = Child("one", ["services.track"], {}, print)
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
for start in (child.start, lambda: start_all([child])):
    try:
        start()
    except StartError as error:
        print(error)
"""


def test_no_file_to_be_opened_is_said_however_a_process_is_started() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_FILES], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("the limit of open files is reached (`ulimit -n`") == 2


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EAGAIN, "the limit of processes"),
        (errno.EMFILE, "the limit of open files"),
        (errno.ENFILE, "the limit of open files"),
        (errno.ENOMEM, "no memory for one more"),
        (errno.ENOENT, "No such file"),
    ],
)
def test_each_limit_has_its_sentence(number: int, said: str) -> None:
    with pytest.raises(StartError, match=said), starting():
        raise OSError(number, os.strerror(number))


def test_what_is_no_limit_is_left_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="another") as raised, starting():
        raise RuntimeError("another")
    assert not is_reached(raised.value)
