"""`bench rounds` over a small federation: a row a number, each a run of its own, and bars below the table."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from fedlora_tui.benchmarks import rounds
from fedlora_tui.benchmarks.command import drawn, print_report
from fedlora_tui.benchmarks.process import Ended
from fedlora_tui.benchmarks.rounds import Costs, knowing, ranked, row_of, together
from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE
from fedlora_tui.engine.sampling import measured, sampled
from fedlora_tui.errors import UserError
from tests.tiny_runs import configured, small_settings


@pytest.fixture
def config(tmp_path):
    return configured(small_settings(tmp_path))


def costs(config, organizations=(), ranks=(), cohorts=()):
    return Costs(config, organizations, ranks, cohorts, lambda text: None)


def ended(seconds):
    """A run's output: a round took so many seconds."""
    events = [
        {"type": "round_started", "t": 10.0},
        {"type": "round_finished", "t": 11.0, "seconds": 9.0, "tokens": 100},
        {"type": "telemetry", "t": 11.5, "gpus": [{"memory_ours": 2**22}, {"memory_ours": None}]},
        {"type": "round_started", "t": 12.0},
        {"type": "round_finished", "t": 14.0, "seconds": seconds, "tokens": 100},
        {"type": "run_finished", "t": 14.0},
    ]
    return Ended(20.0, 2**21, "".join(json.dumps(event) + "\n" for event in events))


def test_a_row_is_a_run_of_its_own(config):
    report = costs(config, organizations=(3,)).report()
    told = json.loads(report.to_json())
    assert told["bench"] == "rounds"
    (row,) = told["rows"]
    assert row["name"] == "organizations 3"
    assert row["round_seconds"] > 0
    assert row["tokens_per_second"] > 0
    assert row["memory_mib"] > 50
    assert told["ratios"] == {"organizations": {"3": 1.0}}


def test_rows_ratios_and_bars_go_by_axis(config, monkeypatch):
    seconds = iter([1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(rounds, "run_process", lambda name, arguments: ended(next(seconds)))
    report = costs(config, ranks=(1, 4), cohorts=(1, 2)).report()
    assert [row["name"] for row in report.rows] == ["rank 1", "rank 4", "cohort 1", "cohort 2"]
    assert report.ratios == {"rank": {"1": 1.0, "4": 2.0}, "cohort": {"1": 1.0, "2": 4 / 3}}
    assert report.bars["seconds a round, by cohort"] == [("1", 3.0), ("2", 4.0)]
    console = Console(record=True, width=80, file=open("/dev/null", "w"))  # noqa: SIM115
    print_report(console, report)
    shown = console.export_text()
    assert "a round s" in shown
    assert "seconds a round, by rank" in shown


def test_a_row_counts_the_rounds_after_the_first_and_what_the_start_took():
    row = row_of("rank", 4, ended(2.0))
    assert row["round_seconds"] == 2.0
    assert row["tokens_per_second"] == 50.0
    assert row["start_seconds"] == 16.0
    assert row["memory_mib"] == 2.0
    assert row["gpu_mib"] == 4.0


@pytest.mark.parametrize("known", [3, 10, 100, 1000, 10_000])
def test_as_many_train_and_measure_however_many_are_known(config, known):
    found = knowing(config, known).federation
    names = [f"organization-{number}" for number in range(known)]
    trained = min(10, known)
    assert len(sampled(names, found.fraction, found.min_organizations, 7, 1)) == trained
    assert len(measured(names, found.fraction_evaluate, 7)) == trained


def test_alpha_grows_with_the_rank_and_the_scale_stays(config):
    for rank in (1, 64):
        lora = ranked(config, rank).lora
        assert lora.rank == rank
        assert lora.alpha / lora.rank == config.lora.alpha / config.lora.rank


def test_a_cohort_is_filled(config):
    found = together(config, 2, 16).federation
    assert (found.cohort, found.organizations, found.fraction) == (2, 16, 1.0)


def test_nothing_to_go_through_is_said(config):
    with pytest.raises(UserError, match="nothing to go through"):
        costs(config).report()


def test_bars_are_as_long_as_their_values_in_the_terminals_own_signs():
    assert drawn([("1", 1.0), ("10", 2.0)], 4, UNICODE) == [" 1 ██   1", "10 ████ 2"]
    assert all(line.isascii() for line in drawn([("1", 1.0)], 4, ASCII))
    assert drawn([("1", 0.0)], 4, ASCII) == ["1      0"]
