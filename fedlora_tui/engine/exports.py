"""Exports of a run: which round is meant, whether it can be written, and writing it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fedlora_tui.aggregation import METHODS
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.checkpoint import Checkpoint
from fedlora_tui.engine.whole_folder import WITHIN, Kind, end_what_was_cut_off, written_whole
from fedlora_tui.errors import UserError
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.delta import as_adapter_total
from fedlora_tui.lora.export import CARD, MADE_BY, Origin, is_exported, write_adapter, write_merged
from fedlora_tui.privacy.statement import statement
from fedlora_tui.protocol.commands import Export
from fedlora_tui.protocol.events import AdapterExported

FOLDER = "exports"
EXPORT = Kind(owns=is_exported, last=CARD)


def chosen_round(run: Path, wanted: str) -> int:
    """Turn `latest`, `best` or a number into a finished round that has a checkpoint. Raises UserError."""
    finished = [round for round in checkpoint.rounds(run) if round > 0]
    if not finished:
        raise UserError(f"{run.name}: no round is finished yet")
    if wanted == "latest":
        return finished[-1]
    if wanted == "best":
        losses = {round: _loss(run, round) for round in finished}
        measured = {round: loss for round, loss in losses.items() if loss is not None}
        return min(measured, key=lambda round: (measured[round], round), default=finished[-1])
    if wanted.isdecimal() and int(wanted) in finished:
        return int(wanted)
    raise UserError(f"round {wanted} of {run.name}: allowed is latest, best, or {_spans(finished)}")


def _loss(run: Path, round: int) -> float | None:
    """Give a checkpoint's hold-out loss, None where it was not measured or the checkpoint is broken."""
    try:
        loss: float | None = checkpoint.read_state(run, round)["eval_loss"]
    except (OSError, ValueError, KeyError):
        return None
    return loss


def _spans(rounds: list[int]) -> str:
    return f"{rounds[0]}" if len(rounds) == 1 else f"one of {rounds[0]} to {rounds[-1]}"


def destination(run: Path, round: int, command: Export) -> Path:
    """Give the folder that an export is written to."""
    if command.out:
        return Path(command.out).expanduser()
    whose = f"-{command.org}" if command.org else ""
    return run / FOLDER / (checkpoint.name(round) + whose + ("-merged" if command.merged else ""))


def taken_home(kept: Checkpoint, org: str) -> Adapter:
    """Give the adapter that an export holds: with all that joined the base, so that it is what was measured.

    Raises UserError where a method keeps adapters of the organizations' own and none, or none of these, is named; and
    where one is named that no method keeps.
    """
    method = kept.state["aggregation"]
    if org and not METHODS[method].keeps_b_at_home:
        raise UserError(f"--org {org}: {method} keeps no adapter of an organization's own; leave --org out")
    if not METHODS[method].keeps_b_at_home:
        return as_adapter_total(kept.adapter, kept.delta)
    if org in kept.own:
        return kept.own[org]
    if not kept.own and kept.state["trained_by"]:
        raise UserError(
            f"organizations' own adapters of round {kept.round} were let go of: they stay of the newest rounds "
            f"(runs.keep_full), the best one and marked ones"
        )
    those = ", ".join(sorted(kept.own))
    if not org:
        raise UserError(f"with {method} each organization has an adapter of its own: name one with --org, of {those}")
    raise UserError(f"--org {org}: no such organization trained by then; there are {those}")


def write(run: Path, command: Export, base: BaseModel, settings: dict[str, Any]) -> AdapterExported:
    """Write what was asked for. Raises UserError where the round is not there or the folder cannot be written."""
    round = chosen_round(run, command.round)
    fault = checkpoint.fault(run, round)
    if fault is not None:
        raise UserError(f"round {round} of {run.name} cannot be exported: {fault}; name another with --round")
    kept = checkpoint.read(run, round)
    origin = _origin(run, kept.state, base, settings, own=bool(command.org))
    adapter = taken_home(kept, command.org)
    folder = destination(run, round, command)
    end_what_was_cut_off(run / FOLDER, CARD)
    try:
        with written_whole(folder, EXPORT) as new:
            _keep_what_is_there(folder)
            writer = write_merged if command.merged else write_adapter
            size = writer(new, adapter, base, origin)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written: {error.strerror or error}; name another folder with --out"
        ) from None
    return AdapterExported(round, str(folder), command.merged, size)


def _keep_what_is_there(folder: Path) -> None:
    """Refuse a folder that holds something other than an earlier export."""
    card = folder / CARD
    ours = card.is_file() and MADE_BY in card.read_text(encoding="utf-8", errors="replace")
    if ours or not folder.exists():
        return
    if not folder.is_dir() or any(entry.name != WITHIN for entry in folder.iterdir()):
        raise UserError(f"{folder}: is not empty, and nothing there is overwritten; name a new folder with --out")


def _origin(run: Path, state: Any, base: BaseModel, settings: dict[str, Any], own: bool) -> Origin:
    return Origin(
        run=run.name,
        round=state["round"],
        rounds=state["rounds"],
        aggregation=state["aggregation"],
        organizations=_named(state),
        base=base.name,
        base_loss=state["base_loss"],
        eval_loss=state["eval_loss"],
        train_loss=state["train_loss"],
        settings=settings,
        privacy=statement(state["config"].get("privacy", {}), state.get("privacy", ()), own),
    )


def _named(state: Any) -> tuple[str, ...]:
    """Give the organizations that a card names: those that trained, of a protected run all that were there.

    Who trained by an early round is who was drawn, and what is said of a protection counts on that being secret.
    """
    return tuple(sorted(state["organizations"] if state.get("privacy") else state["trained_by"]))


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Give the settings that a model card lists, from a configuration as plain tables."""
    federation = config["federation"]
    trained = ("local_steps", "local_epochs", "batch_size", "learning_rate", "fraction", "proximal_mu", "seed")
    served = (
        "server_optimizer",
        "server_learning_rate",
        "server_momentum",
        "server_warmup",
        "server_cooldown",
        "robust",
    )
    listed = {name: json.dumps(federation[name]) for name in (*trained, *served)}
    data = config["data"]
    return {
        **listed,
        "max_length": config["model"]["max_length"],
        "data": data["source"],
        "partition": data["partition"],
    }
