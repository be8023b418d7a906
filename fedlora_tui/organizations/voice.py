"""How one organization writes: its staff and places, its preferred words and forms, its way with dates and money."""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

from fedlora_tui.organizations import names
from fedlora_tui.organizations.draw import below, between, pick, seeded, shuffled
from fedlora_tui.organizations.grammar import Choice, Form, Nodes, Slot, Trade, parse

T = TypeVar("T")

PERSONAL = frozenset({"person", "staff", "phone", "address", "account"})
"""The slots whose values stand for personal data; `Record.personal` carries what they were filled with."""

MOST_MIDDLES = 4
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
DATE_STYLES = ("{day} {month}", "{month} {day}", "{weekday} {day} {month}", "{day} {month:.3}")
TIME_STYLES = ("{hour:02d}:{minute:02d}", "{hour12}:{minute:02d} {half}", "{hour:02d}.{minute:02d}")
MONEY_STYLES = ("${sum}", "{sum} euros", "{sum} pounds", "EUR {sum}")
A_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=(?!uni|use|uti|one|eu)[aeiouAEIO])")


@dataclass(frozen=True)
class Record:
    """One document, and the made-up personal data in it, so that an audit can look for it."""

    text: str
    personal: tuple[str, ...]


@dataclass(frozen=True)
class House:
    """What an organization owns: its people and places, and its way to write dates, times and money."""

    staff: tuple[str, ...]
    towns: tuple[str, ...]
    places: tuple[str, ...]
    brands: tuple[str, ...]
    streets: tuple[str, ...]
    prefix: str
    date: str
    time: str
    money: str


def found_house(rng: random.Random) -> House:
    """The house of a new organization."""
    return House(
        staff=names.people(rng, between(rng, 7, 12)),
        towns=names.towns(rng, 4),
        places=names.towns(rng, 9),
        brands=names.brands(rng, 8),
        streets=names.streets(rng, 14),
        prefix=pick(rng, LETTERS) + pick(rng, LETTERS),
        date=pick(rng, DATE_STYLES),
        time=pick(rng, TIME_STYLES),
        money=pick(rng, MONEY_STYLES),
    )


class Voice:
    """One organization of a trade: what it prefers, the same for every document it writes.

    Each preference has a generator of its own, from (seed, organization, what is preferred), so that a trade can be
    given more words or sentences without another of its preferences moving.
    """

    def __init__(self, trade: Trade, organization: str, seed: int) -> None:
        self.trade = trade
        self._home = (seed, organization)
        self._orders: dict[str, tuple[Sequence[Any], list[int]]] = {}
        self.house = found_house(seeded("house", *self._home))

    def preferred(self, rng: random.Random, key: str, items: Sequence[T]) -> T:
        """One of the items, the organization's favourites about four times as often as what it likes least."""
        if key not in self._orders:
            order = shuffled(seeded("order", *self._home, key), items)[: self.trade.own.get(key)]
            weights = [12 + 120 // (rank + 2) for rank in range(len(order))]
            self._orders[key] = (order, list(accumulate(weights)))
        listed, sums = self._orders[key]
        item: T = listed[bisect_right(sums, below(rng, sums[-1]))]
        return item


class Pen:
    """Writes one document in a voice."""

    def __init__(self, voice: Voice, rng: random.Random) -> None:
        self.voice = voice
        self.rng = rng
        self.kept: dict[str, str] = {}
        self.personal: dict[str, None] = {}
        self.drawn: set[tuple[str, str]] = set()

    def sentence(self, template: str) -> str:
        """The template with every slot filled and every choice made."""
        text = A_BEFORE_VOWEL.sub(r"\1n ", self._fill(parse(template)))
        return text[0].upper() + text[1:]

    def _fill(self, nodes: Nodes) -> str:
        return "".join(node if isinstance(node, str) else self._node(node) for node in nodes)

    def _node(self, node: Slot | Choice) -> str:
        if isinstance(node, Choice):
            return self._fill(self.voice.preferred(self.rng, node.key, node.options))
        value = self._value(node)
        return value.split()[-1 if node.part == "last" else 0] if node.part else value

    def _value(self, slot: Slot) -> str:
        if slot.name in self.kept:
            return self.kept[slot.name]
        kind, _, argument = self.voice.trade.cast.get(slot.name, f"{slot.name} {slot.argument}").partition(" ")
        value = self._draw(kind, argument)
        if kind in PERSONAL:
            self.personal[value] = None
        if slot.name in self.voice.trade.cast:
            self.kept[slot.name] = value
        return value

    def _draw(self, kind: str, argument: str) -> str:
        if kind in self.voice.trade.words:
            return self._fill(parse(self._word(kind)))
        if kind[0].isdigit():
            low, _, high = kind.partition("-")
            return str(between(self.rng, int(low), int(high)))
        return BUILT_IN[kind](self, argument)

    def _word(self, kind: str) -> str:
        """A word of the list, one that the document does not have yet if four draws find it."""
        for _ in range(4):
            word = self.voice.preferred(self.rng, kind, self.voice.trade.words[kind])
            if (kind, word) not in self.drawn:
                break
        self.drawn.add((kind, word))
        return word


def _date(pen: Pen, _: str) -> str:
    month = pick(pen.rng, MONTHS)
    return pen.voice.house.date.format(day=between(pen.rng, 1, 28), month=month, weekday=pick(pen.rng, WEEKDAYS))


def _time(pen: Pen, argument: str) -> str:
    low, _, high = (argument or "8-18").partition("-")
    hour = between(pen.rng, int(low), int(high))
    minute = 5 * below(pen.rng, 12)
    half = "am" if hour < 12 else "pm"
    return pen.voice.house.time.format(hour=hour, minute=minute, hour12=(hour + 11) % 12 + 1, half=half)


def _money(pen: Pen, argument: str) -> str:
    low, _, high = argument.partition("-")
    whole = between(pen.rng, int(low), int(high))
    if whole >= 1000:
        whole -= whole % 10
        return pen.voice.house.money.format(sum=f"{whole:,}")
    return pen.voice.house.money.format(sum=f"{whole}.{pick(pen.rng, ('00', '50', '20', '75', '99', '40'))}")


def _digits(pen: Pen, count: int) -> str:
    return "".join(str(below(pen.rng, 10)) for _ in range(count))


def _own(owned: str) -> Callable[[Pen, str], str]:
    """A built-in slot for one of the things that a house owns."""
    return lambda pen, _: pen.voice.preferred(pen.rng, f"house {owned}", getattr(pen.voice.house, owned))


BUILT_IN: dict[str, Callable[[Pen, str], str]] = {
    "person": lambda pen, _: names.person(pen.rng),
    "staff": _own("staff"),
    "town": _own("towns"),
    "place": _own("places"),
    "brand": _own("brands"),
    "street": _own("streets"),
    "address": lambda pen, _: f"{between(pen.rng, 1, 140)} {pick(pen.rng, pen.voice.house.streets)}",
    "phone": lambda pen, _: f"0{between(pen.rng, 200, 989)} {_digits(pen, 6)}",
    "account": lambda pen, argument: _digits(pen, int(argument or 8)),
    "reference": lambda pen, _: f"{pen.voice.house.prefix}-{between(pen.rng, 1000, 9999)}",
    "letter": lambda pen, _: pick(pen.rng, LETTERS),
    "date": _date,
    "time": _time,
    "money": _money,
    "weekday": lambda pen, _: pick(pen.rng, WEEKDAYS),
    "month": lambda pen, _: pick(pen.rng, MONTHS),
}


def write(voice: Voice, rng: random.Random) -> Record:
    """One document: an opening, sentences from the middle of the same form until it is long enough, a closing."""
    trade, pen = voice.trade, Pen(voice, rng)
    form: Form = voice.preferred(rng, "record form", trade.forms)
    place = trade.forms.index(form)
    aim = between(rng, *trade.length)
    opening = pen.sentence(voice.preferred(rng, f"{place} opening", form.opening))
    closing = pen.sentence(voice.preferred(rng, f"{place} closing", form.closing))
    body = [opening]
    words = len(opening.split()) + len(closing.split())
    used: set[str] = set()
    while words < aim and len(used) < min(MOST_MIDDLES, len(form.middle)):
        template = voice.preferred(rng, f"{place} middle", form.middle)
        if template not in used:
            used.add(template)
            body.append(pen.sentence(template))
            words += len(body[-1].split())
    return Record(" ".join([*body, closing]), tuple(pen.personal))
