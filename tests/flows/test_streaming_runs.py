"""Whole runs that add replies up as they come: the bytes of those that keep them, and what is not told."""

from __future__ import annotations

import gc
import weakref

import pytest

from fedlora_tui.engine import checkpoint
from fedlora_tui.federation import server_app
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings


def adapter_of(folder, round):
    return {name: tensor.numpy().tobytes() for name, tensor in checkpoint.read(folder, round).adapter.tensors().items()}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return small_settings(tmp_path_factory.mktemp("streaming")) | {"federation.cohort": 1}


@pytest.fixture(scope="module")
def kept(settings):
    return WatchedRun(configured(settings, federation__streaming="false")).go()


def test_a_run_that_keeps_no_reply_ends_where_one_that_keeps_them_does(settings, kept, monkeypatch):
    """And at no time are there more adapters of replies than go through the base together."""
    living: list[weakref.ref] = []
    most = []
    read = server_app.read_train_reply

    def counted(*given):
        gc.collect()
        most.append(sum(adapter() is not None for adapter in living))
        reply = read(*given)
        living.append(weakref.ref(reply.adapter))
        return reply

    monkeypatch.setattr(server_app, "read_train_reply", counted)
    streamed = WatchedRun(configured(settings, federation__streaming="true")).go()
    assert len(living) == 6
    assert max(most) <= 1
    for round in (1, 2):
        assert adapter_of(streamed.folder, round) == adapter_of(kept.folder, round)
    for one, other in zip(streamed.told(ev.RoundAggregated), kept.told(ev.RoundAggregated), strict=True):
        assert one.weights == other.weights
        assert one.orgs == other.orgs
        assert one.drift == pytest.approx(other.drift, rel=1e-9)
        assert one.drifts == pytest.approx(other.drifts, rel=1e-9)
        assert one.norms == pytest.approx(other.norms, rel=1e-6)
        assert set(one.cosines.values()) == {None}
        assert None not in other.cosines.values()
    for one, other in zip(streamed.told(ev.RoundFinished), kept.told(ev.RoundFinished), strict=True):
        assert (one.train_loss, one.eval_loss, one.tokens) == (other.train_loss, other.eval_loss, other.tokens)
        assert (one.bytes_up, one.bytes_down, one.orgs) == (other.bytes_up, other.bytes_down, other.orgs)


def test_a_protected_run_and_one_with_a_bad_reply_end_alike_either_way(settings):
    bad = settings | {"faults.beta": "nan in round 1", "federation.rounds": 1}
    private = settings | {
        "federation.rounds": 1,
        "privacy.mechanism": "gaussian",
        "privacy.noise_multiplier": 1.0,
        "privacy.seeded_noise": "true",
    }
    for given in (bad, private):
        one, other = (
            WatchedRun(configured(given, federation__streaming=streaming)).go() for streaming in ("true", "false")
        )
        assert adapter_of(one.folder, 1) == adapter_of(other.folder, 1)
        ((told,), (expected,)) = (run.told(ev.RoundAggregated) for run in (one, other))
        assert told.orgs == expected.orgs
        assert told.weights == expected.weights
        assert told.drift == pytest.approx(expected.drift, rel=1e-9)
        assert len(one.told(ev.UpdateRejected)) == len(other.told(ev.UpdateRejected)) == (given is bad)


def test_asking_for_what_cannot_be_is_refused_before_the_run(settings):
    run = WatchedRun(configured(settings, federation__streaming="true", federation__aggregation="flora")).go()
    assert 'federation.streaming = true lets go of each reply at once, and federation.aggregation = "flora"' in str(
        run.run.refusal
    )
