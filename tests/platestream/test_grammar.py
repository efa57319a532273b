"""The automaton of formats."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from platestream.grammar import compile_formats

options = st.sets(st.text("AB7", min_size=1, max_size=3), min_size=1, max_size=4)
slots = st.lists(options, min_size=1, max_size=3)


@given(st.lists(slots, min_size=1, max_size=3))
def test_it_accepts_exactly_what_the_slots_spell(drawn: list[list[set[str]]]) -> None:
    formats = {str(number): one for number, one in enumerate(drawn)}
    spelled = {
        name: {"".join(parts) for parts in product(*parts)} for name, parts in formats.items()
    }
    start = compile_formats(formats)
    everything = set().union(*spelled.values())
    for text in everything | {text + "A" for text in everything} | {t[:-1] for t in everything}:
        state = start.after(text)
        fitting = tuple(name for name in formats if text in spelled[name])
        assert (state.formats if state is not None else ()) == fitting


def test_from_every_state_an_end_can_be_reached() -> None:
    start = compile_formats({"x": [["77", "777", "5"], "AB"], "y": ["7", "7", "B"]})
    seen, waiting = set(), [start]
    while waiting:
        state = waiting.pop()
        assert state.next or state.formats
        for after in state.next.values():
            if id(after) not in seen:
                seen.add(id(after))
                waiting.append(after)
