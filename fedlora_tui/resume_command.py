"""`fedlora-tui resume` and `fork`: which run is meant, whether it can go on, and what a fork may change."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fedlora_tui.config import RULES, Config, Setting, load, to_literal
from fedlora_tui.engine import journal, lock
from fedlora_tui.engine.folder import CONFIG, find, read_config
from fedlora_tui.engine.knobs import value_of
from fedlora_tui.engine.listing import summary
from fedlora_tui.engine.past import Fork
from fedlora_tui.engine.race import Entry
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.naming import called

FREE = (
    "federation.",
    "superlink.",
    "console.",
    "runs.",
    "lora.rank",
    "lora.dropout",
    "data.readers",
    "model.gradient_checkpointing",
)
"""What a fork may change: keys, and sections with all their keys."""

KEPT_BY_A_FORK = {
    "federation.organizations": "who takes part is the parent's at that round: add or drop while it runs",
    "federation.seed": "hold-outs are split by it: what was trained on would be measured on",
    "federation.runtime": "it is the parent's",
    "lora.": "the adapter that it begins with has these layers and this scale",
    "model.": "the adapter that it begins with belongs to this base",
    "data.": "what was held out from training so far would not be what is held out then",
    "privacy.": "what was spent so far was spent under it",
    "audit.": "what was planted so far was learned",
}
"""Why a fork cannot change a key, by the key or its section."""


def finished(runs: Path, run: str | None) -> str | None:
    """Say that a run is done and has nothing to go on with; None where it can go on.

    Raises UserError where it is not there or is being written.
    """
    folder = find(runs, run)
    # Looked at before its journal is read: a run that ends meanwhile is done, and not gone on with.
    written = lock.held(folder)
    told = summary(folder)
    if told.state != "done":
        if written:
            raise UserError(lock.refusal(folder))
        return None
    more = f"fedlora-tui fork {called(folder)} --round {told.round} --rounds {told.round + 10} goes on from there"
    return f"run {folder.name} is done: round {told.round} of {told.rounds}; {more}"


def continued(runs: Path, run: str | None) -> list[Entry]:
    """Give the run that is to go on. Raises UserError where it is not there or is being written."""
    folder = find(runs, run)
    if lock.held(folder):
        raise UserError(lock.refusal(folder))
    return [Entry(read_config(folder), continues=folder)]


def forked(runs: Path, run: str | None, round: int, settings: Sequence[Setting]) -> list[Entry]:
    """Give a new run that begins with a finished round of another one, with changes. Raises UserError."""
    folder = find(runs, run)
    _check_version(folder)
    for setting in settings:
        _check_free(setting)
    from fedlora_tui.engine.past import as_turned, parent_of

    fork = Fork(folder, round)
    parent = as_turned(read_config(folder), parent_of(fork).state)
    # A fork has a name of its own, and its folder stands beside its parent's.
    parent = replace(parent, runs=replace(parent.runs, name="", dir=str(runs)))
    config = load(None, [*_as_settings(parent, folder), *settings])
    _check_rank(parent, config)
    _check_round(config, round)
    return [Entry(_with_rank_of(parent, config), fork=fork)]


def _check_version(folder: Path) -> None:
    """Refuse a run that a newer version has written to; what else its journal holds is no matter for a fork."""
    with suppress(OSError, ValueError):
        for line in journal.lines_from_end(folder):
            journal.parsed(line, folder)
            break


def _as_settings(config: Config, folder: Path) -> list[Setting]:
    """Give every key of a run as a setting, so that others can be laid over it."""
    return [Setting(name, to_literal(value_of(config, name)), str(folder / CONFIG)) for name in RULES]


def _check_free(setting: Setting) -> None:
    if setting.name in KEPT_BY_A_FORK:
        raise UserError(f"{setting.flag}: a fork cannot change {setting.name}: {KEPT_BY_A_FORK[setting.name]}")
    if setting.name not in RULES:
        return  # it is told with the nearest key when all are read
    if setting.name.startswith(FREE) and not setting.name.startswith("lora.rank_"):
        return
    reason = next((why for section, why in KEPT_BY_A_FORK.items() if setting.name.startswith(section)), None)
    if reason is not None:
        raise UserError(f"{setting.flag}: a fork cannot change {setting.name}: {reason}")


def _check_rank(parent: Config, config: Config) -> None:
    """Refuse what the parent's method cannot give, or the fork's cannot take."""
    from fedlora_tui.aggregation import METHODS

    before, after = METHODS[parent.federation.aggregation], METHODS[config.federation.aggregation]
    if parent.lora.rank != config.lora.rank:
        if before.keeps_rank:
            raise UserError(f"lora.rank: a fork cannot change it: {before.name} keeps its rank")
        if config.lora.rank_pattern:
            raise UserError("lora.rank: a fork cannot change it beside lora.rank_pattern; turn it in the run")
    if before.keeps_b_at_home != after.keeps_b_at_home:
        raise UserError(
            f"federation.aggregation: a fork of {before.name} cannot go on with {after.name}: one keeps B with the "
            f"organizations, the other with the server"
        )


def _check_round(config: Config, round: int) -> None:
    if config.federation.rounds <= round:
        raise UserError(
            f"federation.rounds = {config.federation.rounds}: the fork begins with round {round}, so it would be done; "
            f"set more, like --set federation.rounds={round + 10}"
        )


def _with_rank_of(parent: Config, config: Config) -> Config:
    """Let alpha move with the rank, as it does where the rank is turned: every scale stays."""
    before, after = parent.lora.default_rank, config.lora.default_rank
    alpha = parent.lora.alpha if before == after else parent.lora.alpha * after / before
    return replace(config, lora=replace(config.lora, alpha=alpha))
