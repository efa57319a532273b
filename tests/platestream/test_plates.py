"""What plates may say."""

from __future__ import annotations

import pytest

from platestream import plates


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A301PO174", "ru-1"),
        ("A301PO77", "ru-1"),
        ("AB12377", "ru-1b"),
        ("AB123477", "ru-2"),
        ("1234AB77", "ru-military"),
        ("A123477", "ru-police"),
        ("A301PO00", None),  # no such region
        ("A301PO888", None),
        ("D301PO77", None),  # no such letter
        ("A301PO", None),
        ("", None),
        ("A301P?77", None),
    ],
)
def test_formats(text: str, name: str | None) -> None:
    assert plates.format_of(text) == name


def test_edit_distance() -> None:
    assert plates.edit_distance("A301PO77", "A301PO77") == 0
    assert plates.edit_distance("A301PO77", "A801PO777") == 2
    assert plates.edit_distance("", "ABC") == 3
