"""`bench robust`: what of a federation's gain is left when some organizations send wrong updates on purpose.

Every cell is a whole run: a defence (or none) against an attack (or none). Its gain, over the base and on the hold-outs
of the honest organizations alone, is told as a share of that of the run without attack and without defence. Everything
else is the same for all runs of a seed: text, start, batches, and who attacks. The server takes each round's aggregate
as it is, so that what is measured is the defence alone.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from fedlora_tui.aggregation.robust import DEFENCES
from fedlora_tui.benchmarks.attack import Attack, Attackers
from fedlora_tui.benchmarks.report import Cell, Report
from fedlora_tui.benchmarks.whole_run import RunFailed, check_combination, losses_at, plain_server, records_of
from fedlora_tui.config import Config
from fedlora_tui.errors import UserError
from fedlora_tui.lora.rows import generator_seed
from fedlora_tui.organizations.roster import call_roster
from fedlora_tui.protocol.events import Record

ORGANIZATIONS, ROUNDS = 15, 16
"""How many take part, and for how long, where the configuration does not say."""

NO_DEFENCE, CLEAN = "none", "clean"

ATTACKS: Mapping[str, Attack] = {
    "minus_10": Attack(times=-10.0),
    "times_100": Attack(times=100.0),
    "sign_flip": Attack(times=-1.0),
    "equal": Attack(equal=True),
}
PROMISED = ("minus_10", "times_100")
"""Against these every defence has to keep `KEPT` of the gain, and without one less than `SPOILT` of it is left."""

KEPT, SPOILT = 0.8, 0.5

HEADINGS = {
    "name": "defence",
    CLEAN: "no attack",
    "minus_10": "-10 x",
    "times_100": "100 x",
    "sign_flip": "-1 x",
    "equal": "all the same",
    "promise": "as promised",
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """One run: what the loss fell by on the honest organizations' hold-outs; None, and why, where it told none."""

    gain: float | None
    loss: float | None
    failure: str = ""


@dataclass(frozen=True)
class Robust:
    """The benchmark: a configuration, how many seeds, whom to tell, and what is tried against what."""

    config: Config
    seeds: int
    say: Say
    defences: tuple[str, ...] = (NO_DEFENCE, *DEFENCES)
    attacks: Mapping[str, Attack] = field(default_factory=lambda: ATTACKS)

    def report(self) -> Report:
        """Run every defence against every attack. Raises UserError where a run cannot begin."""
        config = undefended(self.config)
        names = call_roster(config).names
        config = with_attackers(config, len(names))
        federation, first = config.federation, config.federation.seed
        configs = {name: replace(config, federation=replace(federation, robust=name)) for name in self.defences}
        for each in configs.values():
            check_combination(each, len(names))
        found: dict[tuple[str, str], list[Outcome]] = {}
        notes = [self._protocol(config, len(names))]
        for seed in range(first, first + self.seeds):
            liars = attackers_of(names, federation.byzantine, seed)
            notes.append(f"seed {seed}: {', '.join(liars)} attack")
            for defence, each in configs.items():
                for attack in (CLEAN, *self.attacks):
                    self.say(f"seed {seed}: defence {defence}, attack {attack}")
                    seeded = replace(each, federation=replace(each.federation, seed=seed))
                    outcome = outcome_of(seeded, liars, self.attacks.get(attack))
                    found.setdefault((defence, attack), []).append(outcome)
                    if outcome.failure:
                        notes.append(f"seed {seed}, {defence}, {attack}: no gain to tell: {outcome.failure}")
        rows = [self._row(defence, found) for defence in self.defences]
        headings = {column: text for column, text in HEADINGS.items() if column in rows[0]}
        return Report("robust", rows, _ratios(rows), [*notes, *_missed(rows)], headings=headings)

    def _row(self, defence: str, found: Mapping[tuple[str, str], Sequence[Outcome]]) -> dict[str, Cell]:
        whole = found[NO_DEFENCE, CLEAN]
        name = self.config.federation.aggregation if defence == NO_DEFENCE else defence
        row: dict[str, Cell] = {"name": name, "defence": defence}
        for attack in (CLEAN, *self.attacks):
            own = found[defence, attack]
            row[attack] = _mean([share(each, of) for each, of in zip(own, whole, strict=True)])
            row[f"{attack}_loss"] = _mean([each.loss for each in own])
        row["promise"] = ", ".join("yes" if holds(defence, row[name]) else "no" for name in PROMISED if name in row)
        return row

    def _protocol(self, config: Config, organizations: int) -> str:
        federation = config.federation
        return (
            f"{federation.byzantine} of {organizations} organizations attack, {federation.rounds} rounds of "
            f"{federation.local_steps} steps, batches of {federation.batch_size}, learning rate "
            f"{federation.learning_rate:g}, {self.seeds} seed(s); cells: share of the gain over the base that "
            f"{federation.aggregation} has without attack and defence, on the hold-outs of those that do not attack"
        )


def undefended(config: Config) -> Config:
    """Give the configuration of a run without defence, with what was not set at what the benchmark measures."""
    given, federation = config.given, config.federation
    count = federation.organizations
    if config.data.source == "synthetic" and "federation.organizations" not in given:
        count, given = ORGANIZATIONS, given | {"federation.organizations"}
    federation = replace(
        federation,
        organizations=count,
        rounds=federation.rounds if "federation.rounds" in given else ROUNDS,
        fraction=1.0,
        fraction_evaluate=1.0,
        robust=NO_DEFENCE,
    )
    return plain_server(replace(config, federation=federation, given=given))


def with_attackers(config: Config, organizations: int) -> Config:
    """Let federation.byzantine of them attack, or as many as Bulyan bears, which needs 4f + 3 replies."""
    byzantine = config.federation.byzantine or (organizations - 3) // 4
    if byzantine < 1:
        raise UserError(
            f"bench robust: of {organizations} organizations none can attack: Bulyan needs 7 to bear one (--orgs 7)"
        )
    return replace(config, federation=replace(config.federation, byzantine=byzantine))


def attackers_of(names: Sequence[str], count: int, seed: int) -> list[str]:
    """Draw who attacks, from the seed."""
    return sorted(random.Random(generator_seed("attackers", seed, "", 0)).sample(sorted(names), count))


def outcome_of(config: Config, liars: Sequence[str], attack: Attack | None) -> Outcome:
    """Go through a run in which some lie. Raises UserError where it cannot begin, or nobody could lie in it."""
    attackers = Attackers(liars, attack) if attack else None
    failure = ""
    try:
        with attackers.at_work() if attackers else nullcontext():
            records: Sequence[Record] = records_of(config)
    except RunFailed as failed:
        records, failure = failed.records, str(failed)
    if attackers and not attackers.sent:
        raise UserError("bench robust: no attacker sent anything")
    base, last = losses_at(records, 0), losses_at(records, config.federation.rounds)
    honest = [name for name in base.tokens if name not in liars]
    loss = last.mean(honest)
    if not math.isfinite(loss):
        return Outcome(None, None, failure or "the run ended without a finite loss on every honest hold-out")
    return Outcome(base.mean(honest) - loss, loss)


def share(outcome: Outcome, whole: Outcome) -> float | None:
    """Give a run's gain as a share of another's; None where one of them has none."""
    if outcome.gain is None or whole.gain is None or whole.gain <= 0:
        return None
    return outcome.gain / whole.gain


def _mean(values: Sequence[float | None]) -> float | None:
    """Give the mean over seeds, None where one of them is missing."""
    told = [value for value in values if value is not None]
    return statistics.fmean(told) if len(told) == len(values) else None


def holds(defence: str, kept: Cell) -> bool:
    """Tell whether a share of the gain is as promised against an attack: of None, nothing was kept."""
    share = kept if isinstance(kept, float) else -math.inf
    return share < SPOILT if defence == NO_DEFENCE else share >= KEPT


def _ratios(rows: Sequence[Mapping[str, Cell]]) -> dict[str, Cell]:
    """Give, of what is promised, the least share that a defence kept and the largest that was left without one."""
    shares: dict[bool, list[Cell]] = {True: [], False: []}
    for row in rows:
        shares[row["defence"] == NO_DEFENCE] += [row[attack] for attack in PROMISED if attack in row]
    return {"least_kept": _extreme(min, shares[False]), "left_undefended": _extreme(max, shares[True])}


def _extreme(pick: Callable[[Sequence[float]], float], shares: Sequence[Cell]) -> float | None:
    """Give the least or largest share, None where a run told none."""
    numbers = [share for share in shares if isinstance(share, float)]
    return pick(numbers) if numbers and len(numbers) == len(shares) else None


def _missed(rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    """Say which cells are as promised, or which are not."""
    missed = [
        f"{row['name']} at {HEADINGS[attack]}"
        for row in rows
        for attack in PROMISED
        if attack in row and not holds(str(row["defence"]), row[attack])
    ]
    promise = f"at -10 x and 100 x every defence keeps {KEPT:.0%} or more, without one less than {SPOILT:.0%} is left"
    return [f"promised is: {promise}; {'not so: ' + ', '.join(missed) if missed else 'so it is'}"]
