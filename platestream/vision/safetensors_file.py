"""What a safetensors file says of itself, read without any runtime.

The file begins with the length of a JSON object (8 bytes, little-endian) and the object; what was
written beside the tensors is its ``__metadata__``
(https://huggingface.co/docs/safetensors/index#format).
"""

from __future__ import annotations

import json
from pathlib import Path

from platestream.errors import WeightsError
from platestream.vision import model_file

_MAX_BEGINNING = 2**20  # bytes; ours has some 10 kB


def read_header(path: Path, task: str) -> model_file.Header:
    """Reads what the network of a file is; its tensors stay unread.

    Raises:
        WeightsError: The file is missing, too large, damaged, not made by this project, or for
            another task.
    """
    model_file.check_size(path, task)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= _MAX_BEGINNING:
                raise ValueError(f"its beginning has {length} bytes")
            said = json.loads(file.read(length))
        metadata = said["__metadata__"]
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("its metadata are not text")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"'{path}' is not a whole safetensors file ({error}); {model_file.remedy(task)}"
        ) from error
    return model_file.header(path, task, metadata)
