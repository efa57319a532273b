"""openvino is imported, and tells nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")

_IMPORT = """
import sys, threading
from platestream.vision.backends.openvino import ov
assert ov.Core().get_property("CPU", "FULL_DEVICE_NAME")
print(sorted(name for name in sys.modules if "telemetry" in name), threading.active_count())
"""


def run(script: str, home: Path) -> str:
    """What a script prints; openvino would report nothing anyway where ``CI`` is set."""
    kept = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**kept, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_import_is_reported_to_nobody(tmp_path: Path) -> None:
    assert run(_IMPORT, tmp_path) == "[] 1\n"
    assert not (tmp_path / "intel").exists()  # where the id would be


def test_the_converter_is_there_for_who_wants_it(tmp_path: Path) -> None:
    script = (
        "from platestream.vision.backends.openvino_runtime import ov\n"
        "from openvino.tools.ovc import convert_model\n"
        "print(ov.__name__, convert_model.__name__)\n"
    )
    (tmp_path / "intel").mkdir()
    (tmp_path / "intel" / "openvino_telemetry").write_text("0")  # this test tells nobody either
    assert run(script, tmp_path) == "openvino convert_model\n"


def test_an_openvino_that_was_imported_before_is_taken_as_it_is(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['openvino_telemetry'] = None\n"
        "import openvino\n"
        "from platestream.vision.backends.openvino_runtime import ov\n"
        "print(ov is openvino, 'openvino.tools.ovc' in sys.modules)\n"
    )
    assert run(script, tmp_path) == "True True\n"
