"""How a frame's pixels travel between processes: ``shm``, ``jpeg`` or ``raw``, one setting.

No service knows which: a producer has a ``Sender``, a consumer a ``Receiver``, and what arrives
says how it was packed, and whether it is BGR or planes (``platestream.picture``).
"""

from __future__ import annotations

from platestream.pixels.codec import form, pack, pack_crop, unpack
from platestream.pixels.receiver import Receiver
from platestream.pixels.ring import StreamName
from platestream.pixels.run_folder import RunFolder
from platestream.pixels.sender import Sender, open_sender, remove_left

__all__ = [
    "Receiver",
    "RunFolder",
    "Sender",
    "StreamName",
    "form",
    "open_sender",
    "pack",
    "pack_crop",
    "remove_left",
    "unpack",
]
