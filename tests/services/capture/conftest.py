"""Fixtures of capture's tests."""

from __future__ import annotations

import pytest

from platestream.embedded_redis import EmbeddedRedis


@pytest.fixture
def server(any_server: EmbeddedRedis) -> EmbeddedRedis:
    """One of the two servers for each test: what starts processes takes long enough with one."""
    return any_server
