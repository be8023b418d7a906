"""How one organization writes: its staff and places, its preferred words and forms, its way with dates and money."""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeAlias, TypeVar

from fedlora_tui.organizations import names
from fedlora_tui.organizations.draw import below, between, pick, seeded, shuffled
from fedlora_tui.organizations.grammar import Choice, Nodes, Slot, Trade, parse

T = TypeVar("T")

PERSONAL = frozenset({"person", "staff", "phone", "address", "account"})
"""The slots whose values stand for personal data; `Record.personal` carries what they were filled with."""

Phrase: TypeAlias = "Callable[[Pen], str]"
"""What writes itself when a pen comes by."""

Part: TypeAlias = "str | Phrase"
"""A piece of a sentence that is being compiled; text that is always the same, or what is not."""

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
A_BEFORE_VOWEL = re.compile(r"(?:(?<= )a|^A)(?= (?!uni|use|uti|one|eu)[aeiouAEIO])")


@dataclass(frozen=True)
class Record:
    """One document, and the made-up personal data in it as it stands there, so that an audit can look for it."""

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
    given more words or sentences without another of its preferences moving. Sentences are compiled at their first use.
    """

    def __init__(self, trade: Trade, organization: str, seed: int) -> None:
        self.trade = trade
        self._home = (seed, organization)
        self._sentences: dict[str, Phrase] = {}
        self._words: dict[str, Preference[Phrase]] = {}
        self._phrases: dict[tuple[Part, ...], Phrase] = {}
        self.house = found_house(seeded("house", *self._home))
        forms = [
            FormInUse(
                form.length or trade.length,
                form.joint,
                self.preference(f"{place} opening", form.opening),
                self.preference(f"{place} middle", form.middle),
                self.preference(f"{place} closing", form.closing),
            )
            for place, form in enumerate(trade.forms)
        ]
        self.forms = self.preference("record form", forms)

    def preference(self, key: str, items: Sequence[T]) -> Preference[T]:
        """The items in the organization's own order of liking; of some lists it uses the first few only."""
        return Preference(shuffled(seeded("order", *self._home, key), items)[: self.trade.own.get(key)])

    def sentence(self, template: str) -> Phrase:
        """The template, compiled."""
        if template not in self._sentences:
            self._sentences[template] = self._compiled(parse(template))
        return self._sentences[template]

    def _compiled(self, nodes: Nodes) -> Phrase:
        """The nodes as one phrase; equal ones give the same phrase, so that a document can tell what it has already."""
        parts = tuple(node if isinstance(node, str) else self._part(node) for node in nodes)
        return self._phrases.setdefault(parts, _phrase(parts))

    def _part(self, node: Slot | Choice) -> Phrase:
        if isinstance(node, Choice):
            return _choice(self.preference(node.key, [self._compiled(option) for option in node.options]))
        kind, _, argument = self.trade.cast.get(node.name, f"{node.name} {node.argument}").partition(" ")
        value = self._value(kind, argument)
        if node.name in self.trade.cast:
            value = _kept(node.name, value)
        if node.part:
            value = PARTS[node.part](value)
        return _marked(value) if kind in PERSONAL else value

    def _value(self, kind: str, argument: str) -> Phrase:
        if kind in self.trade.words:
            return lambda pen: pen.fresh(self._word_list(kind))
        if kind[0].isdigit():
            return _number(kind)
        return BUILT_IN[kind](self, argument)

    def _word_list(self, kind: str) -> Preference[Phrase]:
        found = self._words.get(kind)
        if found is None:
            found = self.preference(kind, [self._compiled(parse(word)) for word in self.trade.words[kind]])
            self._words[kind] = found
        return found


def _phrase(parts: tuple[Part, ...]) -> Phrase:
    """The parts one after another; all text passes here, so what is usual has a way of its own."""
    values = tuple(part for part in parts if not isinstance(part, str))
    if not values:
        text = "".join(part for part in parts if isinstance(part, str))
        return lambda pen: text
    pattern = "".join(part.replace("%", "%%") if isinstance(part, str) else "%s" for part in parts)
    if len(values) == 1:
        only = values[0]
        return only if pattern == "%s" else lambda pen: pattern % only(pen)
    if len(values) == 2:
        one, other = values
        return lambda pen: pattern % (one(pen), other(pen))
    return lambda pen: pattern % tuple([value(pen) for value in values])


def _choice(options: Preference[Phrase]) -> Phrase:
    return lambda pen: options.drawn(pen.random)(pen)


class Preference(Generic[T]):
    """Items that an organization likes differently well: its favourite about four times as well as the last."""

    def __init__(self, items: Sequence[T]) -> None:
        self.items = items
        self._sums = list(accumulate(12 + 120 // (rank + 2) for rank in range(len(items))))
        self._sum = self._sums[-1] if items else 0

    def drawn(self, random: Callable[[], float]) -> T:
        """One of the items."""
        return self.items[bisect_right(self._sums, int(random() * self._sum))]


@dataclass(frozen=True)
class FormInUse:
    """A form of the trade with the organization's preferences among its sentences."""

    length: tuple[int, int]
    joint: str
    opening: Preference[str]
    middle: Preference[str]
    closing: Preference[str]


class Pen:
    """Writes one document in a voice."""

    def __init__(self, voice: Voice, rng: random.Random) -> None:
        self.voice = voice
        self.rng = rng
        self.random = rng.random
        self.kept: dict[str, str] = {}
        self.personal: dict[str, None] = {}
        self._used: set[Phrase] = set()

    def sentence(self, template: str) -> str:
        """The template with every slot filled and every choice made."""
        text = self.voice.sentence(template)(self)
        if " a " in text or text.startswith("A "):
            text = A_BEFORE_VOWEL.sub(r"\g<0>n", text)
        return text[0].upper() + text[1:]

    def fresh(self, words: Preference[Phrase]) -> str:
        """A word of the list, one that the document does not have yet if four draws find it."""
        for _ in range(4):
            word = words.drawn(self.random)
            if word not in self._used:
                break
        self._used.add(word)
        return word(self)


def _kept(name: str, value: Phrase) -> Phrase:
    """The slot's first value in the document, each time."""

    def keep(pen: Pen) -> str:
        if name not in pen.kept:
            pen.kept[name] = value(pen)
        return pen.kept[name]

    return keep


PARTS: dict[str, Callable[[Phrase], Phrase]] = {
    "first": lambda value: lambda pen: value(pen).split()[0],
    "last": lambda value: lambda pen: value(pen).split()[-1],
    "upper": lambda value: lambda pen: value(pen).upper(),
}


def _marked(value: Phrase) -> Phrase:
    """The value, remembered as personal in the form in which it is written."""

    def mark(pen: Pen) -> str:
        text = value(pen)
        pen.personal[text] = None
        return text

    return mark


def _number(span: str) -> Phrase:
    low, _, high = span.partition("-")
    least, count = int(low), int(high) - int(low) + 1
    return lambda pen: str(least + int(pen.random() * count))


def _date(voice: Voice, _: str) -> Phrase:
    form = voice.house.date.format
    return lambda pen: form(day=between(pen.rng, 1, 28), month=pick(pen.rng, MONTHS), weekday=pick(pen.rng, WEEKDAYS))


def _time(voice: Voice, argument: str) -> Phrase:
    low, _, high = (argument or "8-18").partition("-")
    least, most = int(low), int(high)
    form = voice.house.time.format

    def write_time(pen: Pen) -> str:
        hour, minute = between(pen.rng, least, most), below(pen.rng, 60)
        return form(hour=hour, minute=minute, hour12=(hour + 11) % 12 + 1, half="am" if hour < 12 else "pm")

    return write_time


def _money(voice: Voice, argument: str) -> Phrase:
    low, _, high = argument.partition("-")
    least, most = int(low), int(high)
    form = voice.house.money.format

    def write_money(pen: Pen) -> str:
        whole = between(pen.rng, least, most)
        if whole >= 1000:
            return form(sum=f"{whole - whole % 10:,}")
        return form(sum=f"{whole}.{pick(pen.rng, ('00', '50', '20', '75', '99', '40'))}")

    return write_money


def _digits(pen: Pen, count: int) -> str:
    return str(int(pen.random() * 10**count)).zfill(count)


def _account(_: Voice, argument: str) -> Phrase:
    count = int(argument or 8)
    return lambda pen: _digits(pen, count)


def _own(owned: str) -> Callable[[Voice, str], Phrase]:
    """A built-in slot for one of the things that a house owns."""

    def of_house(voice: Voice, _: str) -> Phrase:
        things: Preference[str] = voice.preference(f"house {owned}", getattr(voice.house, owned))
        return lambda pen: things.drawn(pen.random)

    return of_house


def _plain(value: Phrase) -> Callable[[Voice, str], Phrase]:
    """A built-in slot that is the same for every organization."""
    return lambda voice, argument: value


BUILT_IN: dict[str, Callable[[Voice, str], Phrase]] = {
    "person": _plain(lambda pen: names.person(pen.rng)),
    "staff": _own("staff"),
    "town": _own("towns"),
    "place": _own("places"),
    "brand": _own("brands"),
    "street": _own("streets"),
    "address": _plain(lambda pen: f"{between(pen.rng, 1, 140)} {pick(pen.rng, pen.voice.house.streets)}"),
    "phone": _plain(lambda pen: f"0{between(pen.rng, 200, 989)} {_digits(pen, 6)}"),
    "account": _account,
    "reference": _plain(lambda pen: f"{pen.voice.house.prefix}-{between(pen.rng, 1000, 9999)}"),
    "letter": _plain(lambda pen: pick(pen.rng, LETTERS)),
    "date": _date,
    "time": _time,
    "money": _money,
    "weekday": _plain(lambda pen: pick(pen.rng, WEEKDAYS)),
    "month": _plain(lambda pen: pick(pen.rng, MONTHS)),
}


def write(voice: Voice, rng: random.Random) -> Record:
    """One document: an opening, a sentence or more from the middle of the same form, and a closing if it has one.

    Sentences are added while there are fewer words than the document aims at; one that would take it over the form's
    most words is the end of it.
    """
    pen = Pen(voice, rng)
    form = voice.forms.drawn(pen.random)
    least, most = form.length
    aim = between(rng, least, most)
    body = [pen.sentence(form.opening.drawn(pen.random))]
    closing = [pen.sentence(form.closing.drawn(pen.random))] if form.closing.items else []
    words = sum(sentence.count(" ") + 1 for sentence in (*body, *closing))
    used: set[str] = set()
    while words < aim and len(used) < min(MOST_MIDDLES, len(form.middle.items)):
        template = form.middle.drawn(pen.random)
        if template in used:
            continue
        used.add(template)
        sentence = pen.sentence(template)
        words += sentence.count(" ") + 1
        if words > most and len(body) > 1:
            break
        body.append(sentence)
    text = form.joint.join((*body, *closing))
    return Record(text, tuple(value for value in pen.personal if value in text))
