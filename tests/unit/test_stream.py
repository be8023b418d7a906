"""The one stream of events: its numbering, its journal, and what a slow reader's inbox lets go."""

from __future__ import annotations

import json
import threading

import pytest

from fedlora_tui.engine import journal
from fedlora_tui.engine.stream import Inbox, Stream
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import UNRECORDED, Record
from fedlora_tui.protocol.state import RunState, fold


def step(org="a", round=1, number=1):
    return ev.TrainStep(org, round, number, 9, 2.5, 30)


def test_many_threads_emit_without_holes_and_all_readers_see_the_journals_order(tmp_path):
    stream = Stream()
    seen, late = [], []
    stream.subscribe(seen.append)
    stream.subscribe(late.append)
    stream.open_journal(tmp_path)
    barrier = threading.Barrier(8)

    def emit(name):
        barrier.wait(60)
        for number in range(60):
            stream.emit(step(name, 1, number + 1))

    threads = [threading.Thread(target=emit, args=(f"org-{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    written = list(journal.read(tmp_path))
    assert [record.seq for record in written] == list(range(1, 481))
    assert [record.seq for record in seen] == [record.seq for record in late] == list(range(1, 481))
    assert [record.event for record in seen] == [record.event for record in written]
    for index in range(8):
        own = [record.event.step for record in written if record.event.org == f"org-{index}"]
        assert own == list(range(1, 61))
    assert stream.state == fold(RunState(), seen)


def test_what_is_mentioned_has_no_number_and_is_in_no_journal(tmp_path):
    stream, seen = Stream(clock=lambda: 5.0), []
    stream.subscribe(seen.append)
    stream.open_journal(tmp_path)
    stream.mention(ev.Preparing("base", "working"))
    stream.emit(step())
    assert [record.seq for record in seen] == [UNRECORDED, 1]
    assert [record.seq for record in journal.read(tmp_path)] == [1]
    assert "base" in stream.state.preparation


def test_an_event_is_in_the_journal_before_a_reader_sees_it(tmp_path):
    stream, counts = Stream(), []
    stream.open_journal(tmp_path)
    stream.subscribe(lambda record: counts.append(len(list(journal.read(tmp_path)))))
    for number in range(1, 4):
        stream.emit(step(number=number))
    assert counts == [1, 2, 3]


def test_an_event_that_the_disk_did_not_take_leaves_no_half_line_and_is_written_before_the_next(tmp_path, monkeypatch):
    stream, seen = Stream(), []
    stream.subscribe(seen.append)
    stream.open_journal(tmp_path)
    stream.emit(step())

    class FullDisk:
        """Takes half of a line."""

        def __init__(self, file):
            self.file, self.name = file, file.name

        def write(self, data):
            return self.file.write(data[: len(data) // 2])

        def __getattr__(self, name):
            return getattr(self.file, name)

    whole = stream._journal._file
    stream._journal._file = FullDisk(whole)
    stream.emit(step(number=2))
    assert (tmp_path / journal.NAME).read_bytes().count(b"\n") == 1
    assert "No space left on device" in stream.trouble
    assert not stream.written()
    with pytest.raises(OSError, match="No space"):
        stream.sync()
    stream._journal._file = whole
    stream.emit(step(number=3))
    assert (stream.trouble, stream.written()) == ("", True)
    assert [(record.seq, record.event.step) for record in journal.read(tmp_path)] == [(1, 1), (2, 2), (3, 3)]
    assert [record.event.step for record in seen] == [1, 2, 3]


def test_after_the_journal_is_closed_readers_still_see(tmp_path):
    stream, seen = Stream(), []
    stream.subscribe(seen.append)
    stream.open_journal(tmp_path)
    stream.emit(step())
    stream.close_journal()
    stream.close_journal()
    stream.emit(step(number=2))
    assert [record.seq for record in seen] == [1, 2]
    assert len(list(journal.read(tmp_path))) == 1


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_last_line_that_a_crash_tore_is_left_out_even_inside_a_letter(tmp_path, cut):
    stream = Stream(clock=lambda: 5.0)
    stream.open_journal(tmp_path)
    stream.emit(ev.Warned("eins"))
    stream.emit(ev.Warned("größe" * 20))
    path = tmp_path / journal.NAME
    data = path.read_bytes()
    letter = data.index("ö".encode(), data.index(b"\n") + cut)
    path.write_bytes(data[: letter + 1])
    assert [record.event.message for record in journal.read(tmp_path)] == ["eins"]


def test_a_broken_line_inside_the_journal_is_an_error_and_not_skipped(tmp_path):
    stream = Stream()
    stream.open_journal(tmp_path)
    stream.emit(step())
    with (tmp_path / journal.NAME).open("a") as file:
        file.write("{broken\n")
    stream.emit(step(number=2))
    with pytest.raises(ValueError, match="Expecting"):
        list(journal.read(tmp_path))
    with pytest.raises(FileNotFoundError):
        list(journal.read(tmp_path / "nowhere"))


def test_a_line_of_the_journal_is_compact_json(tmp_path):
    stream = Stream(clock=lambda: 1790000000.1234)
    stream.open_journal(tmp_path)
    stream.emit(step())
    (line,) = (tmp_path / journal.NAME).read_text().splitlines()
    assert json.loads(line) == {
        "v": 1,
        "seq": 1,
        "t": 1790000000.123,
        "type": "train_step",
        "org": "a",
        "round": 1,
        "step": 1,
        "steps": 9,
        "loss": 2.5,
        "tokens": 30,
    }
    assert line.startswith('{"v":1,"seq":1,"t":')


# --- a reader's inbox


def test_an_inbox_gives_all_once_in_order():
    inbox = Inbox()
    records = [Record(number, 0.0, step(number=number)) for number in range(1, 6)]
    for record in records:
        inbox.put(record)
    assert inbox.drain() == records
    assert inbox.drain() == []


def test_a_full_inbox_lets_go_of_older_steps_and_of_nothing_else():
    inbox, sent = Inbox(bound=50), []
    for number in range(1, 401):
        event = step(f"org-{number % 3}", round=1 + number // 200, number=number)
        if number % 20 == 0:
            event = ev.Warned(f"warning {number}")
        sent.append(Record(number, 0.0, event))
        inbox.put(sent[-1])
    given = inbox.drain()
    assert [record.seq for record in given] == sorted(record.seq for record in given)
    warnings = [record for record in sent if isinstance(record.event, ev.Warned)]
    assert [record for record in given if isinstance(record.event, ev.Warned)] == warnings
    assert len(given) < 150
    for org in ("org-0", "org-1", "org-2"):
        for round in (1, 2, 3):
            steps = [
                r for r in sent if isinstance(r.event, ev.TrainStep) and (r.event.org, r.event.round) == (org, round)
            ]
            if steps:
                assert steps[-1] in given


def test_an_inbox_below_its_bound_lets_nothing_go():
    inbox = Inbox(bound=50)
    for number in range(1, 51):
        inbox.put(Record(number, 0.0, step(number=number)))
    assert len(inbox.drain()) == 50


def test_an_inbox_of_things_that_must_be_kept_grows():
    inbox = Inbox(bound=10)
    for number in range(1, 101):
        inbox.put(Record(number, 0.0, ev.Warned(str(number))))
    assert len(inbox.drain()) == 100


def test_a_warning_before_the_run_began_stands_behind_its_first_event_and_none_stands_behind_its_end(tmp_path):
    stream = Stream()
    stream.warn("no socket")
    stream.open_journal(tmp_path)
    stream.emit(ev.RunStarted("r", "m", 100, 10, 4, 8.0, "fedit", ("a",), "cpu", {}, rounds=9, learning_rate=1e-3))
    stream.warn("later")
    stream.end(ev.RunStopped(0, 0, "stopped"))
    stream.warn("too late")
    stream.close_journal()
    records = list(journal.read(tmp_path))
    assert [record.seq for record in records] == [1, 2, 3, 4]
    assert [record.event.type for record in records] == ["run_started", "warning", "warning", "run_stopped"]
    assert [record.event.message for record in records[1:3]] == ["no socket", "later"]


def test_what_is_refused_behind_the_end_is_told_and_the_journal_ends_with_the_end(tmp_path):
    stream, seen = Stream(), []
    stream.subscribe(seen.append)
    stream.open_journal(tmp_path)
    stream.answer(ev.CommandRefused("drop", "a", "no such organization"))
    stream.end(ev.RunStopped(0, 0, "terminated"))
    stream.answer(ev.CommandRefused("stop", None, "the run is stopped"))
    stream.close_journal()
    assert [record.event.type for record in seen] == ["command_refused", "run_stopped", "command_refused"]
    assert [record.event.type for record in journal.read(tmp_path)] == ["command_refused", "run_stopped"]
