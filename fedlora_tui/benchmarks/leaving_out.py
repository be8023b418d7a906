"""A run gone through again and again, with an organization and without it, for an attack that tells which is which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedlora_tui.benchmarks.whole_run import ended
from fedlora_tui.config import Config
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.exports import taken_home
from fedlora_tui.errors import UserError
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.privacy.audit.statistics import epsilon_lower_bound
from fedlora_tui.protocol.audits import LeftOut
from fedlora_tui.protocol.events import PrivacySpent
from fedlora_tui.protocol.spent import last_spent

NEVER_ANSWERS = "crash"
"""The fault of an organization that is left out: all stays as it was, but that nothing of it comes."""

Score = Callable[[BaseModel, Adapter], float]
"""Gives what an attack thinks of an adapter: the higher, the more likely the organization took part."""


@dataclass(frozen=True)
class Repeated:
    """What the attack gave each run with the organization and each without, and what the runs said they had spent."""

    with_it: Sequence[float]
    without: Sequence[float]
    spent: PrivacySpent | None


def check(config: Config, name: str, names: Sequence[str], runs: int) -> None:
    """Refuse, with a UserError, what cannot be repeated."""
    if name not in names:
        some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise UserError(f"--leave-out {name}: no such organization took part; there are {some}")
    if runs < 4:
        raise UserError(f"--runs {runs}: half of them set the attack's threshold, half judge it; 4 are needed at least")
    others = len(names) - 1
    if others < max(config.federation.min_organizations, config.federation.min_replies):
        raise UserError(f"--leave-out {name}: {others} are left, and a round needs more (federation.min_organizations)")


def repeated(
    config: Config, name: str, runs: int, score: Score, base: BaseModel, say: Callable[[int], None]
) -> Repeated:
    """Go through as many runs of each kind, by turns; all seeds stay, so that they differ by their noise alone.

    Raises UserError where one does not come to its end.
    """
    found: dict[bool, list[float]] = {True: [], False: []}
    spent: PrivacySpent | None = None
    for number in range(2 * runs):
        took_part = number % 2 == 0
        with ended(_as_asked(config, name, took_part)) as (folder, records):
            found[took_part].append(score(base, _last_adapter(folder)))
        spent = last_spent(records) if took_part else spent
        say(number + 1)
    return Repeated(found[True], found[False], spent)


def judged(name: str, found: Repeated, score: str) -> LeftOut:
    """Give the bound on epsilon that the scores show, beside the one that was claimed."""
    delta = found.spent.delta if found.spent is not None else 0.0
    epsilon = epsilon_lower_bound(found.with_it, found.without, delta)
    claimed = found.spent.epsilon if found.spent is not None else None
    return LeftOut(name, len(found.with_it), epsilon, claimed, delta, score)


def _as_asked(config: Config, name: str, took_part: bool) -> Config:
    """Give the run's configuration, with noise that differs each time; neither silence nor noise ends a run early."""
    faults = {**config.faults} if took_part else {**config.faults, name: NEVER_ANSWERS}
    federation = replace(config.federation, quarantine_after=0, divergence_margin=0.0)
    privacy = replace(config.privacy, seeded_noise=False)
    return replace(config, faults=faults, federation=federation, privacy=privacy)


def _last_adapter(folder: Path) -> Adapter:
    return taken_home(checkpoint.read(folder, checkpoint.rounds(folder)[-1]), "")
