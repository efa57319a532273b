"""A camera's name, taken by one ``platestream run`` at a time."""

from __future__ import annotations

from typing import Any, cast

from platestream.streams.connection import Client
from platestream.streams.keys import run_key
from platestream.streams.owner import host_and_pid, process_name

_RENEW = """
if (redis.call('GET', KEYS[1]) or ARGV[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
"""

_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RunClaim:
    """A run's claim on a camera's name; of a run that was killed it expires.

    Attributes:
        camera: The camera.
    """

    def __init__(self, client: Client, camera: str) -> None:
        """Claims nothing yet."""
        self.camera = camera
        self._client = client
        self._key = run_key(camera)
        self._name = process_name()

    def take(self, life_s: float) -> bool:
        """Claims the name, if no other run has it.

        Args:
            life_s: How long the claim holds if it is not renewed.
        """
        done = self._client.set(self._key, self._name, px=round(1000 * life_s), nx=True)
        return bool(done)

    def holder(self) -> str:
        """Host and process number of the run that has the name; empty if none has."""
        value = cast("bytes | None", self._client.get(self._key))
        return host_and_pid(value.decode("utf-8", "replace")) if value else ""

    def renew(self, life_s: float) -> None:
        """Holds the claim for so long from now on, in a Redis that came back empty, too."""
        cast("Any", self._client.eval)(_RENEW, 1, self._key, self._name, round(1000 * life_s))

    def release(self) -> None:
        """Lets go of the name, if it is still this run's."""
        cast("Any", self._client.eval)(_RELEASE, 1, self._key, self._name)
