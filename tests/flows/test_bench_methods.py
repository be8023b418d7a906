"""`bench quality --methods` over a small federation: a row a method, each the run that it says."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from fedlora_tui import cli
from fedlora_tui.aggregation import METHODS
from fedlora_tui.benchmarks import command, methods
from fedlora_tui.benchmarks.command import print_report
from fedlora_tui.benchmarks.methods import Methods, Outcome, outcome_of, row_of
from fedlora_tui.benchmarks.report import Report
from fedlora_tui.benchmarks.whole_run import RunFailed, records_of
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings


@pytest.fixture
def config(tmp_path):
    return configured(small_settings(tmp_path), federation__learning_rate=0.02)


def bench(config, names, **changes):
    asked = {"seeds": 1, "partitions": ("natural",), "rates": (0.02,), "say": lambda text: None}
    return Methods(config, names, **asked | changes)


def test_every_method_has_a_row_of_what_its_run_told(config):
    report = bench(config, tuple(METHODS)).report()
    rows = {row["method"]: row for row in report.rows}
    assert list(rows) == list(METHODS)
    for name, row in rows.items():
        watched = WatchedRun(replace(config, federation=replace(config.federation, aggregation=name))).go()
        finished = watched.told(ev.RoundFinished)
        assert row["loss"] == pytest.approx(finished[-1].eval_loss, abs=1e-12)
        assert row["gain"] == pytest.approx(row["base"] - row["loss"])
        assert row["drift"] == pytest.approx(sum(e.drift for e in finished) / len(finished), abs=1e-12)
        assert row["mib_up"] * methods.MIB == pytest.approx(sum(e.bytes_up for e in finished) / len(finished))
        assert row["mib_down"] * methods.MIB == pytest.approx(sum(e.bytes_down for e in finished) / len(finished))
        assert row["seconds"] > row["round_seconds"] > 0
        assert row["of_fedit"] == pytest.approx(row["gain"] / rows["fedit"]["gain"])
        assert (row["loss_spread"], row["failed"], row["learning_rate"]) == (None, 0, 0.02)
    assert json.loads(report.to_json())["ratios"]["of_fedit"]["natural fedit"] == 1.0


def test_the_server_is_plain_and_fedit_with_its_own_is_a_row_more(config):
    moved = replace(config, federation=replace(config.federation, server_optimizer="fedavgm", server_momentum=0.9))
    rows = {row["name"]: row for row in bench(moved, ("fedit", "flora")).report().rows}
    assert list(rows) == ["natural fedit", "natural fedit, fedavgm", "natural flora"]
    assert rows["natural fedit"]["loss"] == outcome_of(config).loss
    assert rows["natural fedit, fedavgm"]["loss"] == outcome_of(moved).loss != rows["natural fedit"]["loss"]


def test_rates_are_tried_on_the_first_seed_alone_and_the_best_is_kept(config):
    said = []
    (row,) = bench(config, ("ffa",), seeds=2, rates=(1e-6, 0.02), say=said.append).report().rows
    assert row["learning_rate"] == 0.02
    assert row["loss_spread"] > 0
    assert row["of_fedit"] is None
    assert [text.split(":")[0] for text in said] == ["natural, seed 7", "natural, seed 7", "natural, seed 8"]


def test_what_cannot_work_together_is_refused_before_the_first_run(config):
    said = []
    defended = replace(config, federation=replace(config.federation, robust="median", byzantine=1))
    with pytest.raises(UserError, match="it goes with fedit, ffa"):
        bench(defended, ("fedit", "flora"), say=said.append).report()
    assert said == []


def test_a_method_whose_run_fails_or_tells_no_loss_is_shown_without_one(config, monkeypatch):
    records = records_of(config)
    before_the_last = [r for r in records if not isinstance(r.event, ev.OrgEvaluated) or r.event.round < 2]
    whole = {"fedit": records, "ffa": before_the_last}

    def run(config):
        if config.federation.aggregation == "flora":
            raise RunFailed("the run ended as failed: round 2: nan", [])
        return whole[config.federation.aggregation]

    monkeypatch.setattr(methods, "records_of", run)
    report = bench(config, ("fedit", "ffa", "flora")).report()
    fedit, ffa, flora = report.rows
    assert (fedit["of_fedit"], fedit["failed"]) == (1.0, 0)
    for row in (ffa, flora):
        assert (row["loss"], row["gain"], row["of_fedit"], row["failed"]) == (None, None, None, 1)
    assert ffa["drift"] == fedit["drift"]
    assert "natural ffa, seed 7: the run ended without a finite loss on every hold-out" in report.notes
    assert "natural flora, seed 7: the run ended as failed: round 2: nan" in report.notes
    console = Console(record=True, width=160, file=open("/dev/null", "w"))  # noqa: SIM115
    print_report(console, report)
    assert "natural flora" in console.export_text()


def outcome(loss, failure=""):
    return Outcome(5.0, loss, (0.1, 0.3), (2**20, 3 * 2**20), (2**21, 2**21), (9.0, 1.0, 3.0), 20.0, failure)


def test_a_row_is_over_seeds_and_one_failure_leaves_no_loss():
    found = {
        "fedit": [outcome(4.0), outcome(3.0)],
        "fair": [outcome(4.5), outcome(3.0)],
        "fedex": [outcome(4.0), outcome(math.nan, "no")],
    }
    row = row_of("natural", "fair", 0.01, found)
    assert (row["loss"], row["gain"], row["of_fedit"]) == (3.75, 1.25, 0.75)
    assert row["loss_spread"] == pytest.approx(1.5 / math.sqrt(2))
    assert row["of_fedit_spread"] == pytest.approx(0.5 / math.sqrt(2))
    assert (row["drift"], row["mib_up"], row["mib_down"], row["round_seconds"]) == (0.2, 2.0, 2.0, 2.0)
    broken = row_of("natural", "fedex", 0.01, found)
    assert (broken["loss"], broken["failed"], broken["drift"]) == (None, 1, 0.2)
    assert row_of("natural", "fedit", 0.01, {"fedit": found["fedex"]})["of_fedit"] is None


def asked_by(monkeypatch, *words):
    """What the command line asks of a benchmark."""
    taken = []

    def take(asked, say):
        taken.append(asked)
        return Report("x", [{"name": "a"}], {})

    monkeypatch.setattr(command, "BENCHES", dict.fromkeys(command.BENCHES, take))
    assert cli.main(["bench", *words, "--json"]) == 0
    return taken[0]


def test_the_command_line_asks_for_methods_at_one_rate_on_natural_text(monkeypatch, capsys):
    asked = asked_by(monkeypatch, "quality", "--methods", "all")
    assert asked.methods == tuple(METHODS)
    assert (asked.partitions, asked.rates, asked.seeds) == (("natural",), (6e-3,), 3)
    some = asked_by(monkeypatch, "quality", "--methods", "ffa,fedit", "--partitions", "iid", "--rates", "1e-3,2e-3")
    assert (some.methods, some.partitions, some.rates) == (("ffa", "fedit"), ("iid",), (1e-3, 2e-3))
    ways = asked_by(monkeypatch, "quality")
    assert (ways.methods, ways.partitions, len(ways.rates)) == ((), ("natural", "iid", "quantity"), 3)
    assert asked_by(monkeypatch, "robust").seeds == 1
    assert cli.main(["bench", "quality", "--methods", "fedavg"]) == 2
    assert "allowed are all, or fedit, ffa" in capsys.readouterr().err


def test_the_command_line_names_every_benchmark():
    assert tuple(cli.BENCHES) == tuple(command.BENCHES)
