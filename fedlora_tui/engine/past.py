"""What a run goes on from: its newest whole checkpoint, and what its journal says that was asked for since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlora_tui.config import RULES, Config, to_literal, to_mapping
from fedlora_tui.engine import journal
from fedlora_tui.engine.folder import CONFIG, parent_place
from fedlora_tui.engine.steering import Outstanding
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.naming import called

if TYPE_CHECKING:
    from fedlora_tui.engine.checkpoint import Checkpoint
    from fedlora_tui.engine.prepare import Stood
    from fedlora_tui.lora.adapter import Adapter

TURNED = ("lora", "federation")
"""The sections whose keys may be turned while a run goes on."""

ITS_PLACE = (
    "console.",
    "superlink.",
    "runs.",
    "model.base",
    "model.device",
    "model.gradient_checkpointing",
    "data.path",
    "data.joined",
    "data.readers",
)
"""Keys, and sections, of a run's config.toml that may be others where it goes on: where things lie, how they look."""

TERMINATED = "terminated"
"""Why a run was stopped that the machine ended, and not its operator: what was asked for still is."""


@dataclass(frozen=True)
class Fork:
    """A run that a new one begins from, as it was after a finished round."""

    folder: Path
    round: int


@dataclass(frozen=True)
class Losses:
    """A round's losses: of training, of what it left behind on the hold-outs, and of the base alone on them."""

    train: float | None = None
    evaluated: float | None = None
    base: float | None = None


@dataclass(frozen=True)
class Past:
    """Where a run goes on: after the round of its checkpoint, or from its begin where it has none.

    `records` are the journal's; `outstanding` is what was asked for and is not done; `told` is the end of that round
    where the journal lacks it; `warnings` say which checkpoints are broken, `reason` what ended the run.
    """

    records: Sequence[Record]
    started: ev.RunStarted
    checkpoint: Checkpoint | None
    outstanding: Outstanding
    reason: str
    told: ev.RoundFinished | None = None
    warnings: tuple[str, ...] = ()
    parent: Fork | None = None

    @property
    def round(self) -> int:
        """The round after which it goes on."""
        return self.outstanding.round

    @property
    def organizations(self) -> tuple[str, ...]:
        """Who takes part: of a run without a checkpoint, who began it."""
        return tuple(self.state.get("organizations", self.started.orgs))

    @property
    def counted(self) -> list[ev.Event]:
        """The events up to the end of that round that count: no half round, and each round as it was gone through last.

        Whatever is added up of events from round to round can be added up again from these.
        """
        ends: dict[int, int] = {}
        kept: list[ev.Event] = []
        for record in self.records:
            event = record.event
            if isinstance(event, ev.RunContinued):
                kept = kept[: ends.get(event.round, 0)]
            kept.append(event)
            if isinstance(event, ev.RoundFinished | ev.RunContinued):
                ends[event.round] = len(kept)
            elif isinstance(event, ev.CheckpointWritten) and event.round == 0:
                ends[0] = len(kept)
        return kept if self.told is not None else kept[: ends.get(self.round, 0)]

    @property
    def losses(self) -> Losses:
        """The losses of that round."""
        return Losses(*(self.state.get(name) for name in ("train_loss", "eval_loss", "base_loss")))

    @property
    def state(self) -> Mapping[str, Any]:
        """What the checkpoint knows of the run."""
        return self.checkpoint.state if self.checkpoint is not None else {}


def look_back(folder: Path) -> Past:
    """Find out from where a run goes on, and remove what a write left that never ended. Raises UserError.

    The run is held by its lock while this looks.
    """
    from fedlora_tui.engine.checkpoint import remove_torn

    remove_torn(folder)
    records = read_journal(folder)
    started = next((record.event for record in records if isinstance(record.event, ev.RunStarted)), None)
    if started is None:
        raise UserError(f"run {folder.name}: its journal has no begin: there is nothing to go on from")
    kept, broken = newest_whole(folder)
    if kept is None and broken:
        raise UserError(f"run {folder.name}: none of its checkpoints is whole, the first: {broken[0]}: start it anew")
    if kept is None:
        outstanding = _outstanding(records, Outstanding(0))
        parent = Fork(parent_place(folder, started.parent), started.parent_round or 0) if started.parent else None
        return Past(records, started, None, outstanding, _why(records), parent=parent)
    state = kept.state
    asked = Outstanding(
        kept.round, state["seq"], tuple(ev.Waiting(**waiting) for waiting in state["waiting"]), state["finish"]
    )
    warnings = _in_words(broken, f"the run goes on after round {kept.round} instead")
    told = None if kept.round == 0 or kept.round in _finished(records) else _round_finished(state)
    return Past(records, started, kept, _outstanding(records, asked), _why(records), told, warnings)


def check_as_begun(folder: Path, config: Config, begun: Mapping[str, Any]) -> None:
    """Make sure that a run's config.toml still is what the run began with, as its journal has it. Raises UserError.

    Another hold-out, say, would be measured on what was trained on.
    """
    now = json.loads(json.dumps(to_mapping(config)))
    for section, keys in begun.items():
        for key, before in keys.items():
            name, value = f"{section}.{key}", now.get(section, {}).get(key, before)
            if value != before and not name.startswith(ITS_PLACE):
                raise UserError(
                    f"{folder / CONFIG}: {name} = {to_literal(value)}, and the run began with {to_literal(before)}: "
                    f"put it back; fedlora-tui fork {called(folder)} makes a run with changes"
                )


def read_journal(folder: Path) -> list[Record]:
    """Read a run's whole journal. Raises UserError where it is not there or is broken."""
    try:
        return list(journal.read(folder))
    except OSError as error:
        raise UserError(f"{folder / journal.NAME}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{folder / journal.NAME}: a line is no event: {error}; cut it out to go on") from None


def newest_whole(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Give the newest checkpoint that a run can go on from, and what is wrong with newer ones."""
    from fedlora_tui.engine import checkpoint

    broken: list[str] = []
    for round in reversed(checkpoint.rounds(folder)):
        fault = checkpoint.fault(folder, round)
        if fault is not None:
            broken.append(fault)
        elif checkpoint.is_full(folder, round):
            return checkpoint.read(folder, round), broken
    return None, broken


def parent_of(fork: Fork) -> Checkpoint:
    """Read the round that a fork begins from. Raises UserError where it is not whole."""
    from fedlora_tui.engine import checkpoint

    finished = [round for round in checkpoint.rounds(fork.folder) if round > 0]
    if fork.round not in finished:
        allowed = f"one of {finished[0]} to {finished[-1]}" if finished else "none yet: no round is finished"
        raise UserError(f"--round {fork.round}: no such round of {fork.folder.name}; allowed is {allowed}")
    fault = checkpoint.fault(fork.folder, fork.round)
    if fault is not None:
        raise UserError(f"round {fork.round} of {fork.folder.name}: checkpoint {fault}; name another with --round")
    return checkpoint.read(fork.folder, fork.round)


def stood_by(state: Mapping[str, Any]) -> Stood | None:
    """Give how a run's numbers were added up; torch gets as many threads as it had. None without a checkpoint."""
    if not state:
        return None
    import torch

    from fedlora_tui.engine.prepare import Stood

    torch.set_num_threads(state["threads"])
    return Stood(state["cohort"], state["lanes"])


def run_continued(
    round: int,
    reason: str,
    organizations: Sequence[str],
    config: Config,
    adapter: Adapter,
    outstanding: Outstanding,
    losses: Losses,
) -> ev.RunContinued:
    """Tell how a run stands that goes on."""
    from fedlora_tui.engine.workable import rank_terms

    keeps_rank, unequal_ranks = rank_terms(config)
    return ev.RunContinued(
        round=round,
        reason=reason,
        orgs=tuple(organizations),
        rounds=config.federation.rounds,
        rank=config.lora.default_rank,
        ranks=config.lora.own_ranks,
        learning_rate=config.federation.learning_rate,
        aggregation=config.federation.aggregation,
        trainable=adapter.parameters,
        keeps_rank=keeps_rank,
        unequal_ranks=unequal_ranks,
        waiting=outstanding.waiting,
        train_loss=losses.train,
        eval_loss=losses.evaluated,
        base_loss=losses.base,
    )


def as_turned(config: Config, state: Mapping[str, Any]) -> Config:
    """Give a run's configuration as its knobs stood at a checkpoint."""
    for section in TURNED if state else ():
        values = {
            name: RULES[f"{section}.{name}"].take(value)
            for name, value in state["config"][section].items()
            if f"{section}.{name}" in RULES
        }
        config = replace(config, **{section: replace(getattr(config, section), **values)})
    if not state:
        return config
    return with_joined(replace(config, faults=dict(state["config"].get("faults", {}))), state)


def with_joined(config: Config, state: Mapping[str, Any]) -> Config:
    """Give a run's configuration with where the texts lie of those that joined from elsewhere up to a checkpoint."""
    if not state:
        return config
    return replace(config, data=replace(config.data, joined=dict(state["config"]["data"].get("joined", {}))))


def _in_words(broken: Iterable[str], instead: str) -> tuple[str, ...]:
    return tuple(f"checkpoint {fault}: {instead}" for fault in broken)


def _outstanding(records: Sequence[Record], asked: Outstanding) -> Outstanding:
    """Lay over what waited at a checkpoint what was asked for, or taken back, since."""
    waiting, finish = list(asked.waiting), asked.finish
    for record in records:
        event = record.event
        if record.seq <= asked.seq:
            continue
        if isinstance(event, ev.RunFinishing) and event.reason:
            finish = event.round
        elif isinstance(event, ev.RunStopped) and event.reason != TERMINATED:
            finish = None
        elif isinstance(event, ev.CommandAcknowledged) and event.command == "undo":
            _take_back(waiting, event.value)
        elif isinstance(event, ev.CommandAcknowledged) and event.takes_effect_round is not None:
            waiting.append(ev.Waiting(event.command, event.value, event.takes_effect_round, event.before))
    return replace(asked, waiting=tuple(waiting), finish=finish)


def _take_back(waiting: list[ev.Waiting], taken: Mapping[str, Any]) -> None:
    """Take the last change out that an `undo` names."""
    from fedlora_tui.engine.knobs import change_of

    for place in reversed(range(len(waiting))):
        change = change_of(waiting[place])
        if (change.command, change.org, change.to) == (taken["command"], taken["org"], taken.get("value")):
            del waiting[place]
            return


def _finished(records: Sequence[Record]) -> set[int]:
    """Give the rounds whose end a journal tells, but those that were gone through once more and not ended since."""
    found: set[int] = set()
    for record in records:
        event = record.event
        if isinstance(event, ev.RoundFinished):
            found.add(event.round)
        elif isinstance(event, ev.RunContinued):
            found = {round for round in found if round <= event.round} | {event.round}
    return found


def _round_finished(state: Mapping[str, Any]) -> ev.RoundFinished | None:
    finished = state.get("finished")
    return ev.RoundFinished(**{**finished, "orgs": tuple(finished["orgs"])}) if finished else None


def _why(records: Sequence[Record]) -> str:
    """Say what ended a run the last time."""
    for record in reversed(records):
        match record.event:
            case ev.RunFailed(reason=reason):
                return f"it failed: {reason}"
            case ev.RunStopped(reason=reason):
                return f"it was {reason}" if reason in ("interrupted", TERMINATED) else f"it was stopped: {reason}"
            case ev.RoundStarted() | ev.TrainStep() | ev.RunContinued() | ev.RunStarted() | ev.RoundFinished():
                break
    return "its process ended without a word"
