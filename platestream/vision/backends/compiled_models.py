"""CompiledModels: networks as openvino has compiled them, on disk, for the next process.

A network is compiled for every shape of a batch: in int8 for up to a second each. Taking it from
disk is a tenth of that.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from platestream.vision.backends.openvino_runtime import ov

_DIGEST = hashlib.sha256().digest_size
_LARGEST = 128 * 2**20  # bytes of one file; ours are of 1 to 8 MiB
_ALL = 768 * 2**20  # bytes of all of them: those used last stay; pictures have many sizes


class CompiledModels:
    """The compiled models of one network, by the shapes of their batches.

    openvino's own cache is not used: it writes in place and without a bound, and replicas that
    start side by side would take from it what another one is still writing.
    """

    def __init__(
        self, core: ov.Core, content: bytes, options: dict[str, Any], folder: Path | None
    ) -> None:
        """Takes a network.

        Args:
            content: The network's file: it is part of a model's name, as are the options, this
                CPU and openvino's version.
            folder: Where models are kept; None: nowhere.
        """
        self._core = core
        self._options = options
        self._folder = folder
        self._network = hashlib.sha256(content)
        for fact in (
            ov.get_version(),
            core.get_property("CPU", "FULL_DEVICE_NAME"),
            core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
            os.cpu_count(),
            sorted(options.items()),
        ):
            self._network.update(repr(fact).encode())

    def get(
        self, shape: tuple[int, ...], compiled: Callable[[], ov.CompiledModel]
    ) -> ov.CompiledModel:
        """The model for batches of a shape.

        Args:
            compiled: Compiles it, where it is not there; it is kept then if that can be done.
        """
        if self._folder is None:
            return compiled()
        name = self._network.copy()
        name.update(repr(shape).encode())
        path = self._folder / f"{name.hexdigest()}.model"
        model = self._load(path)
        if model is None:
            model = compiled()
            with contextlib.suppress(OSError):  # a full disk costs time, not readings
                _store(path, model)
                _make_room(self._folder)
        return model

    def _load(self, path: Path) -> ov.CompiledModel | None:
        try:
            if path.stat().st_size > _LARGEST:
                return None
            content = path.read_bytes()
            model = content[_DIGEST:]
            if hashlib.sha256(model).digest() != content[:_DIGEST]:
                return None  # not whole: power was lost, for example
            os.utime(path)
            return self._core.import_model(io.BytesIO(model), "CPU", self._options)
        except (OSError, RuntimeError):  # not there, or openvino does not take it
            return None


def default_folder() -> Path | None:
    """Where compiled models are kept: the user's cache; None if it is not to be trusted or made.

    openvino takes what it finds there as it is: nobody else may be able to write to it.
    """
    try:
        folder = platformdirs.user_cache_path("platestream", appauthor=False) / "compiled"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    if os.name == "posix" and (facts.st_uid != os.geteuid() or facts.st_mode & 0o022):
        return None
    return folder


def _store(path: Path, model: ov.CompiledModel) -> None:
    """Writes a model whole or not at all, whoever else writes the same."""
    content = model.export_model().getvalue()
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(hashlib.sha256(content).digest() + content)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _make_room(folder: Path) -> None:
    """Removes models, and what killed processes left half written, until the rest may stay."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # others remove, too
            facts = path.stat()
            found.append((facts.st_mtime, facts.st_size, path))
    kept = 0
    for _, size, path in sorted(found, reverse=True):
        kept += size
        if kept > _ALL:
            path.unlink(missing_ok=True)
