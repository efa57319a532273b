"""Read plates as messages, and as lines of JSON."""

from __future__ import annotations

import json

import numpy as np

from platestream import messages
from platestream.messages import MAX_CHARACTERS, Pixels, Reading, RenderedFrame
from platestream.plate_messages import to_message
from platestream.reading_lines import reading_line
from platestream.vision.decoding import Character, PlateText
from platestream.vision.detector import Detection
from platestream.vision.probabilities import unpack
from platestream.vision.reader import ReadPlate

CORNERS = np.array([[0, 0], [50, 0], [50, 10], [0, 10]], np.float32)


def read(text: str) -> ReadPlate:
    rows = np.random.default_rng(0).dirichlet(np.full(23, 0.1), 40).astype(np.float32)
    characters = tuple(Character(char, 0.9) for char in text)
    found = PlateText(text, 0.9, characters, True, text.replace("O", "0"), "ru-1", rows)
    return ReadPlate(Detection(CORNERS, 0.8), found)


def test_a_message_has_all_that_was_read() -> None:
    plate = read("A301PO174")
    message = to_message(plate)
    assert (message.text, message.raw, message.format) == ("A301PO174", "A301P0174", "ru-1")
    back = unpack(message.probabilities)
    assert plate.text.probabilities is not None
    np.testing.assert_allclose(back, plate.text.probabilities, atol=0.02)


def test_an_endless_text_is_cut_to_what_a_message_may_hold() -> None:
    message = to_message(read("A" * 40))
    assert len(message.text) == len(message.characters) == len(message.raw) == MAX_CHARACTERS
    fields = messages.reading_fields(Reading(frame_id=1, captured_at_ms=0, plates=(message,)))
    wire = {k.encode(): v if isinstance(v, bytes) else v.encode() for k, v in fields.items()}
    assert messages.parse_reading(wire).plates == (message,)


def test_a_line_names_the_format_and_leaves_probabilities_out() -> None:
    frame = RenderedFrame(
        frame_id=1, captured_at_ms=0, pts_s=0, width=4, height=4,
        pixels=Pixels(codec="raw", data=b""), plates=(to_message(read("A301PO174")),),
    )  # fmt: skip
    (plate,) = json.loads(reading_line(frame))["plates"]
    assert plate["format"] == "ru-1"
    assert set(plate) == {"corners", "score", "text", "confidence", "accepted", "format"}
