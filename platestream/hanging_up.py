"""A service that is stopped while Redis is silent does not wait for its answers."""

from __future__ import annotations

import threading
import time
from typing import Any

from platestream import streams
from platestream.masking import mask
from platestream.settings import RedisSettings

_PATIENCE_S = 2.0  # of those that somebody gives a service to end in: docker 10, by itself
_LOOK_S = 0.25


def hang_up_if_silent(
    settings: RedisSettings,
    client: streams.Client,
    connections: streams.OpenConnections,
    stopping: threading.Event,
    log: Any,
) -> None:
    """Waits for ``stopping``; then cuts a client's connections as soon as Redis is silent.

    What is held is then unacknowledged, as whenever Redis goes away, and comes again. While it
    answers, however slowly the service ends, nothing is cut.

    Args:
        connections: Those of ``client``.
    """
    stopping.wait()
    asking = streams.connect(settings, timeout_s=_PATIENCE_S, retries=0)
    while True:
        asked = time.monotonic()
        try:
            asking.ping()
        except streams.FAILURE as error:
            if streams.is_outage(error) and time.monotonic() - asked >= _PATIENCE_S:
                log.warning(f"Redis at {mask(settings.url)} is silent; stopping without it")
                connections.cut(client)
                return
        time.sleep(_LOOK_S)
