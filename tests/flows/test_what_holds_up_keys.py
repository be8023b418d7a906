"""What a run in the console's process must not do while it trains: hold all threads up for long."""

from __future__ import annotations

import gc

from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings


def test_what_was_loaded_is_in_no_garbage_collection_while_a_run_trains(tmp_path):
    run = WatchedRun(configured(small_settings(tmp_path)))
    set_aside = []
    run.when(lambda event: isinstance(event, ev.TrainStep), lambda: set_aside.append(gc.get_freeze_count()))
    run.go()
    assert set_aside[0] > 10_000
    assert gc.get_freeze_count() == 0
