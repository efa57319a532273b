"""Tables on disk: CSV files whose rows are whole, or are refused by their line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from platestream.errors import DataError


def whole_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV, each with all of these columns, and the lines that they end on.

    Raises:
        DataError: As ``rows``; or a column is missing, or a row ends before it.
    """
    for line, row in rows(path, lambda there: _check(path, there, columns)):
        whole = {name: text for name, text in row.items() if text is not None}
        missing = next((column for column in columns if column not in whole), None)
        if missing:
            raise DataError(f"'{path}' line {line} ends too early: it has no '{missing}'")
        yield line, whole


def rows(
    path: Path, check: Callable[[Sequence[str]], None]
) -> Iterator[tuple[int, dict[str, str | None]]]:
    """The rows of a CSV in UTF-8, with the lines they end on; None where a cell is not there.

    Args:
        check: Is given the names of the columns, and raises what it has against them.

    Raises:
        DataError: It cannot be read, is no text in UTF-8, or a row is not one.
    """
    line = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)  # strict: a quote that nobody closes
            check(reader.fieldnames or ())
            line = reader.line_num
            for row in reader:
                line = reader.line_num
                yield line, row
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not a CSV in UTF-8: {error}") from error
    except csv.Error as error:
        raise DataError(
            f"'{path}' line {line + 1} is no row of a CSV ({error}): is there a quote too many?"
        ) from error


def _check(path: Path, there: Sequence[str], wanted: Sequence[str]) -> None:
    """Sees that the columns are there; an empty file has no rows to need them for."""
    missing = [column for column in wanted if column not in there]
    if there and missing:
        raise DataError(
            f"'{path}' needs columns {', '.join(wanted)}; line 1 has {', '.join(map(repr, there))}"
        )
