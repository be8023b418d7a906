"""Runs over Flower's own Grid whose updates are protected: they end as the local runtime's do, and forget no charge."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.folder import read_config
from fedlora_tui.engine.past import read_journal
from fedlora_tui.engine.run import Start
from fedlora_tui.privacy.accounting import Charge, spent
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.flows.nodes_here import NodesHere, over_nodes
from tests.tiny_runs import WatchedRun, configured, small_settings

NAMES = ("alpha", "beta", "gamma")


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path) | {
        "federation.min_organizations": 3,
        "federation.quarantine_after": 0,
        "federation.divergence_margin": 0.0,
        "privacy.mechanism": "gaussian",
        "privacy.noise": "organizations",
        "privacy.noise_multiplier": 1.0,
        "privacy.clip_norm": 0.05,
        "privacy.target_epsilon": 0.0,
        "privacy.seeded_noise": "true",
        "privacy.secure_sum": "true",
    }


def nodes(config, settings):
    grid = NodesHere(config, Path(str(settings["data.path"])))
    for name in NAMES:
        grid.connect(name)
    return grid


def test_noise_and_a_secure_sum_end_as_in_one_process_and_a_round_that_was_cut_off_is_charged_again(settings):
    local = WatchedRun(configured(settings)).go()
    config = configured(settings, federation__runtime="superlink")
    begun = over_nodes(config, nodes(config, settings))
    begun.when(
        lambda event: isinstance(event, ev.PrivacySpent) and event.round == 2, lambda: begun.run.send(ask.Stop("away"))
    )
    folder = begun.go().folder
    begun.run.close()
    assert begun.run.state.phase == "stopped", begun.run.state.reason or begun.run.refusal
    kept = read_config(folder)
    ended = over_nodes(kept, nodes(kept, settings), start=Start(continues=folder)).go()
    assert ended.run.state.phase == local.run.state.phase == "done", ended.run.state.reason or ended.run.refusal

    ours, theirs = (checkpoint.read(watched.folder, 2).adapter.tensors() for watched in (ended, local))
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-6) for name in theirs)
    told = [record.event for record in read_journal(folder)]
    assert [event.orgs for event in told if isinstance(event, ev.SecureSummed)] == [NAMES] * 2
    assert not [event for event in told if isinstance(event, ev.UpdateMeasured)]
    charged = [event for event in told if isinstance(event, ev.PrivacySpent)]
    assert [event.round for event in charged] == [1, 2, 2]
    three = spent([Charge(1.0, 1.0, "poisson")] * 3, 1e-5).epsilon
    assert charged[-1].epsilon == pytest.approx(three)
    assert len(checkpoint.read_state(folder, 2)["privacy"]) == 3


def test_who_comes_by_itself_joins_only_as_far_as_the_protection_allows(settings):
    more = {"privacy__delta": 0.4, "privacy__secure_sum": "false", "federation__min_organizations": 2}
    config = configured(settings, federation__runtime="superlink", federation__rounds=3, **more)
    grid = NodesHere(config, Path(str(settings["data.path"])))
    for name in NAMES[:2]:
        grid.connect(name)
    watched = over_nodes(config, grid)
    watched.when(lambda event: isinstance(event, ev.RoundFinished), lambda: grid.connect("gamma"))
    watched.go()
    assert watched.run.state.phase == "done", watched.run.state.reason
    assert [event.orgs for event in watched.told(ev.RoundFinished)] == [NAMES[:2]] * 3
    (told,) = [event for event in watched.told(ev.Warned) if event.org == "gamma"]
    assert told.message.startswith("gamma cannot join: privacy.delta = 0.4 is no less than 1 / 3")
