"""A scripted run whose organizations are on machines of their own: no step is told, replies come one after another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fedlora_tui.protocol import events as ev
from tests.flows.scripted_run import ADAPTER_BYTES, COUNTS, ORGANIZATIONS, Script, ScriptedRun

NAMES = ("bank-disputes", "city-permits", "hospital-ward", "insurer")
ANSWERS_AFTER = {"bank-disputes": 3.1, "city-permits": 5.0, "hospital-ward": 7.2, "insurer": 8.64}
"""Seconds from a round's start to each reply."""

POLICIES = {
    "hospital-ward": "rank <= 8, steps <= 100, fedit/flora, gaussian, clip <= 1, epsilon <= 8, no losses",
    "insurer": "rank <= 16",
}


class DeployedRun(ScriptedRun):
    """It differs in what a SuperLink's run tells: `deployed`, since when each works, what each allows."""

    def __init__(self, clock: Callable[[], float], *, insecure: str = "", steps: int = 64, **script: Any) -> None:
        super().__init__(clock, organizations=NAMES, steps=steps, gpu=False, **script)
        self._insecure = insecure

    def _prepare(self) -> Script:
        yield ev.Preparing("base", "done", "124M parameters")
        yield self._run_started()
        yield ev.CohortSized(1)
        yield ev.Deployed(self._insecure)
        for name in self._organizations:
            *_, thousands, _ = ORGANIZATIONS[name]
            own = (1204, thousands * 1000, 12_100, 4, None, COUNTS, POLICIES.get(name, ""))
            yield ev.OrgJoined(name, 1, *own)
        yield from self._evaluate(0, 2.1)
        yield self._telemetry()

    def _train(self) -> Script:
        names = tuple(self._organizations)
        yield ev.RoundStarted(self._round, self._rounds, names, self._steps, 1e-3 if self._round < 4 else 5e-4)
        since = time.strftime("since %H:%M:%S", time.gmtime(self._t))
        for name in names:
            yield ev.OrgState(name, "training", self._round, since)
        gone = 0.0
        for name in names:
            yield ANSWERS_AFTER[name] - gone
            gone = ANSWERS_AFTER[name]
            yield ev.OrgState(name, "waiting", self._round)
            yield self._telemetry()
            loss = self._organization_loss(name, self._round - 0.5)
            sizes = ADAPTER_BYTES, ADAPTER_BYTES * (self._round == 1)
            yield ev.UpdateReceived(name, self._round, *sizes, 131072, loss, 24, 4)
        if self._pausing:
            self._pausing, self._paused = False, True
            yield ev.RunPaused(self._round, 0)
        while self._paused and not self._stopping:
            yield None
