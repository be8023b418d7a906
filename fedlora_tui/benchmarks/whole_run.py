"""A whole run in this process, by the engine's front door, and what its events told."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fedlora_tui.aggregation.combinations import unequal_ranks_refused, unworkable_config
from fedlora_tui.config import Config
from fedlora_tui.engine.run import Manner, Run
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.commands import Stop
from fedlora_tui.protocol.events import OrgEvaluated, Record

LAST_STEP_SECONDS = 5.0


class RunFailed(UserError):
    """A run that began and did not come to its end; `records` are those up to there."""

    def __init__(self, message: str, records: Sequence[Record]) -> None:
        super().__init__(message)
        self.records = records


@dataclass(frozen=True)
class Losses:
    """Hold-out losses of organizations by name, in nats a token, with the target tokens they are means over."""

    by_organization: Mapping[str, float]
    tokens: Mapping[str, int]
    seconds: float = 0.0

    def mean(self, names: Sequence[str] | None = None) -> float:
        """Mean over organizations (all, or the named) weighted by tokens, as a run's `eval_loss` is; nan of none."""
        chosen = list(self.by_organization) if names is None else names
        weight = sum(self.tokens[name] for name in chosen)
        return sum(self.by_organization[name] * self.tokens[name] for name in chosen) / weight if weight else math.nan


def records_of(config: Config) -> list[Record]:
    """Go through a run as `fedlora-tui run` does, in a folder that is gone afterwards; give its records in order.

    Raises UserError where it cannot begin, RunFailed where it fails.
    """
    with ended(config) as (_, records):
        return records


@contextmanager
def ended(config: Config) -> Iterator[tuple[Path, list[Record]]]:
    """Go through a run in the same way; give its folder, which is gone with the context, and its records in order."""
    records: list[Record] = []
    with tempfile.TemporaryDirectory(prefix="fedlora-tui-") as runs:
        run = Run(replace(config, runs=replace(config.runs, dir=runs)), Manner(patient=False))
        run.subscribe(records.append)
        run.start()
        try:
            run.wait()
        except KeyboardInterrupt:
            # A worker inside a native call would crash the interpreter at its end.
            run.send(Stop())
            run.wait(LAST_STEP_SECONDS)
            raise
        finally:
            run.close()
        if run.refusal is not None:
            raise UserError(run.refusal)
        if run.state.phase != "done" or run.folder is None:
            reason = run.state.reason or "no reason was told"
            raise RunFailed(f"the run ended as {run.state.phase}: {reason}", records)
        yield run.folder, records


def losses_at(records: Sequence[Record], round: int) -> Losses:
    """Give what every organization that measured the base measured in a round (0: the base); nan where it told none."""
    measured: dict[int, dict[str, OrgEvaluated]] = {0: {}, round: {}}
    for record in records:
        if isinstance(record.event, OrgEvaluated) and record.event.round in measured:
            measured[record.event.round][record.event.org] = record.event
    losses = {}
    for name in measured[0]:
        told = measured[round].get(name)
        losses[name] = math.nan if told is None or told.loss is None else told.loss
    return Losses(losses, {name: event.tokens for name, event in measured[0].items()})


def check_combination(config: Config, organizations: int) -> None:
    """Raise UserError where method, defence, server optimizer and ranks cannot work together, before anything runs."""
    lora, federation = config.lora, config.federation
    reason = unequal_ranks_refused(lora.default_rank, lora.own_ranks, federation) or unworkable_config(
        federation, organizations
    )
    if reason is not None:
        raise UserError(reason)


def plain_server(config: Config) -> Config:
    """Give the configuration with a server that takes each round's mean as it is, as every method can bear."""
    federation = replace(
        config.federation, server_optimizer="none", server_learning_rate=1.0, server_warmup=0, server_cooldown=0.0
    )
    return replace(config, federation=federation)
