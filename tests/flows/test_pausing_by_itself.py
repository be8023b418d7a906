"""A run that goes wrong pauses by itself, with the reason and what is good to do; where nobody steers, it says so."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fedlora_tui.aggregation import METHODS
from fedlora_tui.aggregation.server_step import advance
from fedlora_tui.engine import aggregating, checkpoint
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings

TOO_FAST = {"federation__learning_rate": 1.0, "federation__divergence_margin": 0.001}
"""The first two rounds leave the tiny base worse than it was."""


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


def paused(event):
    return isinstance(event, ev.RunPaused)


def test_a_run_whose_hold_out_stays_above_the_base_pauses_once_and_goes_on_when_resumed(settings):
    watched = WatchedRun(configured(settings, federation__rounds=5, **TOO_FAST))
    watched.run.start()
    pause = watched.wait_for(paused)
    assert (pause.round, [event.round for event in watched.told(ev.RoundFinished)]) == (2, [1, 2])
    assert "above the base's, 2 rounds running: a lower rate, or fork before it" in pause.reason
    assert checkpoint.read(watched.folder, 2).round == 2
    watched.run.send(ask.Resume())
    watched.end()
    assert watched.run.state.phase == "done"
    assert len(watched.told(ev.RunPaused)) == 1


def test_where_nobody_steers_divergence_is_a_warning(settings):
    watched = WatchedRun(configured(settings, federation__rounds=4, **TOO_FAST), patient=False).go()
    assert watched.run.state.phase == "done"
    (warning,) = [event for event in watched.told(ev.Warned) if "above the base's" in event.message]
    assert warning.message.startswith("round 2: hold-out loss ")


def test_a_run_that_learns_does_not_pause(settings):
    watched = WatchedRun(configured(settings, federation__rounds=4, federation__divergence_margin=0.001)).go()
    assert watched.run.state.phase == "done"
    assert not watched.told(ev.RunPaused)


def overflowing(made, adapter_of):
    """Give what makes an adapter, which comes to infinity the second time."""
    left = [2]

    def make(*given):
        result = made(*given)
        left[0] -= 1
        if left[0] == 0:
            next(iter(adapter_of(result).factors.values())).b[0, 0] = math.inf
        return result

    return make


def not_finite_once(monkeypatch, method):
    """Let what the replies of round 2 come to be infinity, the first time that it is gone through."""
    known = METHODS[method]
    spoilt = replace(known, aggregate=overflowing(known.aggregate, lambda result: result.adapter))
    monkeypatch.setitem(METHODS, method, spoilt)


@pytest.mark.parametrize("method", ["flexlora", "fedex", "fedit"])
def test_an_adapter_that_is_no_number_pauses_the_run_and_the_round_is_gone_through_again(settings, method, monkeypatch):
    settings |= {"federation.aggregation": method}
    if method == "fedit":
        settings |= {"federation.server_optimizer": "fedavgm"}
    honest = WatchedRun(configured(settings)).go()
    if method == "fedit":
        monkeypatch.setattr(aggregating, "advance", overflowing(advance, lambda result: result[0]))
    else:
        not_finite_once(monkeypatch, method)
    watched = WatchedRun(configured(settings))
    watched.run.start()
    pause = watched.wait_for(paused)
    assert pause.reason.startswith("the new adapter is not finite (")
    assert pause.reason.endswith("resume goes through the round again")
    watched.run.send(ask.Resume())
    watched.end()
    assert watched.run.state.phase == "done"
    assert [event.round for event in watched.told(ev.RoundStarted)] == [1, 2, 2]
    assert [event.round for event in watched.told(ev.RoundFinished)] == [1, 2]
    ours, theirs = (checkpoint.read(run.folder, 2).adapter.tensors() for run in (watched, honest))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_where_nobody_steers_such_a_round_fails_with_the_reason(settings, monkeypatch):
    not_finite_once(monkeypatch, "fedit")
    watched = WatchedRun(configured(settings), patient=False).go()
    assert watched.run.state.phase == "failed"
    assert watched.run.state.reason.startswith("round 2: the new adapter is not finite")
