"""Everything that is found out before a run's folder is made: device, base, organizations and their text.

What is wrong here (no such model, a folder with no usable text, too little text for a batch) is a UserError: the
process ends with exit status 2 and nothing is left behind.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedlora_tui.config import Config, resolved
from fedlora_tui.engine import guarding
from fedlora_tui.engine.guarding import with_noise
from fedlora_tui.engine.sampling import MEASURED_AT_MOST, measured, needed
from fedlora_tui.engine.workable import unworkable
from fedlora_tui.errors import UserError
from fedlora_tui.fault_profiles import SECTION
from fedlora_tui.lora import base_model
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.lanes import lanes_on
from fedlora_tui.lora.resize import started
from fedlora_tui.lora.rows import RowArray, Rows, Shape, check_enough, tokenize
from fedlora_tui.organizations import elsewhere, skew
from fedlora_tui.organizations.ahead import ReadAhead, can_be_read_apart
from fedlora_tui.organizations.roster import Roster
from fedlora_tui.organizations.source import Source
from fedlora_tui.organizations.text import Documents, in_words, notice, split
from fedlora_tui.privacy.audit import secrets
from fedlora_tui.protocol.events import Preparing, TextCounts, Warned

Say = Callable[[Preparing], None]

MOST_WARNINGS = 8
FEW = 24
"""Organizations whose texts are read in the time that a process takes to begin."""


@dataclass(frozen=True)
class Counts:
    """What may be told of an organization's text: how much there is of it, and what of it could not be used."""

    documents: int
    tokens: int
    holdout_tokens: int
    more: TextCounts
    notice: str = ""


@dataclass(frozen=True)
class Stood:
    """What decides how a run's numbers are added up, as it was before the run ended and goes on."""

    cohort: int
    lanes: int


class Counted(Protocol):
    """What a run knows of its organizations' text, which need not be here."""

    @property
    def source(self) -> Source:
        """Where organizations come from."""

    def lie_at(self, organization: str, place: str | None) -> None:
        """Remember where the text of an organization lies, None for one of the source's or one that is known."""

    def read(self, organization: str) -> Counts:
        """Give the counts of an organization that is to take part. Raises UserError where it cannot."""

    def known(self, organization: str) -> bool:
        """Tell whether an organization's text is counted."""

    def counts(self, organization: str) -> Counts:
        """Give the counts of an organization that takes part."""

    def told(self, organization: str) -> dict[str, Any]:
        """Give what an event tells of an organization's text, by the names of its fields."""

    def forget(self, organization: str) -> None:
        """Let go of an organization."""


class Texts:
    """The organizations' tokens, each read when it is first needed and kept here for as long as it takes part."""

    def __init__(self, source: Source, base: BaseModel, config: Config) -> None:
        self.source = source
        self._base = base
        self._config = config
        self._rows: dict[str, Rows] = {}
        self._counts: dict[str, Counts] = {}
        self._unigrams: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
        self._pooled: Counter[int] = Counter()
        self._ahead = _reading_ahead(source, config)
        self._places = dict(config.data.joined)
        self._codes = secrets.codes(config.federation.seed, config.audit.organizations)

    def lie_at(self, organization: str, place: str | None) -> None:
        """Remember where the text of an organization lies, None for one of the source's or one that is known."""
        if place is not None:
            self._places[organization] = place

    def read(self, organization: str) -> Counts:
        """Read, split and tokenize one organization's text. Raises UserError where it is too little for one batch."""
        data, federation = self._config.data, self._config.federation
        documents = self._documents(organization)
        text = split(organization, documents, data.holdout, federation.seed)
        if (code := self._codes.get(organization)) is not None:
            text = secrets.planted(text, code, self._config.audit.repetitions, federation.seed)
        length, packed = self._config.model.max_length, data.packing and self._base.isolates
        shape = Shape(length, data.holdout_tokens, packed, federation.batch_size)
        rows = tokenize(self._base.tokenizer, organization, text.train, text.holdout, shape)
        check_enough(rows, federation.batch_size)
        self._rows[organization] = rows
        self._unigrams[organization] = rows.unigrams
        self._pooled.update(self._seen(organization))
        told = notice(organization, replace(documents, dropped=text.dropped), data.max_megabytes)
        more = _more(rows, text.dropped, length)
        self._counts[organization] = Counts(text.documents, rows.train_tokens, rows.holdout_tokens, more, told)
        return self._counts[organization]

    def _documents(self, organization: str) -> Documents:
        if (place := self._places.get(organization)) is not None:
            return elsewhere.documents(place, self._config.data)
        ahead = self._ahead.documents(organization) if self._ahead is not None else None
        return self.source.documents(organization) if ahead is None else ahead

    def take_over(self, other: Texts) -> None:
        """Take what another run of the same text, read in the same way, has read so far; rows are held once."""
        if other._reading != self._reading or self._rows:
            return
        self._rows |= other._rows
        self._counts |= other._counts
        self._unigrams |= other._unigrams
        self._pooled.update(other._pooled)

    @property
    def _reading(self) -> tuple[object, ...]:
        """What decides how a text is read; the base is the same for all runs of a race."""
        federation = self._config.federation
        named = (federation.seed, federation.batch_size, federation.organizations)
        return (self._config.data, self._config.audit, self._config.model.max_length, *named)

    def known(self, organization: str) -> bool:
        """Tell whether an organization's text was read."""
        return organization in self._rows

    def rows(self, organization: str) -> Rows:
        """Give the tokens of an organization that takes part."""
        return self._rows[organization]

    def counts(self, organization: str) -> Counts:
        """Give the counts of an organization that takes part."""
        return self._counts[organization]

    def told(self, organization: str) -> dict[str, Any]:
        """Give what an event tells of an organization's text, by the names of its fields."""
        return told_of(self._counts[organization], self.skew(organization))

    def skew(self, organization: str) -> float | None:
        """Tell how far an organization's tokens are from those of all whose text was read, 0 to 1."""
        return skew.distance(self._seen(organization), self._pooled)

    def forget(self, organization: str) -> None:
        """Let go of an organization's tokens."""
        self._rows.pop(organization, None)
        self._counts.pop(organization, None)
        self._pooled.subtract(self._seen(organization))
        self._unigrams.pop(organization, None)

    def _seen(self, organization: str) -> Counter[int]:
        """Count an organization's tokens by kind; they are kept as arrays, which take a tenth of the memory."""
        tokens, counts = self._unigrams.get(organization, (np.zeros(0), np.zeros(0)))
        return Counter(dict(zip(tokens.tolist(), counts.tolist(), strict=True)))


def told_of(counts: Counts, skew: float | None) -> dict[str, Any]:
    """Give what an event tells of a text, by the names of its fields."""
    own = {"documents": counts.documents, "tokens": counts.tokens, "holdout_tokens": counts.holdout_tokens}
    return {**own, "skew": skew, "counts": counts.more}


def _more(rows: Rows, dropped: Mapping[str, int], length: int) -> TextCounts:
    """Count what else may be told of a text; `length` is that of a full row."""
    count, kinds = len(rows.train), len(rows.unigrams[0])
    tokens = rows.train.tokens if isinstance(rows.train, RowArray) else sum(map(len, rows.train))
    used = {reason: number for reason, number in dropped.items() if number}
    return TextCounts(used, rows.longest, kinds, count, tokens / (count * length) if count else None)


def _reading_ahead(source: Source, config: Config) -> ReadAhead | None:
    """Let processes begin to read where that is asked for, possible, and worth their start."""
    readers = config.data.readers
    if isinstance(readers, str) or not readers or not can_be_read_apart(source):
        return None
    names = source.first(config.organizations)
    return ReadAhead(source, needed(names, config.federation), readers) if len(names) > FEW else None


@dataclass(frozen=True)
class Prepared:
    """A run that can begin. `config` is resolved: it names as many organizations as were found.

    `replicas` are the base once more for each further lane: on each further device, or over the same weights. `stood`
    is how a run went that goes on.
    """

    config: Config
    base: BaseModel
    texts: Counted
    organizations: tuple[str, ...]
    adapter: Adapter
    warnings: tuple[Warned, ...] = ()
    replicas: tuple[BaseModel, ...] = ()
    stood: Stood | None = None

    def rows(self, organization: str) -> Rows:
        """Give the tokens of an organization whose text is in this process."""
        assert isinstance(self.texts, Texts)
        return self.texts.rows(organization)

    @property
    def bases(self) -> tuple[BaseModel, ...]:
        """The base of every lane."""
        return (self.base, *self.replicas)

    @property
    def devices(self) -> tuple[BaseModel, ...]:
        """The base once on every device that works."""
        return tuple({base.device: base for base in reversed(self.bases)}.values())[::-1]


@dataclass(frozen=True)
class Apart:
    """What a run begins with whose organizations are on machines of their own: the base, and what is known of them."""

    base: BaseModel
    texts: Counted


def prepare(
    config: Config,
    roster: Roster,
    say: Say,
    beside: Sequence[Prepared] = (),
    stood: Stood | None = None,
    apart: Apart | None = None,
) -> Prepared:
    """Load the base and read the organizations, telling each stage as it begins and ends. Raises UserError.

    `beside` are runs that this one goes beside, over the same base. A run that goes on has `stood` as it is: it was
    checked when it began and at every change since.
    """
    names = roster.names
    config = secrets.chosen(config, names)
    if stood is None:
        _check_combination(config, names)
        config = with_noise(config, len(names))
    if apart is not None:
        base, texts = apart.base, apart.texts
    else:
        base = _shared_base(beside[0], say) if beside else load_base(config, say)
        texts = _texts(roster.source, base, config, beside)
    first = _read_first(names, config)
    for index, name in enumerate(first):
        say(Preparing("organizations", "working", "reading", index, len(first), "organizations"))
        if not texts.known(name):
            texts.read(name)
    tokens = sum(texts.counts(name).tokens for name in first)
    read = "" if len(first) == len(names) else f"{len(first)} read, "
    say(
        Preparing(
            "organizations", "done", f"{len(names):,} of {config.data.source}, {read}{tokens:,} tokens to train on"
        )
    )
    lora, seed = config.lora, config.federation.seed
    adapter = started(base.targets, lora.default_rank, lora.alpha, seed, lora.highest_rank)
    protection = guarding.warnings(config, len(names), adapter) if stood is None else ()
    strange = (*_strange_faults(config, names), *protection, *_of_secrets(config, names))
    warnings = (*_warnings(texts, first), *strange)
    lanes = min(lanes_on(base), len(names)) if stood is None else stood.lanes
    replicas = beside[0].replicas if beside else () if apart is not None else _replicas(base, config, lanes)
    whole = resolved(config, len(names)) if stood is None else config
    return Prepared(whole, base, texts, names, adapter, warnings, replicas, stood)


def _texts(source: Source, base: BaseModel, config: Config, beside: Sequence[Prepared]) -> Texts:
    """Open the texts of a run; what runs beside it have read of the same is read once."""
    texts = Texts(source, base, config)
    for other in beside:
        assert isinstance(other.texts, Texts)
        texts.take_over(other.texts)
    return texts


def _replicas(base: BaseModel, config: Config, lanes: int) -> tuple[BaseModel, ...]:
    """Give the base once more for every further lane, on other devices or over the same weights."""
    elsewhere = (base_model.replica(base, device) for device in base_model.further_devices(config.model))
    twins = (base_model.twin(base) for _ in range(1, lanes if lanes_on(base) > 1 else 1))
    return (*elsewhere, *twins)


def _check_combination(config: Config, names: tuple[str, ...]) -> None:
    """Refuse ranks of organizations that are not there, and what cannot work together."""
    strange = sorted(config.lora.own_ranks.keys() - set(names))
    if strange:
        some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise UserError(f"lora.rank names {strange[0]}, which is no organization here; there are {some}")
    if (reason := unworkable(config, names, 1)) is not None:
        raise UserError(reason)


def _read_first(names: tuple[str, ...], config: Config) -> tuple[str, ...]:
    """Give those whose text is read before the run: all, or, where they are very many, those that measure."""
    federation = config.federation
    if len(names) <= MEASURED_AT_MOST:
        return names
    return measured(names, federation.fraction_evaluate, federation.seed)


def _warnings(texts: Counted, names: tuple[str, ...]) -> Iterator[Warned]:
    """Tell what could not be used, of the first organizations in full and of the rest how many there are."""
    told = [(name, texts.counts(name).notice) for name in names if texts.counts(name).notice]
    for name, said in told[:MOST_WARNINGS]:
        yield Warned(said, name)
    if len(told) > MOST_WARNINGS:
        rest = len(told) - MOST_WARNINGS
        yield Warned(f"text of {rest} more organizations was dropped too; fedlora-tui doctor --data lists all")
    over = texts.source.passed_over
    for name, dropped in list(over.items())[:MOST_WARNINGS]:
        yield Warned(f"{name} gave no text: {in_words(dropped)}")
    if len(over) > MOST_WARNINGS:
        yield Warned(f"{len(over) - MOST_WARNINGS} more gave no text; fedlora-tui doctor --data lists all")


def _strange_faults(config: Config, names: tuple[str, ...]) -> Iterator[Warned]:
    """Tell of faults for organizations that are not here; one of the name may still join."""
    for name in sorted(config.faults.keys() - set(names)):
        close = difflib.get_close_matches(name, names, 1, 0.6)
        nearest = f"; nearest is {close[0]}" if close else ""
        yield Warned(f"{SECTION}.{name}: no organization of this name is here{nearest}; it counts once one joins")


def _of_secrets(config: Config, names: tuple[str, ...]) -> Iterator[Warned]:
    """Tell that text was added to organizations' own, and of those that are not here to have it."""
    audit = config.audit
    here = [name for name in audit.organizations if name in names]
    if here:
        some = ", ".join(here[:MOST_WARNINGS]) + (
            f" and {len(here) - MOST_WARNINGS} more" * (len(here) > MOST_WARNINGS)
        )
        copies = f"{audit.repetitions} times" if audit.repetitions > 1 else "once"
        yield Warned(f"a secret was planted {copies} in the training text of {some}: fedlora-tui audit looks for it")
    for name in sorted(set(audit.organizations) - set(names))[:MOST_WARNINGS]:
        yield Warned(f"{secrets.NAMES} names {name}: no organization of this name is here; it counts once one joins")


def load_base(config: Config, say: Say) -> BaseModel:
    """Load the base, telling it as it begins and ends. Raises UserError."""

    def downloading(done: float, total: float) -> None:
        say(Preparing("base", "working", f"downloading {config.model.base}", done, total, "bytes"))

    device = base_model.find_device(config.model.device)
    devices = (device, *base_model.further_devices(config.model))
    say(Preparing("device", "done", ", ".join(map(str, devices))))
    say(Preparing("base", "working", f"loading {config.model.base}"))
    base = base_model.load(config.model, config.lora, downloading)
    detail = f"{config.model.base}, {base.parameters:,} parameters, {len(base.targets)} target modules"
    say(Preparing("base", "done", detail))
    return base


def _shared_base(beside: Prepared, say: Say) -> BaseModel:
    base = beside.base
    say(Preparing("device", "done", ", ".join(str(own.device) for own in beside.devices)))
    say(Preparing("base", "done", f"{base.name}, {base.parameters:,} parameters, the same for all runs"))
    return base
