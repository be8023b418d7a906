"""What a run tells of its organizations for the screen of one of them, and that it is counts alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.state import RunState, fold
from tests.tiny_runs import WatchedRun, configured, small_settings


@pytest.mark.parametrize("aggregation", ["fedit", "fedsa"])
def test_counts_ledger_and_modules_are_told(tmp_path: Path, aggregation: str) -> None:
    watched = WatchedRun(configured(small_settings(tmp_path), federation__aggregation=aggregation)).go()
    state = fold(RunState(), watched.journal())
    assert state.started is not None
    modules = len(state.started.target_modules)
    for org in state.organizations.values():
        counts, ledger = org.counts, org.ledger
        assert counts is not None
        assert 0 < counts.kinds <= state.started.vocabulary
        assert counts.longest > 0
        assert counts.filled is not None
        assert 0 < counts.filled <= 1
        assert counts.rows > 0
        assert ledger.replies == 2
        assert ledger.tensors == modules * (1 if aggregation == "fedsa" else 2)
        # Two trainings of four numbers each, and three measurements of two.
        assert ledger.numbers == 2 * 4 + 3 * 2
        assert ledger.trained > 0
        assert sum(share or 0.0 for share in org.by_module.shares.values()) == pytest.approx(1.0, abs=1e-4)
        assert org.by_module.modules == modules
        assert org.own == (aggregation == "fedsa")
    weights = [org.weight for org in state.organizations.values()]
    assert sum(weight or 0.0 for weight in weights) == pytest.approx(1.0)
    base = [event for event in watched.told(ev.OrgEvaluated) if isinstance(event, ev.OrgEvaluated) and not event.round]
    assert not any(event.own for event in base)
