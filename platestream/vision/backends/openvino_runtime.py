"""openvino's runtime, without its converter of models, which reports every import to its makers.

``import openvino`` imports the converter too, and that has a thread and a fork of this process send
a message to Google Analytics, with an id of this user that it keeps in ``~/intel``; where the
network swallows it, the process waits up to three seconds for it at its end. Nobody who has plates
read has asked for that. Nothing here converts models, so the converter is left out, which halves
the time that the import takes as well. Who wants it can still import it.
"""

from __future__ import annotations

import sys

_CONVERTER = "openvino.tools.ovc"
_was_there = _CONVERTER in sys.modules

if not _was_there:
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # an import of it raises ImportError
try:
    import openvino as ov
finally:
    if not _was_there:
        del sys.modules[_CONVERTER]

__all__ = ["ov"]
