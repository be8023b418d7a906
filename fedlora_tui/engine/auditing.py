"""An audit of a finished round: its adapter, the text that it was trained on, the attacks, and the report beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedlora_tui.aggregation import METHODS
from fedlora_tui.config import Config
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.checkpoint import Checkpoint
from fedlora_tui.engine.exports import chosen_round, taken_home
from fedlora_tui.engine.folder import read_config
from fedlora_tui.engine.past import as_turned, read_journal
from fedlora_tui.errors import UserError
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.base_model import load as load_base
from fedlora_tui.organizations import elsewhere
from fedlora_tui.organizations.draw import seeded, shuffled
from fedlora_tui.organizations.roster import call_roster
from fedlora_tui.organizations.source import Source
from fedlora_tui.organizations.synthetic import SyntheticSource, records
from fedlora_tui.organizations.text import Document, Documents, PrivateText, split
from fedlora_tui.privacy.accounting import spent
from fedlora_tui.privacy.audit import attacks, secrets
from fedlora_tui.privacy.audit.statistics import exposed_from
from fedlora_tui.privacy.statement import charges_of
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.audits import NEWEST, Audit, Membership, PersonalFound, SecretFound, to_json
from fedlora_tui.protocol.events import Record

MOST_ORGANIZATIONS = 24
"""So many are audited at most, those with a secret first: what more would say is the same."""

Say = Callable[[str, int, int], None]
"""Called with what is done, how far it is, and of how much."""


@dataclass(frozen=True)
class Asked:
    """What is audited: which round, how many documents a side and organization, how many texts are gone on with."""

    round: str = "latest"
    documents: int = 100
    samples: int = 64


@dataclass(frozen=True)
class Subject:
    """What the attacks are on: adapters by organization, "" for that of all, and the text that they were trained on.

    `epsilon` is what was charged to the privacy budget up to them, None where nothing was.
    """

    config: Config
    kept: Checkpoint
    base: BaseModel
    adapters: Mapping[str, Adapter]
    texts: Mapping[str, PrivateText]
    epsilon: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def planted(self) -> dict[str, int]:
        """The codes of those that trained with a secret, by organization."""
        every = secrets.codes(self.config.federation.seed, self.config.audit.organizations)
        return {name: code for name, code in every.items() if name in self.texts}

    def of(self, adapter: str) -> dict[str, PrivateText]:
        """Give the texts that an adapter is asked about: its own organization's, or everybody's."""
        return {name: own for name, own in self.texts.items() if adapter in ("", name)}


def subject(folder: Path, wanted: str, left_out: str = "") -> Subject:
    """Read what an audit is on, the text of one that is to be `left_out` too, however many there are.

    Raises UserError where the round is not there, or its text is not what it was.
    """
    round = chosen_round(folder, wanted)
    fault = checkpoint.fault(folder, round)
    if fault is not None:
        raise UserError(f"round {round} of {folder.name} cannot be audited: {fault}; name another with --round")
    kept = checkpoint.read(folder, round)
    if not kept.state["trained_by"]:
        raise UserError(f"round {round} of {folder.name}: nobody has trained by then; name another with --round")
    adapters = _adapters(kept)
    config = as_turned(read_config(folder), kept.state)
    names, notes = asked_about(config, kept, adapters, left_out)
    texts, epsilon = _texts(config, names, _told(read_journal(folder))), claimed(kept, config.privacy.delta)
    if epsilon is not None and config.privacy.seeded_noise:
        notes = (*notes, "its noise follows from the seed (privacy.seeded_noise), so it protects nothing")
        epsilon = None
    return Subject(config, kept, load_base(config.model, config.lora), adapters, texts, epsilon, notes)


def audited(on: Subject, asked: Asked, run: str, say: Say) -> Audit:
    """Attack, and give what was found."""
    began = time.monotonic()
    state, config = on.kept.state, on.config
    found = [_attacked(on, name, adapter, asked, say) for name, adapter in on.adapters.items()]
    scores: dict[str, list[attacks.Scores]] = {}
    for one in found:
        for name, own in one.scores.items():
            scores.setdefault(name, []).extend(own)
    return Audit(
        run=run,
        round=on.kept.round,
        rounds=state["rounds"],
        base=on.base.name,
        aggregation=state["aggregation"],
        mechanism=config.privacy.mechanism,
        epsilon=on.epsilon,
        delta=config.privacy.delta if on.epsilon is not None else None,
        organizations=tuple(on.texts),
        repetitions=config.audit.repetitions,
        space=secrets.SPACE,
        bits=exposed_from(len(on.planted)),
        secrets=tuple(secret for one in found for secret in one.secrets),
        membership=tuple(_memberships(scores)),
        personal=tuple(_added_up([one.personal for one in found])),
        samples=sum(one.samples for one in found),
        notes=on.notes,
        t=time.time(),
        seconds=time.monotonic() - began,
    )


def report_name(round: int) -> str:
    """Give the name of a round's report in the run's folder."""
    return f"audit-{checkpoint.name(round)}.md"


def keep(folder: Path, audit: Audit, report: str) -> Path:
    """Write the report and its numbers into the run's folder. Raises UserError."""
    path = folder / report_name(audit.round)
    try:
        path.write_text(report, encoding="utf-8")
        (folder / NEWEST).write_text(to_json(replace(audit, report=path.name)) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


@dataclass(frozen=True)
class _Found:
    """What the attacks on one adapter found."""

    secrets: Sequence[SecretFound]
    scores: Mapping[str, Sequence[attacks.Scores]]
    personal: Sequence[PersonalFound]
    samples: int


def _attacked(on: Subject, name: str, adapter: Adapter, asked: Asked, say: Say) -> _Found:
    seed, length, texts = on.config.federation.seed, on.config.model.max_length, on.of(name)
    planted = {own: code for own, code in on.planted.items() if own in texts}
    whose = f" of {name}" if name else ""
    found: Sequence[SecretFound] = ()
    if planted:
        losses = attacks.Codes(on.base).losses(adapter, lambda done, of: say(f"codes{whose}", done, of))
        # Of organizations' own adapters one control each is enough to compare with.
        controls = secrets.controls(seed, on.planted)[: 1 if name else None]
        found = attacks.secrets_found(losses, planted, controls, exposed_from(len(on.planted)), name)
    sides = [attacks.drawn_sides(own.organization, *_documents(own), asked.documents, seed) for own in texts.values()]
    documents = [document for own in sides for document in (*own.members, *own.others)]

    def losses_of(model: Adapter | None, what: str) -> list[float]:
        return attacks.document_losses(on.base, model, documents, length, lambda done, of: say(what, done, of))

    scores = attacks.member_scores(sides, losses_of(adapter, f"documents{whose}"), losses_of(None, "the base alone"))
    samples = asked.samples if not name else -(-asked.samples // len(on.adapters))
    personal, said = _personal(on, texts, adapter, samples, say)
    return _Found(found, scores, personal, said)


def _personal(
    on: Subject, texts: Mapping[str, PrivateText], adapter: Adapter, samples: int, say: Say
) -> tuple[list[PersonalFound], int]:
    """Look for invented personal data in what an adapter says, where the text is invented and it is known."""
    config = on.config
    if config.data.source != "synthetic" or not samples:
        return [], 0
    known = _values_by_text(config, texts)
    train = [(one, known.get(one.text, ())) for own in texts.values() for one in _documents(own)[0]]
    held = [(one, known.get(one.text, ())) for own in texts.values() for one in own.holdout]
    rng = seeded("openings", config.federation.seed)
    prompts = [
        prompt
        for member, side in ((True, train), (False, held))
        for prompt in shuffled(rng, attacks.openings(side, member))[: max(samples // 2, 1)]
    ]
    say("what it says", 0, len(prompts))
    said = attacks.said_after(on.base, adapter, prompts, config.model.max_length, config.federation.seed)
    say("what it says", len(prompts), len(prompts))
    values = [{value for _, own in side for value in own if attacks.is_telling(value)} for side in (train, held)]
    elsewhere_used = _never_used(config, texts) - values[0] - values[1]
    kinds = {
        attacks.TRAINED: values[0] - values[1],
        attacks.HELD_OUT: values[1] - values[0],
        attacks.NEVER: elsewhere_used,
    }
    return [*attacks.personal_found(said, kinds), *attacks.completed(prompts, said)], len(prompts)


def _values_by_text(config: Config, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Give the personal values of each synthetic document, by its text."""
    whose = SyntheticSource(config.federation.seed).first(config.organizations) if _dealt(config) else names
    return {one.text: one.personal for name in whose for one in records(name, config.federation.seed)}


def _never_used(config: Config, names: Iterable[str]) -> set[str]:
    """Give values as the same trades would have written them under another seed."""
    other = config.federation.seed + 1
    whose = SyntheticSource(other).first(config.organizations) if _dealt(config) else names
    return {
        value for name in whose for one in records(name, other) for value in one.personal if attacks.is_telling(value)
    }


def _dealt(config: Config) -> bool:
    return config.data.partition != "natural"


def _documents(text: PrivateText) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    return text.train, text.holdout


def _memberships(scores: Mapping[str, Sequence[attacks.Scores]]) -> list[Membership]:
    return attacks.memberships(scores) if any(own.members for name in scores for own in scores[name]) else []


def _added_up(every: Sequence[Sequence[PersonalFound]]) -> list[PersonalFound]:
    """Add up what was found of each kind under each adapter."""
    kinds = dict.fromkeys(one.what for own in every for one in own)
    return [attacks.together([one for own in every for one in own if one.what == what]) for what in kinds]


def _adapters(kept: Checkpoint) -> dict[str, Adapter]:
    """Give the adapter of all, or where the method keeps them each organization's own. Raises UserError."""
    if METHODS[kept.state["aggregation"]].keeps_b_at_home and kept.own:
        return dict(list(kept.own.items())[:MOST_ORGANIZATIONS])
    return {"": taken_home(kept, "")}


def asked_about(
    config: Config, kept: Checkpoint, adapters: Mapping[str, Adapter], left_out: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give whose text is asked about, and what is to be said of those that are not."""
    names = [name for name in kept.state["trained_by"] if "" in adapters or name in adapters]
    planted = [name for name in names if name in config.audit.organizations and name != left_out]
    first = [*(name for name in names if name == left_out), *planted]
    order = [*first, *shuffled(seeded("audited", config.federation.seed), [own for own in names if own not in first])]
    some = tuple(sorted(order[:MOST_ORGANIZATIONS]))
    if len(some) == len(names):
        return some, ()
    return some, (f"{len(some)} of the {len(names)} organizations that trained were asked about",)


def _texts(config: Config, names: Sequence[str], told: Mapping[str, int]) -> dict[str, PrivateText]:
    """Read organizations' text as the run did, without what was planted. Raises UserError."""
    texts = {}
    try:
        source = call_roster(config).source
        read = {name: _read(config, source, name) for name in names}
    except (UserError, KeyError, OSError) as error:
        said = str(error) if isinstance(error, UserError) else f"{error.args[-1]!r} is gone"
        raise UserError(f"an audit needs the text that was trained on, which cannot be read: {said}") from None
    for name in names:
        text = split(name, read.pop(name), config.data.holdout, config.federation.seed)
        copies = config.audit.repetitions if name in config.audit.organizations else 0
        if name in told and told[name] != text.documents + copies:
            raise UserError(
                f"organization {name}: it has {text.documents:,} documents now, and had {told[name] - copies:,}: "
                f"an audit needs the text that was trained on; bring it back as it was"
            )
        texts[name] = text
    return texts


def _read(config: Config, source: Source, name: str) -> Documents:
    place = config.data.joined.get(name)
    return source.documents(name) if place is None else elsewhere.documents(place, config.data)


def claimed(kept: Checkpoint, delta: float) -> float | None:
    """Give the epsilon that a checkpoint's adapter was charged, a fork's with its parent's; None: nothing was."""
    charges = charges_of(kept.state.get("privacy", ()))
    return spent(charges, delta).epsilon if charges else None


def _told(records: Iterable[Record]) -> dict[str, int]:
    """Give how many documents each organization had, as the run told it."""
    told: dict[str, int] = {}
    for record in records:
        event = record.event
        if isinstance(event, ev.OrgJoined | ev.OrgCounted) and event.documents is not None:
            told[event.org] = event.documents
    return told
