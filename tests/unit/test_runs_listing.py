"""The list of runs: what it says of each, read from a journal's two ends."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import pytest

from fedlora_tui.cli import main
from fedlora_tui.engine import journal, listing
from fedlora_tui.engine.journal import Journal
from fedlora_tui.engine.listing import list_runs, summary
from fedlora_tui.engine.lock import Lock
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.handle import ListedRun
from fedlora_tui.runs_command import table

START = ev.RunStarted("r", "m", 100, 10, 4, 8.0, "fedit", ("a", "b"), "cpu", {}, rounds=9, parent="p", parent_round=3)


def finished(round):
    return ev.RoundFinished(round, 9, 3.0 - round / 10, 4.0 - round / 10, 1, 2, 0.5, 64, 0.1, ("a", "b"), 4.5)


def written(folder, *events):
    """A run's folder with these events."""
    folder.mkdir(parents=True)
    kept = Journal(folder)
    for seq, event in enumerate((START, *events), 1):
        kept.append(Record(seq, 1_790_000_000.0 + seq, event))
    kept.close()
    return folder


STEPS = [ev.TrainStep("a", 3, step, 4000, 2.5, 8) for step in range(4000)]


@pytest.mark.parametrize(
    ("state", "ending"),
    [
        ("done", [ev.RunFinished(2, 1.0, 2.0, 3.0, 2, 2.0, 1.0)]),
        ("stopped", [ev.RoundStarted(3, 9, ("a",), 4), *STEPS, ev.RunStopped(3, 4, "stopped")]),
        ("failed", [ev.RunFailed(3, "out of memory")]),
        ("stale", [ev.RoundStarted(3, 9, ("a",), 4), *STEPS]),
        ("stale", [ev.RunPaused(3, 1)]),
        ("done", [ev.RunFinished(2, 1.0, 2.0, 3.0, 2, 2.0, 1.0), ev.AdapterExported(2, "x", False, 3)]),
    ],
)
def test_a_run_that_nobody_writes_is_told_by_its_last_events(tmp_path, state, ending):
    folder = written(tmp_path / "1122-1402-mine", finished(1), finished(2), *ending)
    told = summary(folder)
    assert (told.id, told.name, told.state) == ("1122-1402-mine", "mine", state)
    assert (told.round, told.rounds, told.train_loss, told.eval_loss, told.base_loss) == (2, 9, 2.8, 3.8, 4.5)
    assert (told.started, told.last) == (1_790_000_001.0, 1_790_000_001.0 + 2 + len(ending))
    assert (told.parent, told.parent_round) == ("p", 3)


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "null",
        "5",
        '{"type":"run_started","t":"x","rounds":3}',
        '{"type":"run_started","t":1e300,"rounds":3}',
        "[" * 100_000,
        '{"t":1}',
    ],
)
def test_a_journal_of_anything_is_listed_as_unreadable(tmp_path, capsys, line):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / journal.NAME).write_text(line + "\n")
    assert main(["runs", "--runs-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("unreadable") == 2


def test_a_run_that_is_written_is_running_or_paused(tmp_path):
    folder = written(tmp_path / "a", finished(1), ev.RoundStarted(2, 9, ("a",), 4))
    lock = Lock(folder)
    assert summary(folder).state == "running"
    kept = Journal(folder)
    kept.append(Record(9, 0.0, ev.RunPaused(2, 1)))
    kept.append(Record(10, 0.0, ev.CommandAcknowledged("rank", 8, 3)))
    assert summary(folder).state == "paused"
    lock.close()
    assert summary(folder).state == "stale"


def test_a_run_that_is_done_is_listed_so_while_its_console_is_still_open(tmp_path):
    folder = written(tmp_path / "a", finished(1), ev.RunFinished(1, 1.0, 2.0, 3.0, 1, 2.0, 1.0))
    lock = Lock(folder)
    assert summary(folder).state == "done"
    lock.close()


def test_a_run_that_waits_for_its_journal_is_paused_though_that_cannot_say_so(tmp_path):
    folder = written(tmp_path / "a", finished(1), ev.RoundStarted(2, 9, ("a",), 4))
    lock = Lock(folder)
    size = (folder / "lock").stat().st_size
    for waits, state in ((True, "paused"), (False, "running")):
        lock.tell(waits=waits)
        assert summary(folder).state == state
        assert (folder / "lock").stat().st_size == size
    lock.close()


def test_a_run_that_goes_on_is_at_the_round_it_goes_on_from(tmp_path):
    goes_on = ev.RunContinued(
        1, "it failed: x", ("a",), 9, 4, {}, 1e-3, "fedit", 9, train_loss=2.9, eval_loss=3.9, base_loss=4.5
    )
    folder = written(tmp_path / "a", finished(1), finished(2), goes_on, ev.RoundStarted(2, 9, ("a",), 4))
    told = summary(folder)
    assert (told.round, told.eval_loss, told.base_loss) == (1, 3.9, 4.5)


@pytest.mark.parametrize(
    "content", [b"", b'{"v":1', b"\x00\xff\n", b"[]\n", b"{}\n", b'{"v":1,"seq":1,"t":1,"type":"round_finished"}\n']
)
def test_a_journal_that_says_nothing_leaves_the_others_in_the_list(tmp_path, content):
    written(tmp_path / "good", finished(1))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / journal.NAME).write_bytes(content)
    assert {one.id: one.state for one in list_runs(tmp_path)}["good"] == "stale"
    assert len(list_runs(tmp_path)) == 2


def test_of_a_long_journal_only_the_two_ends_are_read(tmp_path, monkeypatch):
    folder = written(tmp_path / "long", *STEPS, finished(1), finished(2))
    read = []
    whole = listing._line
    monkeypatch.setattr(listing, "_line", lambda text: read.append(text) or whole(text))
    assert summary(folder).round == 2
    assert len(read) <= 3
    assert (folder / journal.NAME).stat().st_size > 4 * journal.BLOCK


def test_the_newest_comes_first_and_json_is_an_object_a_line(tmp_path, capsys):
    for number, name in enumerate(("one", "two", "three")):
        folder = written(tmp_path / name, finished(1))
        lines = (folder / journal.NAME).read_text().replace('"t":1790000001.0', f'"t":{1790000001.0 + number}')
        (folder / journal.NAME).write_text(lines)
    assert main(["runs", "--json", "--runs-dir", str(tmp_path)]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["id"] for one in told] == ["three", "two", "one"]
    assert told[0].keys() == asdict(ListedRun("", "", "")).keys()
    assert main(["runs", "--runs-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("three  stale")
    assert main(["runs", "--runs-dir", str(tmp_path / "nowhere")]) == 0
    out, err = capsys.readouterr()
    assert (out, "no run here yet" in err) == ("", True)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits_the_terminal(tmp_path, width):
    written(tmp_path / "1122-1402-a-rather-long-name", finished(1))
    lines = table(list_runs(tmp_path), width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("run ")
    assert "1122-1402-a-rather" in lines[1]
    if width >= 80:
        assert lines[0].split()[:4] == ["run", "state", "round", "hold-out"]
        assert time.strftime("%Y", time.localtime(1_790_000_001)) in lines[1]


def test_a_run_that_ends_while_it_is_listed_or_resumed_is_done(tmp_path, monkeypatch, capsys):
    folder = written(tmp_path / "a", finished(1), finished(2))

    def ended_meanwhile(folder):
        kept = Journal(folder)
        kept.append(Record(9, 0.0, ev.RunFinished(2, 1.0, 2.0, 3.0, 2, 2.0, 1.0)))
        kept.close()
        return False

    monkeypatch.setattr(listing.lock, "held", ended_meanwhile)
    assert summary(folder).state == "done"
    folder = written(tmp_path / "b", finished(1), finished(2))
    monkeypatch.setattr(listing.lock, "held", lambda folder: ended_meanwhile(folder) or True)
    assert main(["resume", str(folder), "--runs-dir", str(tmp_path)]) == 0
    assert "run b is done: round 2 of 9" in capsys.readouterr().err
