"""Fixtures of tests through real processes: a source, and what an undisturbed run makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from platestream.embedded_redis import EmbeddedRedis
from tests.end_to_end.running import FRAMES, Written, finish, running


@pytest.fixture(scope="session")
def source(make_video: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small video of ``FRAMES`` numbered frames."""
    return make_video(tmp_path_factory.mktemp("source") / "in.mp4", frames=FRAMES)


@pytest.fixture(scope="session")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """What a run writes that nothing happens to; without OCR, as there is no plate to draw."""
    out = tmp_path_factory.mktemp("undisturbed") / "out.mp4"
    with running(source, out, None, "--ocr-replicas", "0") as run:
        assert finish(run)["frames_written"] == FRAMES
    left = Written.of(out)
    assert left.numbers == list(range(FRAMES))
    assert left.times == [round(number / 25, 4) for number in range(FRAMES)]
    assert [frame_id for frame_id, _ in left.lines] == list(range(1, FRAMES + 1))
    return left


@pytest.fixture
def server(any_server: EmbeddedRedis) -> EmbeddedRedis:
    """One of the two servers for each test: what starts processes takes long enough with one."""
    return any_server
