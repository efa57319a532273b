"""Logs on stderr: for people on a terminal, as JSON lines for machines; without passwords."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import MutableMapping
from typing import Any

import structlog

from platestream.masking import mask
from platestream.seldom import Seldom
from platestream.settings import LogSettings

_seldom = Seldom()


def configure(settings: LogSettings, **always: str) -> None:
    """Sets this process's logs up: structlog's, and what libraries and threads have to say.

    A JSON line is one object with ``time``, ``level``, ``event``, what is in ``always``, and
    ``exception`` (the traceback as text) where there is one. Of lines that repeat themselves few
    are said, and how many more there were (``Seldom``, ``say_left_out``).

    Args:
        always: Added to every line, such as ``service`` and ``camera``.
    """
    _seldom.forget()
    level = getattr(logging, settings.level.upper())
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="time")
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _seldom,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            _masked,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # WriteLogger writes a line and its end at once: lines of two threads do not mix
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**always)
    _take_over_others(always)


def say_left_out(*, all_of_them: bool = False) -> None:
    """Says how many lines were left out that nothing has followed (``Seldom.due``)."""
    log = structlog.get_logger()
    for level, line in _seldom.due(all_of_them=all_of_them):
        getattr(log, level)(**line)


def _masked(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = _plain(value)
    return event


def _plain(value: Any) -> Any:
    """A value that JSON has, without passwords."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {mask(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return mask(str(value))


def _take_over_others(always: dict[str, str]) -> None:
    """Sends the standard logging, warnings and threads' last words the same way."""
    root = logging.getLogger()
    root.handlers[:] = [_Forward(always)]
    logging.captureWarnings(True)

    def last_words(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = args.thread.name if args.thread else "?"
            structlog.get_logger().error(f"thread {name} died", exc_info=args.exc_value, **always)

    threading.excepthook = last_words


class _Forward(logging.Handler):
    """Hands a library's log records to structlog; below warnings they are for debugging only."""

    def __init__(self, always: dict[str, str]) -> None:
        super().__init__()
        self._always = always  # context variables are not seen in other threads

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        say = log.debug if record.levelno < logging.WARNING else log.warning
        if record.levelno >= logging.ERROR:
            say = log.error
        try:
            fields = {**self._always, "logger": record.name}
            say(record.getMessage(), exc_info=record.exc_info, **fields)
        except Exception:
            self.handleError(record)
