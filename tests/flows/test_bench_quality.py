"""`bench quality` over a small federation: each way is measured as it says, at the rate that suited it best."""

from __future__ import annotations

import json
import math

import pytest
from rich.console import Console

from fedlora_tui.benchmarks.command import print_report
from fedlora_tui.benchmarks.quality import Comparison, Quality
from fedlora_tui.benchmarks.report import Report
from fedlora_tui.benchmarks.whole_run import Losses
from fedlora_tui.engine.prepare import prepare
from fedlora_tui.errors import UserError
from fedlora_tui.lora.cohort import measure
from fedlora_tui.organizations.roster import call_roster
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings


@pytest.fixture
def config(tmp_path):
    return configured(small_settings(tmp_path), federation__learning_rate=0.02)


def quality(config, **changes):
    asked = {"seeds": 2, "partitions": ("natural",), "rates": (0.001, 0.02), "say": lambda text: None}
    return Quality(config, **asked | changes)


def test_each_way_has_a_row_and_the_share_that_was_closed_is_a_ratio(config):
    said = []
    report = quality(config, say=said.append).report()
    rows = {row["name"]: row for row in report.rows}
    assert list(rows) == ["natural base", "natural alone", "natural federated", "natural pooled"]
    assert rows["natural base"]["closed"] == 0.0
    assert rows["natural pooled"]["closed"] == 1.0
    assert rows["natural base"]["learning_rate"] is None
    assert {rows[f"natural {way}"]["learning_rate"] for way in ("alone", "federated", "pooled")} == {0.02}
    assert report.ratios["closed"] == rows["natural federated"]["closed"]
    assert all(rows[name]["loss"] < rows["natural base"]["loss"] for name in list(rows)[1:])
    # Rates are tried on the first seed alone.
    assert sum("seed 7: federated" in text for text in said) == 2
    assert sum("seed 8: federated" in text for text in said) == 1


def test_federated_is_the_run_and_base_is_its_first_look(config):
    losses = quality(config, rates=(0.02,)).compared("natural", 7).ways
    watched = WatchedRun(config).go()
    last = watched.told(ev.RoundFinished)[-1]
    assert losses["federated"].mean() == pytest.approx(last.eval_loss, abs=1e-12)
    first = {event.org: event.loss for event in watched.told(ev.OrgEvaluated) if event.round == 0}
    assert losses["base"].by_organization == first


def test_alone_is_each_organizations_own_adapter_and_pooled_one_for_all(config):
    one_organization = configured(
        {"federation.min_organizations": 1, "federation.organizations": 1, "federation.learning_rate": 0.02},
        **{name.replace(".", "__"): value for name, value in _given(config).items()},
    )
    ways = quality(one_organization, rates=(0.02,)).compared("natural", 7).ways
    # With one organization, all text in one place is that organization's own.
    assert list(ways["pooled"].by_organization) == ["alpha"]
    prepared = prepare(one_organization, call_roster(one_organization), lambda stage: None)
    assert ways["base"].by_organization["alpha"] == measure(prepared.base, None, prepared.texts.rows("alpha")).loss
    assert ways["alone"].by_organization["alpha"] < ways["base"].by_organization["alpha"]
    assert ways["pooled"].by_organization["alpha"] < ways["base"].by_organization["alpha"]


def _given(config):
    return {
        "model.base": config.model.base,
        "model.max_length": config.model.max_length,
        "data.source": config.data.source,
        "data.path": config.data.path,
        "federation.rounds": 2,
        "federation.local_steps": 2,
        "federation.batch_size": 2,
        "runs.dir": config.runs.dir,
    }


def test_no_run_is_left_in_the_runs_folder(config, tmp_path):
    quality(config, rates=(0.02,), seeds=1).report()
    assert not (tmp_path / "runs").exists()


def test_a_run_that_cannot_begin_says_why(config):
    broken = configured(_given(config), federation__min_organizations=9)
    with pytest.raises(UserError, match="a round needs 9"):
        quality(broken).report()


def losses(**by_organization):
    return Losses(by_organization, {name: 10 if name == "small" else 30 for name in by_organization})


def test_means_are_weighted_by_tokens_and_closed_is_the_share_of_the_way():
    ways = {
        "base": losses(small=4.0, large=4.0),
        "federated": losses(small=3.0, large=3.4),
        "pooled": losses(small=3.0, large=3.0),
    }
    assert ways["federated"].mean() == pytest.approx(3.3)
    assert ways["federated"].mean(["small"]) == 3.0
    assert Comparison("natural", 7, ways, ("small",)).closed == pytest.approx(0.7)


def test_a_report_is_one_line_of_json_and_what_is_not_finite_is_null():
    report = Report("quality", [{"name": "a", "loss": math.nan}], {"closed": math.inf}, machine={"processors": 2})
    assert "\n" not in report.to_json()
    told = json.loads(report.to_json())
    assert told["rows"] == [{"name": "a", "loss": None}]
    assert told["ratios"] == {"closed": None}
    assert told["machine"] == {"processors": 2}


def test_a_table_names_its_columns_and_leaves_out_those_that_nobody_fills():
    console = Console(record=True, width=120, file=open("/dev/null", "w"))  # noqa: SIM115
    rows = [{"name": "a", "loss": 2.34567, "seconds": None}, {"name": "b", "loss": None, "seconds": None}]
    print_report(console, Report("quality", rows, {"closed": 0.9123}, ("a note",), {"processors": 2, "gpu": None}))
    shown = [line.split() for line in console.export_text().splitlines() if line.strip()]
    assert shown[:3] == [["name", "loss"], ["a", "2.346"], ["b", "–"]]
    assert ["closed:", "0.9123"] in shown
    assert ["on:", "processors", "2"] in shown
