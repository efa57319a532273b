"""What training imports asks nobody."""

from __future__ import annotations

import pytest

pytest.importorskip("catalyst", reason="the train extra is not installed")

from training import transforms  # noqa: F401, I001  # imports the other
from albumentations import check_version


def test_the_newest_version_of_albumentations_is_not_asked_for() -> None:
    assert check_version.opener is None  # made when it asks
