"""`fedlora-tui doctor --data`: what a run would make of the text that a configuration names, told in counts alone."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fedlora_tui.config import Config
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.roster import Roster, call_roster
from fedlora_tui.organizations.text import Documents, in_words, notice, split

LEGEND = (
    "tokens: predicted in training. hold-out: predicted when measured, data.holdout_tokens at most.\n"
    "longest: tokens of the longest document. mean: tokens a document. distinct: kinds of tokens among all tokens.\n"
    "entropy: bits a token, of the distribution of tokens."
)

TITLES = ("documents", "tokens", "hold-out", "dropped", "longest", "mean", "distinct", "entropy")
LESS = ("mean", "distinct", "entropy", "longest")
"""The columns that go first where the terminal is narrow."""

WIDEST = 10_000


@dataclass(frozen=True)
class TextCounts:
    """What may be told of one organization's text; `refusal` says why a run would not take it."""

    organization: str
    documents: int = 0
    tokens: int = 0
    holdout: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    longest: int = 0
    mean: float = math.nan
    distinct: float = math.nan
    entropy: float = math.nan
    notice: str = ""
    refusal: str = ""


def print_data_report(console: Console, config: Config) -> None:
    """Write a table with a line an organization. Raises UserError where a run of it would be refused."""
    # Without a handler Python writes what libraries log on stderr, where only the refusal belongs.
    logging.getLogger().addHandler(logging.NullHandler())
    with console.status("reading", spinner="line"):
        roster = call_roster(config)
        found = list(counted(config, roster))
    console.print(_fitting(console, found))
    for remark in _remarks(found, roster):
        console.print(_shown(console, remark))
    console.print(Text(LEGEND, "dim"))
    refused = [counts for counts in found if counts.refusal]
    if refused:
        more = f" ({len(refused) - 1} more like it)" if len(refused) > 1 else ""
        raise UserError(f"{refused[0].refusal}{more}")


def counted(config: Config, roster: Roster) -> Iterator[TextCounts]:
    """Count what each organization has, in the order of the roster; one's text is let go before the next is read."""
    from fedlora_tui.lora.base_model import load_tokenizer

    tokenizer = load_tokenizer(config.model)
    for name in roster.names:
        documents = roster.source.documents(name)
        try:
            yield _counts(config, tokenizer, name, documents)
        except UserError as error:
            said = notice(name, documents, config.data.max_megabytes)
            yield TextCounts(name, len(documents.texts), dropped=documents.dropped, notice=said, refusal=str(error))


def _counts(config: Config, tokenizer: Any, name: str, documents: Documents) -> TextCounts:
    from fedlora_tui.lora.rows import Rows, Shape, check_enough, encoded, learned, measured

    data, batch_size = config.data, config.federation.batch_size
    text = split(name, documents, data.holdout, config.federation.seed)
    # The base itself is not loaded here; hardly one there is that cannot keep the documents of a row apart.
    shape = Shape(config.model.max_length, data.holdout_tokens, data.packing, batch_size)
    train, held = list(encoded(tokenizer, text.train)), list(encoded(tokenizer, text.holdout))
    rows = Rows(name, learned(lambda: train, shape), measured(held, shape))
    check_enough(rows, batch_size)
    seen: Counter[int] = Counter()
    for row in (*train, *held):
        seen.update(row.tokens[row.first_target :])
    return TextCounts(
        name,
        text.documents,
        rows.train_tokens,
        rows.holdout_tokens,
        text.dropped,
        longest=max(len(row) for row in (*train, *held)),
        mean=seen.total() / text.documents,
        distinct=len(seen) / seen.total(),
        entropy=entropy(seen),
        notice=notice(name, replace(documents, dropped=text.dropped), data.max_megabytes),
    )


def entropy(seen: Counter[int]) -> float:
    """Bits a token of the distribution of tokens."""
    total = seen.total()
    return math.log2(total) - sum(count * math.log2(count) for count in seen.values()) / total if total else 0.0


def _fitting(console: Console, found: list[TextCounts]) -> Table:
    """Leave out what matters least where names would be broken for it; a name that never fits is broken."""
    whole = _table(console, found, TITLES)
    for few in range(len(LESS) + 1):
        table = _table(console, found, [title for title in TITLES if title not in LESS[:few]])
        if Measurement.get(console, console.options.update_width(WIDEST), table).maximum <= console.width:
            return table
    return whole


def _table(console: Console, found: list[TextCounts], titles: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("organization", overflow="fold")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for counts in found:
        dropped = f"{sum(counts.dropped.values()):,}"
        told = ["-"] * 6
        if not counts.refusal:
            told = [f"{counts.tokens:,}", f"{counts.holdout:,}", f"{counts.longest:,}"]
            told += [f"{counts.mean:,.1f}", f"{counts.distinct:.1%}", f"{counts.entropy:.2f}"]
        told.insert(2, dropped)
        style = "bold yellow" if counts.refusal else ""
        cells = dict(zip(TITLES, (f"{counts.documents:,}", *told), strict=True))
        table.add_row(_shown(console, counts.organization, style), *(cells[title] for title in titles))
    if len(found) > 1:
        sums = (sum(counts.documents for counts in found), sum(counts.tokens for counts in found))
        rest = (sum(counts.holdout for counts in found), sum(sum(counts.dropped.values()) for counts in found))
        table.add_row(Text(f"all {len(found)}", "dim"), *(Text(f"{number:,}", "dim") for number in (*sums, *rest)))
    return table


def _remarks(found: list[TextCounts], roster: Roster) -> Iterator[str]:
    """What a count cannot say: why documents were dropped, and what is no organization for it has no text."""
    yield from (counts.notice for counts in found if counts.notice)
    for name, dropped in roster.source.passed_over.items():
        yield f"{name} gave no text: {in_words(dropped)}"


def _shown(console: Console, text: str, style: str = "") -> Text:
    """Names as the terminal's encoding can show them; as Text, so that brackets in them are no markup."""
    encoding = console.encoding or "utf-8"
    return Text(text.encode(encoding, "replace").decode(encoding), style)
