"""A run of another process whose end did not come over the control socket: its journal knows more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fedlora_tui.attached import RemoteRun
from fedlora_tui.engine import journal
from fedlora_tui.engine.journal import Journal
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record

START = ev.RunStarted("r", "m", 100, 10, 4, 8.0, "fedit", ("a", "b"), "cpu", {}, rounds=9)
STEPS = [ev.TrainStep("a", 1, step, 400, 2.5, 8) for step in range(400)]
END = ev.RunFinished(1, 1.0, 2.0, 3.0, 2, 2.0, 1.0)
CONTINUED = ev.RunContinued(0, "it was stopped", ("a", "b"), 9, 4, {}, 1e-3, "fedit", 100)


@pytest.fixture
def run(tmp_path):
    """A run, and what its process wrote: so many events, of which it told the first two."""

    def written(*events):
        folder = tmp_path / "r"
        folder.mkdir()
        kept = Journal(folder)
        records = [Record(seq, 1_790_000_000.0 + seq, event) for seq, event in enumerate((START, *events), 1)]
        for record in records:
            kept.append(record)
        kept.close()
        own = RemoteRun(SimpleNamespace(home=tmp_path, folder=None), 0, "r")
        for record in records[:2]:
            own.take(record)
        own.drain()
        return own, records

    return written


def test_what_its_process_wrote_before_it_ended_is_told_though_it_did_not_come(run):
    own, records = run(ev.RoundStarted(1, 9, ("a", "b"), 400), *STEPS, END)
    own.lose("its process ended")
    assert list(own.drain()) == records[2:]
    assert own.over
    assert own.refusal is None


def test_a_run_that_wrote_no_end_failed_behind_all_that_it_wrote(run):
    own, records = run(ev.RoundStarted(1, 9, ("a", "b"), 400), *STEPS)
    own.lose("its process ended with status -9")
    *told, failed = own.drain()
    assert told == records[2:]
    assert isinstance(failed.event, ev.RunFailed)
    assert (failed.event.round, failed.event.reason) == (
        1,
        f"its process ended with status -9: fedlora-tui resume {own.folder}",
    )


def test_an_earlier_process_s_end_in_what_was_not_told_is_none_of_a_run_that_went_on(run):
    own, _ = run(ev.RoundStarted(1, 9, ("a",), 4), ev.RunStopped(1, 4, "stopped"), CONTINUED, *STEPS)
    own.lose("its process ended")
    assert isinstance(own.drain()[-1].event, ev.RunFailed)


def test_a_journal_that_cannot_be_read_leaves_the_run_with_what_was_told(run):
    own, _ = run(ev.RoundStarted(1, 9, ("a",), 4), END)
    (own.folder / journal.NAME).write_text("nothing that any version wrote\n")
    own.lose("its process ended")
    (failed,) = own.drain()
    assert isinstance(failed.event, ev.RunFailed)
