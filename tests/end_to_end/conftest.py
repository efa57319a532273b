"""Fixtures of tests through real processes: a source, and what an undisturbed run makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from platestream.embedded_redis import EmbeddedRedis
from tests.conftest import MadeOnce
from tests.end_to_end.running import FRAMES, Written, finish, running


@pytest.fixture(scope="session")
def source(make_video: Callable[..., Path], made_once: MadeOnce) -> Path:
    """A small video of ``FRAMES`` numbered frames."""
    folder = made_once("source", lambda folder: make_video(folder / "in.mp4", frames=FRAMES))
    return folder / "in.mp4"


@pytest.fixture(scope="session")
def undisturbed(source: Path, made_once: MadeOnce) -> Written:
    """What a run writes that nothing happens to; without OCR, as there is no plate to draw."""

    def go(folder: Path) -> None:
        with running(source, folder / "out.mp4", None, "--ocr-replicas", "0") as run:
            assert finish(run)["frames_written"] == FRAMES

    left = Written.of(made_once("undisturbed", go) / "out.mp4")
    assert left.numbers == list(range(FRAMES))
    assert left.times == [round(number / 25, 4) for number in range(FRAMES)]
    assert [frame_id for frame_id, _ in left.lines] == list(range(1, FRAMES + 1))
    return left


@pytest.fixture
def server(any_server: EmbeddedRedis) -> EmbeddedRedis:
    """One of the two servers for each test: what starts processes takes long enough with one."""
    return any_server
