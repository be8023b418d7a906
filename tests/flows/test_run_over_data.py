"""Whole runs over each kind of data: what could not be used is told, and what is asked is not learned."""

from __future__ import annotations

import pytest

from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


def test_organizations_of_invented_text_train_too(settings):
    config = configured(
        settings, data__source="synthetic", data__path="", federation__organizations=3, federation__rounds=1
    )
    watched = WatchedRun(config).go()
    assert watched.run.state.phase == "done", watched.run.refusal
    assert len(watched.told(ev.RunStarted)[0].orgs) == 3


def test_what_was_dropped_is_told_at_the_start_and_when_one_joins(settings, tmp_path):
    texts = tmp_path / "texts"
    (texts / "alpha.jsonl").write_text("".join(f'"amber barrel {n}"\n' for n in range(30)) + '{broken\n""\n')
    (texts / "alpha.txt").unlink()
    with (texts / "gamma.txt").open("ab") as stream:
        stream.write(b"\n\n" + b"\xff" * 50)
    (texts / "nothing.md").write_text("\n")
    watched = WatchedRun(configured(settings, federation__organizations=2))
    watched.when(lambda event: isinstance(event, ev.TrainStep), lambda: watched.run.send(ask.AddOrganization()))
    watched.go()
    assert watched.told(ev.Warned) == [
        ev.Warned("documents of alpha: 2 dropped (1 broken, 1 empty)", "alpha"),
        ev.Warned("nothing gave no text: 1 empty"),
        ev.Warned("documents of gamma: 1 dropped (1 undecodable)", "gamma"),
    ]
    kinds = [record.event.type for record in watched.journal()]
    assert kinds.index("run_started") < kinds.index("warning") < kinds.index("round_started")


def test_prompts_are_trained_on_their_responses_alone(settings, tmp_path):
    table = tmp_path / "all.csv"
    rows = [f"{org},which amber barrel {n}?,candle {n} dragon" for org in ("bank", "port") for n in range(20)]
    table.write_text("\n".join(["office,ask,answer", *rows]))
    fields = {"data.organization_field": "office", "data.prompt_field": "ask", "data.response_field": "answer"}
    asked = (
        settings
        | fields
        | {"data.source": "table", "data.path": str(table), "model.max_length": 64, "data.packing": "false"}
    )
    watched = WatchedRun(configured(asked)).go()
    assert watched.told(ev.RunFinished)
    plain = WatchedRun(
        configured(asked, data__prompt_field="", data__response_field="", data__text_field="answer")
    ).go()
    told, alone = ({e.org: e.tokens for e in one.told(ev.OrgJoined)} for one in (watched, plain))
    # Plain text does not predict the first token of each of its 18 documents.
    assert told == {org: tokens + 18 for org, tokens in alone.items()}
