"""What is wrong with a setting, in a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from platestream.messages import CAMERA_NAME

NAME_RULE = (
    "a name has letters, digits, '.', '_' and '-', begins with a letter or digit, "
    "and is 64 characters long at most"
)


def unknown(key: str, known: Iterable[str]) -> str:
    """That there is no such key, and which one was perhaps meant."""
    near = difflib.get_close_matches(key, list(known), n=1)
    return f"'{key}' is unknown" + (f"; did you mean '{near[0]}'?" if near else "")


def sentence(name: str, fault: Any, known: Iterable[str]) -> str:
    """What pydantic found wrong, with what was given.

    Args:
        name: The setting's, with its section.
        fault: One of ``ValidationError.errors()``.
        known: The names of all settings.
    """
    if fault["type"] == "extra_forbidden":
        return unknown(name, (other for other in known if other.count(".") == name.count(".")))
    said = str(fault["msg"]).removeprefix("Value error, ")
    if not name:  # several that do not go together
        return said
    given = f"not {fault['input']!r:.100}"
    if fault["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"'{name}' is a section, {given}; set what is in it, as {name}.NAME"
    if fault.get("ctx", {}).get("pattern") == CAMERA_NAME:
        return f"'{name}': {NAME_RULE}; {given}"
    return f"'{name}': {said}, {given}"
