"""A deployed run that ends while an export is being written: its process waits, and the export is told."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fedlora_tui.engine import deployed, exports, journal
from fedlora_tui.engine.control import Control
from fedlora_tui.engine.race import Entry, Race
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import Export, Finish
from tests.flows.served import until
from tests.tiny_runs import GUARD, configured, small_settings


def test_an_export_that_is_being_written_when_a_deployed_run_ends_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, begun = exports.write, threading.Event()

    def slow(*given: Any) -> ev.AdapterExported:
        begun.set()
        until(lambda: race.over, "the end of the run")
        time.sleep(0.3)
        return written(*given)

    monkeypatch.setattr(exports, "write", slow)
    race = Race([Entry(configured(small_settings(tmp_path), federation__rounds=5000))])
    control = Control(race.racers)
    process = threading.Thread(target=deployed._go_through, args=(race, control), daemon=True)
    process.start()
    (run,) = race.runs
    until(lambda: run.state.round >= 2, "a round")
    run.send(Export())
    assert begun.wait(GUARD)
    race.send(Finish())
    process.join(GUARD)
    assert run.folder is not None
    told = [record.event for record in journal.read(run.folder)]
    assert [event for event in told if isinstance(event, ev.AdapterExported)]
