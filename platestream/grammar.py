"""Grammar: which texts are allowed, as an automaton that reads them character by character."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

Slots = Sequence[Collection[str]]
_Item = tuple[str, int, str]  # a format's name, its slot, and what of the slot has been read


class State:
    """Where a text may go on from a prefix.

    Attributes:
        next: The state after each character that may follow.
        formats: The formats that the prefix, as it stands, fits; in the order they were given.
    """

    __slots__ = ("formats", "next")

    def __init__(self) -> None:
        self.next: dict[str, State] = {}
        self.formats: tuple[str, ...] = ()

    def after(self, text: str) -> State | None:
        """The state after a whole text; None where no format begins with it."""
        state: State | None = self
        for char in text:
            state = state.next.get(char) if state is not None else None
        return state


def compile_formats(formats: Mapping[str, Slots]) -> State:
    """Builds the automaton of several formats; returns the state before the first character.

    Args:
        formats: By name: for every slot of the format, the strings that may stand in it, none
            of them empty.
    """
    order = list(formats)
    beginnings = {
        name: [{o[:n] for o in options for n in range(1, len(o))} for options in slots]
        for name, slots in formats.items()
    }
    states: dict[frozenset[_Item], State] = {}
    waiting: list[frozenset[_Item]] = []

    def state_of(items: frozenset[_Item]) -> State:
        if items not in states:
            states[items] = State()
            waiting.append(items)
        return states[items]

    start = state_of(frozenset((name, 0, "") for name in formats))
    while waiting:
        items = waiting.pop()
        state = states[items]
        ended = {name for name, slot, _ in items if slot == len(formats[name])}
        state.formats = tuple(sorted(ended, key=order.index))
        reached: dict[str, set[_Item]] = {}
        for name, slot, read in items - {(name, len(formats[name]), "") for name in ended}:
            options = formats[name][slot]
            for char in {o[len(read)] for o in options if o.startswith(read) and o != read}:
                now = read + char
                if now in options:
                    reached.setdefault(char, set()).add((name, slot + 1, ""))
                if now in beginnings[name][slot]:
                    reached.setdefault(char, set()).add((name, slot, now))
        state.next = {char: state_of(frozenset(after)) for char, after in reached.items()}
    return start
