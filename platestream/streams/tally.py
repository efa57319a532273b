"""A process's counts of a camera, each added once however often it has to be sent."""

from __future__ import annotations

import secrets
from typing import Any, cast

from platestream.streams.connection import Client
from platestream.streams.keys import counts_key, tally_key

# Longer than Redis is away between a lost answer and the next try: over a week-end, too. A number
# takes some 150 bytes, and a process has one for each camera that it counted anything of.
_KEPT_S = 7 * 24 * 3600

# A Redis that stands still lets a command time out and does it all the same when it goes on.
# Before Redis 7 a script that fails does not say so by its error's first word.
_ADD = """
if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[1]) then return 0 end
local noted = redis.pcall('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
if noted.err then
  if string.find(noted.err, 'OOM', 1, true) then return redis.error_reply('OOM no room') end
  return noted
end
for i = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""


class Tally:
    """What one process counts of one camera.

    What is sent has a number, and Redis keeps the last number that it has added, so that a
    command whose answer was lost can be sent again, whether or not it was done.
    """

    def __init__(self, client: Client, camera: str) -> None:
        self._client = client
        self._keys = (counts_key(camera), tally_key(camera, secrets.token_hex(8)))
        self._number = 0
        self._sent: dict[str, int] = {}  # under that number, and not answered
        self._owed: dict[str, int] = {}  # since then

    @property
    def is_sent(self) -> bool:
        """Whether Redis has all of it."""
        return not (self._sent or self._owed)

    def add(self, **counters: int) -> None:
        """Adds to what is to be sent; zeros are left out."""
        for name, amount in counters.items():
            if amount:
                self._owed[name] = self._owed.get(name, 0) + amount

    def send(self) -> None:
        """Adds to the camera's counters what they do not have yet, in one step.

        Raises:
            OutOfMemoryError: Redis is full, and has added nothing.
        """
        while not self.is_sent:
            if not self._sent:
                self._number += 1
                self._sent, self._owed = self._owed, {}
            words = [word for pair in self._sent.items() for word in pair]
            cast("Any", self._client.eval)(_ADD, 2, *self._keys, self._number, _KEPT_S, *words)
            self._sent = {}
