"""The language of filters: words that must stand in a row, comparisons, and what an exclamation mark leaves out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

NOT = "!"
STATE = "state"
LONGEST = 200
"""The most characters of a filter."""

_WRITTEN = re.compile(r"(?P<name>[^<>=]*)(?P<sign><=|>=|<|>|=)(?P<value>.*)")

Fact = float | str | None
"""What is known of a row under one name, None where nothing is."""


class FilterError(ValueError):
    """A filter that says nothing sensible yet; its text is the one line that says why."""


@dataclass(frozen=True)
class Known:
    """What a filter can ask of rows: the names of their numbers, and the states that they can be in."""

    numbers: tuple[str, ...] = ()
    states: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """One comparison: a number by its sign, or a state by how its name begins; `wanted` is False behind a mark.

    A number is equal to what was typed where it is when rounded to as many `decimals`.
    """

    name: str
    sign: str
    value: float | str
    decimals: int = 0
    wanted: bool = True

    def passes(self, fact: Fact) -> bool:
        """Tell whether a row with this fact is to be shown."""
        return self._holds(fact) == self.wanted

    def _holds(self, fact: Fact) -> bool:
        if isinstance(self.value, str):
            return isinstance(fact, str) and fact.startswith(self.value)
        if not isinstance(fact, int | float) or math.isnan(fact):
            return False
        return {
            "<": fact < self.value,
            ">": fact > self.value,
            "<=": fact <= self.value,
            ">=": fact >= self.value,
            "=": fact == self.value or round(fact, self.decimals) == self.value,
        }[self.sign]


@dataclass(frozen=True)
class Filter:
    """What a row has to say (`words`) and must not say (`without`), in any case and any order; and what must hold."""

    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    tests: tuple[Comparison, ...] = ()

    @property
    def empty(self) -> bool:
        """True where every row passes."""
        return not (self.words or self.without or self.tests)

    def passes(self, row: str, facts: Mapping[str, Fact] | None = None) -> bool:
        """Tell whether a row, given as all that it says and what is known of it, is to be shown."""
        if self.words or self.without:
            said = row.casefold()
            if any(word not in said for word in self.words) or any(word in said for word in self.without):
                return False
        return all(test.passes((facts or {}).get(test.name)) for test in self.tests)


def parsed(typed: str, known: Known | None = None) -> Filter:
    """Read what was typed; a mark with nothing behind it leaves nothing out yet.

    Where nothing is known of rows but what they say, everything is a word. Raises FilterError.
    """
    parts = [part for part in typed.casefold().split() if part != NOT]
    if known is None:
        tests: dict[str, Comparison] = {}
    else:
        tests = {part: test for part in parts if (test := _comparison(part, known)) is not None}
    plain = [part for part in parts if part not in tests]
    without = tuple(part[len(NOT) :] for part in plain if part.startswith(NOT))
    return Filter(tuple(part for part in plain if not part.startswith(NOT)), without, tuple(tests.values()))


def _comparison(part: str, known: Known) -> Comparison | None:
    """Read one comparison, None where the part is a word."""
    wanted, bare = not part.startswith(NOT), part.removeprefix(NOT)
    if bare.startswith(f"{STATE}:"):
        return _of_state(bare.partition(":")[2], wanted, known)
    written = _WRITTEN.fullmatch(bare)
    if written is None:
        return None
    name, sign, value = written["name"], written["sign"], written["value"]
    if name == STATE and sign == "=":
        return _of_state(value, wanted, known)
    if name not in known.numbers:
        raise FilterError(f"{bare}: no number is called {name or 'nothing'}; there are {', '.join(known.numbers)}")
    try:
        return Comparison(name, sign, float(value), len(value.partition(".")[2]), wanted)
    except ValueError:
        raise FilterError(f"{bare}: a number belongs behind {name}{sign}") from None


def _of_state(begin: str, wanted: bool, known: Known) -> Comparison:
    if not any(state.startswith(begin) for state in known.states):
        raise FilterError(f"{STATE}:{begin}: no such state; there are {', '.join(known.states)}")
    return Comparison(STATE, ":", begin, wanted=wanted)
