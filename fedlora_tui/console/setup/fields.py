"""The fields of the setup screen: where the cursor is, what was chosen and typed so far, what keys make of it."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from fedlora_tui.console.setup.offer import (
    AUTO,
    BASE,
    DATA,
    DEVICE,
    EMBEDDED,
    FIELDS,
    METHOD,
    NOISE,
    ORGANIZATIONS,
    PATH,
    PROTECTION,
    PROTECTIONS,
    RANK,
    ROUNDS,
    SOURCES,
    UNPROTECTED,
    Choice,
    Chosen,
    Found,
    Offer,
)
from fedlora_tui.console.typed_line import DIGITS, TypedLine

RANKS = (1, 2, 4, 8, 16, 32, 64)
"""The ranks that one key goes through."""

ROUNDS_STEP = 10
MOST_DIGITS = 9
MOST_OF_EPSILON = 6
MOST_TYPED = 1000
NUMBERS = (ORGANIZATIONS, RANK, ROUNDS)
OWN = "another"
"""The choice of a base that is typed."""


class Fields:
    """What stands in the fields.

    A number that was not typed is the usual one, and follows what it depends on.
    """

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self.cursor = BASE
        self.bases: tuple[Choice, ...] = (Choice(EMBEDDED, "comes along"),)
        self.devices: tuple[Choice, ...] = (Choice(AUTO), Choice("cpu"))
        self._base = EMBEDDED
        self._own_base = False
        self._source = SOURCES[0]
        self._device = AUTO
        self._protection = UNPROTECTED
        texts = {name: TypedLine(MOST_TYPED) for name in (BASE, PATH)}
        self.typed = {**texts, **{name: TypedLine(MOST_DIGITS, DIGITS) for name in NUMBERS}}
        self.typed[PROTECTION] = TypedLine(MOST_OF_EPSILON, f"{DIGITS}.")

    @property
    def chosen(self) -> Chosen:
        """What the fields say now; a number that is not finished is 0."""
        return Chosen(
            base=self.typed[BASE].text.strip() if self._own_base else self._base,
            source=self._source,
            path="" if self._source == "synthetic" else self.typed[PATH].text.strip(),
            organizations=self._organizations(),
            rank=int(self.typed[RANK].text or self._offer.rank),
            rounds=int(self.typed[ROUNDS].text or self.usual_rounds),
            device=self._device,
            protection=self._protection,
            epsilon=self.epsilon if self._protection == NOISE else "",
        )

    @property
    def epsilon(self) -> str:
        """The budget that the choice of noise has, as it was typed, else the usual one."""
        return self.typed[PROTECTION].text or f"{self._offer.epsilon:g}"

    @property
    def usual_rounds(self) -> int:
        """The rounds of a run with this base, where nobody says how many."""
        return self._offer.rounds(self.typed[BASE].text.strip() if self._own_base else self._base)

    @property
    def base_choices(self) -> tuple[Choice, ...]:
        """The bases from left to right; the last one is typed."""
        return (*self.bases, Choice(OWN))

    @property
    def base_place(self) -> int:
        """The place of the chosen one among them."""
        names = [choice.name for choice in self.bases]
        return len(names) if self._own_base else names.index(self._base)

    def label(self, name: str) -> str:
        """Give what a field is called: the path is that of a folder, or a dataset's name."""
        if name != PATH:
            return name
        return {"hub": "dataset", "table": "table"}.get(self._source, "folder")

    def found(self, found: Found) -> None:
        """Take in what is here; what was chosen stays so, and new choices stand behind the others."""
        if found.bases is not None:
            self.bases = (self.bases[0], *(base for base in found.bases if base.name != EMBEDDED))
        if found.devices is not None:
            self.devices = tuple(found.devices)

    def move(self, step: int) -> None:
        """Go to the field before or after; fields where nothing can be chosen are passed over."""
        shut = {METHOD} | ({PATH} if self._source == "synthetic" else set())
        open_fields = [name for name in FIELDS if name not in shut]
        self.cursor = open_fields[(open_fields.index(self.cursor) + step) % len(open_fields)]

    def turn(self, step: int) -> str:
        """Go to the choice before or after, a number down or up; why there is none, empty where there is."""
        if self.cursor == BASE:
            self._turn_base(step)
        elif self.cursor == DATA:
            self._source = SOURCES[(SOURCES.index(self._source) + step) % len(SOURCES)]
        elif self.cursor == DEVICE:
            names = [choice.name for choice in self.devices]
            self._device = names[(names.index(self._device) + step) % len(names)]
        elif self.cursor == PROTECTION:
            self._protection = PROTECTIONS[(PROTECTIONS.index(self._protection) + step) % len(PROTECTIONS)]
        elif self.cursor in NUMBERS:
            return self._turn_number(step)
        return ""

    def type(self, text: str) -> str:
        """Take what was typed or pasted; why it is not taken, empty where it is."""
        if self.cursor == DATA and self._source != "synthetic":
            # A letter at the kind of data that has a path begins the path.
            self.cursor = PATH
        if self.cursor in NUMBERS and not (text.isascii() and text.isdigit()):
            return "a number belongs here: digits, or left and right"
        if self.cursor == PROTECTION:
            return self._type_epsilon(text)
        if self.cursor in self.typed:
            # A letter at a base that is here begins another one.
            self._own_base = self._own_base or self.cursor == BASE
            self.typed[self.cursor].write(text)
        else:
            return "left and right choose here"
        return ""

    def edit(self, event: events.Key) -> bool:
        """Take a key that erases or moves the caret, False for any other; without digits a number is the usual one.

        In a base that is typed the caret goes to the text's edges, and from there to the base before or after.
        """
        line = self.typed.get(self.cursor)
        if line is None or event.is_printable or (self.cursor == BASE and not self._own_base):
            return False
        if self.cursor == PROTECTION and self._protection != NOISE:
            return False
        if event.key in ("left", "right") and self.cursor != PATH:
            edge = 0 if event.key == "left" else len(line.text)
            if self.cursor in (*NUMBERS, PROTECTION) or line.caret == edge:
                return False
        return line.press(event)

    def _type_epsilon(self, text: str) -> str:
        """Write a budget, which chooses noise; why nothing was written, empty where something was."""
        if not self.typed[PROTECTION].write(text):
            return "a budget belongs here: digits, or left and right"
        self._protection = NOISE
        return ""

    def _organizations(self) -> int | None:
        if self.typed[ORGANIZATIONS].text:
            return int(self.typed[ORGANIZATIONS].text)
        return self._offer.organizations if self._source == "synthetic" else None

    def _turn_base(self, step: int) -> None:
        place = (self.base_place + step) % len(self.base_choices)
        self._own_base = place == len(self.bases)
        if not self._own_base:
            self._base = self.bases[place].name

    def _turn_number(self, step: int) -> str:
        chosen = self.chosen
        if self.cursor == RANK:
            number = _next(RANKS, chosen.rank, step)
            if number == chosen.rank:
                return f"{number} is the {'most' if step > 0 else 'least'} by this key: type another"
        elif self.cursor == ROUNDS:
            number = max(1, _stepped(chosen.rounds, step * ROUNDS_STEP))
        else:
            number = max(1, (chosen.organizations or 0) + step)
        self.typed[self.cursor].put(str(number))
        return ""


def _next(ladder: Sequence[int], number: int, step: int) -> int:
    """Give the rung above or below a number; the number itself where there is none."""
    if step > 0:
        return next((rung for rung in ladder if rung > number), number)
    return next((rung for rung in reversed(ladder) if rung < number), number)


def _stepped(number: int, step: int) -> int:
    """Give a number a step on, on the whole steps."""
    return (number + step) // abs(step) * abs(step) if step > 0 else -(-(number + step) // abs(step)) * abs(step)
