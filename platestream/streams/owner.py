"""Who serves a camera: of track, visualize and writer one process each; who comes last, does.

The owner stands in ``owners:{camera}``. All that a service changes goes through a script that
looks there first, and what it is handed through a stream that only its owner has: a *fence*, which
holds nothing. XREADGROUP of several streams is refused as a whole where one of them has no such
group; so one that was stopped for a while and has been replaced is handed nothing, either.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Sequence
from typing import Any, cast

from platestream.clock import now_ms
from platestream.errors import TakenOverError
from platestream.streams.cameras import whole_number
from platestream.streams.connection import Client, StreamsLostError
from platestream.streams.keys import alive_key, camera_key, fence_key, owners_key

_MOST_WORDS = 2_000  # of one command in a script: Lua's stack has room for some 8,000

# A Redis that is full refuses a script's first change if it takes memory, and none after another
# change: a service that frees memory by reading must come in, so DEL of what is not there is first.
_TAKE = """
redis.call('DEL', KEYS[4])
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
local made = redis.pcall('XGROUP', 'CREATE', KEYS[2], ARGV[1], '0', 'MKSTREAM')
if made.err and not string.find(tostring(made.err), 'BUSYGROUP', 1, true) then return made end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if KEYS[3] ~= KEYS[2] and redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('XGROUP', 'DESTROY', KEYS[3], ARGV[1])  -- which also wakes one that waits there
end
return 1
"""

# Before Redis 7 a script that fails does not say so by its error's first word. A Redis that is full
# refuses the first command if it takes memory, and then nothing is done.
_DO = """
local owner = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if owner ~= ARGV[2] then return owner end
local replies, at = {}, 3
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  local reply = redis.pcall(unpack(ARGV, at + 1, last))
  if type(reply) == 'table' and reply.err then
    local why = tostring(reply.err)
    if string.find(why, 'equal or smaller', 1, true) then
      reply = false
    elseif string.find(why, 'OOM', 1, true) then
      return redis.error_reply('OOM no room')
    else
      return reply
    end
  end
  replies[#replies + 1] = reply
  at = last + 1
end
return replies
"""


def process_name() -> str:
    """This process, told apart from any before it of the same host and number."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def host_and_pid(name: str) -> str:
    """Of a process's name, or of what says so in ``owners``, what tells people which it is."""
    return name.rpartition(" ")[2].rpartition(":")[0]


def taken_over(service: str, camera: str, owner: str) -> TakenOverError:
    """What a process ends with that has been replaced.

    Args:
        owner: The name of the one that serves the camera now.
    """
    return TakenOverError(
        f"another {service} ({host_and_pid(owner)}) has taken camera '{camera}' over; this one ends"
    )


class Owner:
    """This process as the one that serves a camera, as long as no other takes it over.

    It remembers over outages of Redis since when it does. A Redis that comes back without its
    last moments may name one before it: the camera is then taken again, and by nobody else.
    """

    def __init__(self, client: Client, camera: str, service: str) -> None:
        """Takes nothing yet.

        Args:
            service: ``track``, ``visualize`` or ``writer``: also the name of its group.
        """
        self._client = client
        self._camera = camera
        self._service = service
        self._name = process_name()
        self._key = owners_key(camera)
        self._said = ""  # what names it in ``owners``: since when, ms, and its name
        self._asked_at = 0.0  # when it last asked Redis something and was found to be the owner

    @property
    def camera(self) -> str:
        """Whose owner it is, or would be."""
        return self._camera

    @property
    def fence(self) -> str:
        """The stream without entries that is read beside those that its group reads."""
        return fence_key(self._camera, self._service, self._name)

    def take(self) -> str:
        """Takes the camera over; later, makes sure that it is still this process's.

        Returns:
            Host and process number of whom it was taken from; empty if nobody is known.

        Raises:
            TakenOverError: It was this process's, and another has taken it over since.
        """
        while True:
            asked_at = time.monotonic()
            known = self._known()
            if self._said and known != self._said and _since_ms(known) > _since_ms(self._said):
                raise taken_over(self._service, self._camera, known)
            said = self._said or f"{max(now_ms(), _since_ms(known) + 1)} {self._name}"
            other = fence_key(self._camera, self._service, known.rpartition(" ")[2])
            keys = (self._key, self.fence, other, f"{self.fence}:none")
            words = (self._service, known, said)
            if cast("Any", self._client.eval)(_TAKE, len(keys), *keys, *words):
                self._said, self._asked_at = said, asked_at
                if known in ("", said):
                    return ""
                self._client.delete(other)
                return host_and_pid(known)

    def check(self, within_s: float = 0.0) -> None:
        """Asks whether the camera is still this process's, unless that was known just now.

        Args:
            within_s: What was so at a question not longer ago than this, counts.

        Raises:
            TakenOverError: Another has taken it over.
            StreamsLostError: Redis knows of nobody.
        """
        asked_at = time.monotonic()
        if asked_at - self._asked_at > within_s:
            self._refuse(self._known())
            self._asked_at = asked_at

    def was_handed(self, asked_at: float) -> None:
        """Notes that something was read past the fence, which was asked for then."""
        self._asked_at = asked_at

    def do(self, *commands: Sequence[Any]) -> list[Any]:
        """Does commands, all of them in one step, if the camera is still this process's.

        Args:
            commands: Each with its key as second word, all keys of this camera. Those that take
                memory come first: a full Redis then does none of them, instead of some.

        Returns:
            Their replies; None for an XADD whose id, or a later one, the stream has already.

        Raises:
            TakenOverError: Another has taken it over; nothing was done.
            StreamsLostError: Redis knows of nobody; nothing was done.
            OutOfMemoryError: Redis is full; nothing was done.
        """
        asked_at = time.monotonic()
        keys = [self._key, *dict.fromkeys(command[1] for command in commands)]
        words: list[Any] = [self._service, self._said]
        for command in commands:
            words += [len(command), *command]
        reply = cast("Any", self._client.eval)(_DO, len(keys), *keys, *words)
        if not isinstance(reply, list):
            self._refuse(reply.decode("utf-8", "replace"))
        self._asked_at = asked_at
        return cast("list[Any]", reply)

    def _known(self) -> str:
        value = cast("bytes | None", self._client.hget(self._key, self._service))
        return value.decode("utf-8", "replace") if value else ""

    def _refuse(self, known: str) -> None:
        if known == self._said and known:
            return
        if _since_ms(known) > _since_ms(self._said):
            raise taken_over(self._service, self._camera, known)
        raise StreamsLostError(f"Redis has lost {self._key}")


def other_owner(client: Client, camera: str, service: str, but: str) -> str:
    """Which living process serves a camera; empty if none does.

    Args:
        service: One of the above, or ``capture``.
        but: Host and process number of one that does not count.
    """
    if service == "capture":
        value = cast("bytes | None", client.hget(camera_key(camera), "captured_by"))
    else:
        value = cast("bytes | None", client.hget(owners_key(camera), service))
    known = host_and_pid(value.decode("utf-8", "replace")) if value else ""
    alive = known and client.exists(alive_key(service, camera, known))
    return known if alive and known != but else ""


def in_parts(command: str, key: str, words: Sequence[Any], *first: str) -> list[list[Any]]:
    """A command that takes any number of words, as several of a size that a script can do.

    Args:
        words: An even number, if they are pairs.
        first: What each of them begins with, after its key.
    """
    parts = range(0, len(words), _MOST_WORDS)
    return [[command, key, *first, *words[at : at + _MOST_WORDS]] for at in parts]


def _since_ms(said: str) -> int:
    """Since when somebody owns a camera, as ``owners`` says; 0 where it does not."""
    return whole_number(said.partition(" ")[0])
