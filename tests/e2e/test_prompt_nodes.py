"""A run over a SuperLink and SuperNodes of ours, in real processes: one process answers all of an organization's."""

from __future__ import annotations

import psutil

from fedlora_tui.benchmarks.deployed import WAYS, Deployed
from tests.deployment import lives
from tests.tiny_runs import configured, tiny_base


def test_every_message_of_an_organization_is_answered_by_one_process_and_none_is_left_behind(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = configured(
        {
            "model.base": str(tiny_base()),
            "model.device": "cpu",
            "model.max_length": 32,
            "federation.rounds": 2,
            "federation.local_steps": 1,
            "federation.batch_size": 2,
        }
    )
    said = []
    report = Deployed(config, (2,), said.append, ways=WAYS[-1:]).report()
    (row,) = report.rows
    assert row["processes"] == 1
    assert 0 < row["work_seconds"] < row["round_seconds"]
    assert row["overhead_seconds"] == row["round_seconds"] - row["work_seconds"]
    assert said == ["2 organizations: fedlora-tui's nodes"]
    assert not [child for child in psutil.Process().children(recursive=True) if lives(child)]
