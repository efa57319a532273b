"""Grammar: which texts are allowed, as an automaton that reads them character by character."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

Slots = Sequence[Collection[str]]
_Item = tuple[str, int, str]  # a format's name, its slot, and what of the slot has been read


# A second's work, about. The formats that are built in take 7,000.
_MOST_STEPS = 200_000


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

    Raises:
        ValueError: It would take too long: a format can be read in too many ways at once.
    """
    order = list(formats)
    steps = _Steps()
    after = _Successors(formats, steps)
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
        for item in items:
            for char, there in after[item]:
                reached.setdefault(char, set()).add(there)
            steps.take(item[0], len(after[item]))
        state.next = {char: state_of(frozenset(there)) for char, there in reached.items()}
    return start


class _Steps:
    """Counts what building takes, by format."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._left = _MOST_STEPS

    def take(self, name: str, steps: int) -> None:
        """Counts some of a format's.

        Raises:
            ValueError: They are more than all formats together may take.
        """
        self._taken[name] = self._taken.get(name, 0) + steps
        self._left -= steps
        if self._left < 0:
            most = max(self._taken, key=self._taken.__getitem__)
            raise ValueError(
                f"format '{most}' can be read in too many ways: its codes are too many, or run "
                f"into each other (it takes most of more than {_MOST_STEPS} steps)"
            )


class _Successors(dict[_Item, list[tuple[str, _Item]]]):
    """What may follow in one reading of one format: characters, and where they lead."""

    def __init__(self, formats: Mapping[str, Slots], steps: _Steps) -> None:
        super().__init__()
        for name, slots in formats.items():
            self[(name, len(slots), "")] = []
            for slot, options in enumerate(slots):
                steps.take(name, sum(map(len, options)))
                texts = {option[:n] for option in options for n in range(1, len(option) + 1)}
                begun = {""} | {text[:-1] for text in texts}
                for read in begun:
                    self[(name, slot, read)] = []
                for text in sorted(texts):
                    leads = self[(name, slot, text[:-1])]
                    if text in options:
                        leads.append((text[-1], (name, slot + 1, "")))
                    if text in begun:
                        leads.append((text[-1], (name, slot, text)))
