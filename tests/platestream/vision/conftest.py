"""The shipped models, loaded once for all tests of a process."""

from __future__ import annotations

import pytest

from platestream.vision.detector import Detector
from platestream.vision.recognizer import Recognizer


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    return Recognizer.load()


@pytest.fixture(scope="session")
def detector() -> Detector:
    return Detector.load()
