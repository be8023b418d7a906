"""Organizations of different trades with text of our own writing, as many as asked for, all from one seed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import count, islice

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.distinct import Distinct
from fedlora_tui.organizations.draw import between, seeded
from fedlora_tui.organizations.grammar import Trade
from fedlora_tui.organizations.text import Document, Documents
from fedlora_tui.organizations.trades import TRADES
from fedlora_tui.organizations.voice import Record, Voice, write

DEFAULT_ORGANIZATIONS = 8
TRIES = 2
"""Documents written for each that is taken, at most."""


def organization_names() -> Iterator[str]:
    """Names without end: every trade once, then `-2`, `-3`, ... of each, so that more never rename what is there."""
    yield from TRADES
    for number in count(2):
        for trade in TRADES:
            yield f"{trade}-{number}"


def trade_of(organization: str) -> Trade:
    """The trade that an organization's name says."""
    if organization in TRADES:
        return TRADES[organization]
    trade, _, number = organization.rpartition("-")
    if trade not in TRADES or not number.isdecimal() or int(number) < 2 or number != str(int(number)):
        raise UserError(
            f"no synthetic organization is called {organization!r}; a name is a trade or a trade and a number from 2: "
            + ", ".join(TRADES)
        )
    return TRADES[trade]


def records(organization: str, seed: int) -> Iterator[Record]:
    """The organization's documents with the personal data marked, one after another, no two nearly the same."""
    trade = trade_of(organization)
    voice, distinct = Voice(trade, organization, seed), Distinct()
    rng = seeded("documents", seed, organization)
    amount = between(rng, *trade.documents)
    written = (write(voice, rng) for _ in range(TRIES * amount))
    yield from islice((record for record in written if distinct.takes(record.text)), amount)


class SyntheticSource:
    """The source "synthetic": nothing is written before an organization's text is asked for."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def first(self, count: int | None) -> tuple[str, ...]:
        """The first `count` names, with None the first eight."""
        return tuple(islice(organization_names(), DEFAULT_ORGANIZATIONS if count is None else count))

    def another(self, taken: Collection[str]) -> str | None:
        """The first name that is not taken."""
        left_out = set(taken)
        return next(name for name in organization_names() if name not in left_out)

    def documents(self, name: str) -> Documents:
        """The organization's text, equal each time for one seed; none of it is ever dropped."""
        trade = trade_of(name).name
        return Documents(tuple(Document(record.text, label=trade) for record in records(name, self.seed)))

    @property
    def passed_over(self) -> Mapping[str, Mapping[str, int]]:
        """Nothing ever is."""
        return {}

    def names_left_reason(self) -> str:
        """There are always more names."""
        return "there is always one more"
