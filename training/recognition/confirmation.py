"""Labels confirmed by a first model: what it reads surely decides between what people wrote.

A file's text is kept if the name and the second reading agree and the model does not surely read
something else; where the two differ, the one that the model surely reads is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from platestream.vision.recognizer import Recognizer
from training import labels
from training.recognition.crops import read_picture

SURE = 0.9
_BATCH = 32


def confirm(
    recognizer: Recognizer, folder: Path, files: Iterable[str], second: Mapping[str, str]
) -> dict[str, str]:
    """Texts by file; empty where nothing is certain enough to train on."""
    files = list(files)
    agreed = labels.from_names(files, dict(second)).texts
    confirmed = {}
    for start in range(0, len(files), _BATCH):
        part = [(f, read_picture(folder / f)) for f in files[start : start + _BATCH]]
        good = [(f, image) for f, image in part if image is not None]
        for (file, _), read in zip(
            good, recognizer.predict([image for _, image in good]), strict=True
        ):
            sure = read.text if read.confidence >= SURE else ""
            name = labels.parse_name(file)
            written = set(name.candidates() if name else []) | {second.get(file, "")} - {""}
            if file in agreed:
                confirmed[file] = agreed[file] if sure in ("", agreed[file]) else ""
            else:
                confirmed[file] = sure if sure in written else ""
    return confirmed
