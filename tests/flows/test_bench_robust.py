"""`bench robust` over a small federation: whole runs with attackers, with a defence and without."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest
from rich.console import Console

from fedlora_tui.benchmarks import robust
from fedlora_tui.benchmarks.attack import Attack, Attackers
from fedlora_tui.benchmarks.command import print_report
from fedlora_tui.benchmarks.robust import (
    ATTACKS,
    ORGANIZATIONS,
    Outcome,
    Robust,
    attackers_of,
    holds,
    outcome_of,
    share,
    undefended,
    with_attackers,
)
from fedlora_tui.benchmarks.whole_run import RunFailed, losses_at, records_of
from fedlora_tui.config import load
from fedlora_tui.errors import UserError
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.protocol import events as ev
from tests.tiny_models import write_texts
from tests.tiny_runs import WatchedRun, configured, small_settings

NAMES = ("alpha", "beta", "delta", "epsilon", "eta", "gamma", "zeta")


@pytest.fixture
def config(tmp_path):
    write_texts(tmp_path / "texts", NAMES)
    return configured(small_settings(tmp_path), federation__learning_rate=0.02, federation__rounds=3)


def bench(config, defences, attacks, said=None):
    say = (said if said is not None else []).append
    return Robust(config, 1, say, defences, {name: ATTACKS[name] for name in attacks})


def test_a_hundredfold_update_spoils_a_plain_mean_and_no_median(config):
    said = []
    report = bench(config, ("none", "median"), ("times_100",), said).report()
    told = json.loads(report.to_json())
    assert told["bench"] == "robust"
    bare, defended = told["rows"]
    assert (bare["name"], defended["name"]) == ("fedit", "median")
    assert bare["clean"] == 1.0
    assert bare["times_100"] < 0.5 < 0.8 <= defended["times_100"]
    assert bare["times_100_loss"] > defended["times_100_loss"]
    assert (bare["promise"], defended["promise"]) == ("yes", "yes")
    assert told["ratios"] == {"least_kept": defended["times_100"], "left_undefended": bare["times_100"]}
    cells = [(defence, attack) for defence in ("none", "median") for attack in ("clean", "times_100")]
    assert said == [f"seed 7: defence {defence}, attack {attack}" for defence, attack in cells]
    console = Console(record=True, width=120, file=open("/dev/null", "w"))  # noqa: SIM115
    print_report(console, report)
    assert "so it is" in console.export_text()


def test_attackers_alone_are_poisoned_and_their_updates_are_so_much_longer(config):
    honest = {e.round: e for e in WatchedRun(config).go().told(ev.RoundAggregated)}
    attackers = Attackers(("beta", "eta"), Attack(times=-10.0))
    with attackers.at_work():
        poisoned = {e.round: e for e in WatchedRun(config).go().told(ev.RoundAggregated)}
    assert attackers.sent == 2 * config.federation.rounds
    before, after = honest[1].norms, poisoned[1].norms
    for name in NAMES:
        # B is zero at first, so a tenfold change is tenfold in what is linear in it, and more in the rest.
        longer = after[name] / before[name]
        assert longer > 5 if name in attackers.names else longer == pytest.approx(1.0)
    unharmed = WatchedRun(config).go().told(ev.RoundAggregated)
    assert [e.norms for e in unharmed] == [e.norms for e in honest.values()]


def test_equal_attackers_have_equal_updates_and_sign_flipped_ones_point_elsewhere(config):
    def first_round(attack):
        with Attackers(("beta", "eta"), attack).at_work():
            return WatchedRun(config).go().told(ev.RoundAggregated)[0]

    equal = first_round(ATTACKS["equal"]).norms
    assert equal["beta"] == equal["eta"] != equal["alpha"]
    cosines = first_round(ATTACKS["sign_flip"]).cosines
    attacking = {"beta", "eta"}
    assert max(cosines[name] for name in attacking) < min(cosines[name] for name in set(NAMES) - attacking)


def test_the_grid_is_as_before_when_attackers_are_done():
    before = LocalGrid.join, LocalGrid.send_and_receive
    with contextlib.suppress(KeyError), Attackers(("beta",), Attack()).at_work():
        assert before[1] is not LocalGrid.send_and_receive
        raise KeyError
    assert (LocalGrid.join, LocalGrid.send_and_receive) == before


def test_gain_is_that_of_honest_organizations(config):
    outcome = outcome_of(config, ("beta", "eta"), None)
    records = records_of(config)
    honest = [name for name in NAMES if name not in ("beta", "eta")]
    base, last = losses_at(records, 0), losses_at(records, config.federation.rounds)
    assert outcome.loss == pytest.approx(last.mean(honest), abs=1e-12)
    assert outcome.gain == pytest.approx(base.mean(honest) - last.mean(honest), abs=1e-12)
    assert outcome.loss != pytest.approx(last.mean(), abs=1e-9)


def test_a_run_that_fails_or_tells_no_loss_has_no_gain_and_says_why(config, monkeypatch):
    whole = records_of(config)
    begun = [r for r in whole if not isinstance(r.event, ev.OrgEvaluated) or r.event.round == 0]

    def fails(config):
        raise RunFailed("the run ended as failed: round 2: none of 7 replies could be used", begun)

    monkeypatch.setattr(robust, "records_of", fails)
    failed = outcome_of(config, ("beta",), None)
    assert (failed.gain, failed.loss) == (None, None)
    assert "none of 7 replies" in failed.failure
    monkeypatch.setattr(robust, "records_of", lambda config: begun)
    assert "without a finite loss" in outcome_of(config, ("beta",), None).failure
    assert share(failed, Outcome(1.0, 2.0)) is None
    assert share(Outcome(0.5, 2.0), Outcome(1.0, 2.0)) == 0.5
    assert share(Outcome(0.5, 2.0), Outcome(-1.0, 2.0)) is None
    report = bench(config, ("none",), ()).report()
    assert report.rows[0]["clean"] is None
    assert any("no gain to tell" in note for note in report.notes)


def test_an_attack_in_which_nobody_could_lie_is_no_attack(config, monkeypatch):
    whole = records_of(config)
    monkeypatch.setattr(robust, "records_of", lambda config: whole)
    with pytest.raises(UserError, match="no attacker sent anything"):
        outcome_of(config, ("beta",), Attack(times=-1.0))


def test_what_is_promised():
    assert holds("median", 0.8)
    assert not holds("median", 0.79)
    assert not holds("median", None)
    assert holds("none", 0.49)
    assert holds("none", None)
    assert not holds("none", 0.5)


def test_what_nobody_set_is_set_and_the_server_is_plain():
    usual = undefended(load(None))
    assert (usual.federation.organizations, usual.federation.rounds) == (ORGANIZATIONS, 16)
    assert (usual.federation.server_optimizer, usual.federation.server_cooldown) == ("none", 0.0)
    own = undefended(configured({}, federation__organizations=20, federation__rounds=5))
    assert (own.federation.organizations, own.federation.rounds) == (20, 5)
    assert with_attackers(usual, 15).federation.byzantine == 3
    assert with_attackers(usual, 7).federation.byzantine == 1
    assert with_attackers(configured({}, federation__byzantine=2), 7).federation.byzantine == 2
    with pytest.raises(UserError, match="of 6 organizations none can attack"):
        with_attackers(usual, 6)


def test_too_few_for_a_defence_is_told_before_the_first_run(config):
    said = []
    asked = replace(config, federation=replace(config.federation, byzantine=2))
    with pytest.raises(UserError, match=r"bulyan needs 4f\+3 replies"):
        Robust(asked, 1, said.append, ("none", "bulyan")).report()
    assert said == []


def test_who_attacks_is_drawn_from_the_seed():
    names = [f"org-{number:02}" for number in range(15)]
    drawn = {tuple(attackers_of(names, 3, seed)) for seed in range(8)}
    assert len(drawn) > 1
    assert all(len(set(three)) == 3 and set(three) <= set(names) for three in drawn)
    assert attackers_of(names, 3, 7) == attackers_of(names[::-1], 3, 7)
