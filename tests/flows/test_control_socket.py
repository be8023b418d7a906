"""The control socket of a real run: who may speak on it, what it tells, and what it does with nonsense."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedlora_tui import attached
from fedlora_tui.attached import Link, attach
from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.console.session import Session
from fedlora_tui.engine import control as control_module
from fedlora_tui.engine.control import Control
from fedlora_tui.engine.course import Course
from fedlora_tui.engine.journal import Journal, read
from fedlora_tui.engine.race import Entry
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import wire
from fedlora_tui.protocol.commands import Pause, Rank, Resume, Rounds, Stop
from fedlora_tui.protocol.control_place import found_socket
from fedlora_tui.protocol.events import (
    CommandAcknowledged,
    CommandRefused,
    Event,
    Preparing,
    Record,
    RunFailed,
    RunStarted,
    RunStopped,
)
from fedlora_tui.protocol.state import RunState, fold
from fedlora_tui.submitted import ask_to_stop
from tests.flows.served import PATIENCE, Served, until
from tests.tiny_runs import configured, small_settings


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served([Entry(configured(small_settings(tmp_path), federation__rounds=5000))])
    yield one
    one.close()


def told(link: Link, place: int = 0) -> list[Record]:
    return list(link.runs[place].drain())


def test_a_face_that_comes_late_is_told_every_event_once_and_folds_the_same_state(served: Served) -> None:
    until(lambda: served.race.runs[0].state.round >= 3, "three rounds")
    link = attach(served.folder, steers=True)
    link.ask(0, Pause())
    records: list[Record] = []

    def paused() -> bool:
        records.extend(told(link))
        return any(record.event.type == "run_paused" for record in records)

    until(paused, "the pause")
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert 0 < link.runs[0].awaited <= records[-1].seq
    assert records == list(read(served.folder))[: len(records)]
    assert fold(RunState(), records).history == served.race.runs[0].state.history
    link.ask(0, Resume())
    link.close()


def test_nonsense_is_let_go_and_counted_and_the_run_goes_on(served: Served) -> None:
    path = found_socket(served.folder)
    assert path is not None
    for words in (b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 200_000, b'{"ask":{"place":0,"command":"stop"}}\n'):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(path))
            one.settimeout(PATIENCE)
            # It may be let go before it has said all.
            with contextlib.suppress(ConnectionError):
                one.sendall(words)
                assert one.recv(1) == b""
    greeted = b'{"greeting":{"who":"x","steers":true}}\n{"ask":{"place":7,"command":"pause"}}\n'
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(path))
        one.sendall(greeted)
        one.settimeout(PATIENCE)
        while one.recv(65536):
            pass
    until(lambda: served.control._nonsense == 4, "all of it counted")
    warned = [r.event.message for r in read(served.folder) if r.event.type == "warning"]  # type: ignore[attr-defined]
    assert [words for words in warned if "no console" in words] == [
        "something that is no console spoke to control.sock, once: ignored"
    ]
    assert served.race.runs[0].state.phase == "running"


def test_who_says_nothing_is_let_go(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "GREETING_SECONDS", 0.05)
    path = found_socket(served.folder)
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(path))
        one.settimeout(PATIENCE)
        assert one.recv(1) == b""


def test_a_face_that_does_not_read_holds_up_nobody(served: Served) -> None:
    path = found_socket(served.folder)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(path))
        deaf.sendall(b'{"greeting":{"who":"deaf","steers":false}}\n')
        until(lambda: served.control.watched, "the face taken in")
        reached = served.race.runs[0].state.round
        until(lambda: served.race.runs[0].state.round > reached + 5, "five more rounds")
        link = attach(served.folder, steers=True)
        until(lambda: len(told(link)) > 0, "another face told")
        link.close()


def test_a_face_that_never_reads_is_let_go_with_all_that_waited_for_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "MOST_BACKLOG", 50)
    path = found_socket(served.folder)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(str(path))
        deaf.sendall(b'{"greeting":{"who":"deaf","steers":false}}\n')
        until(lambda: served.control.watched, "the face taken in")
        until(lambda: not served.control.watched, "the face let go")
    reached = served.race.runs[0].state.round
    until(lambda: served.race.runs[0].state.round > reached, "another round")


def test_who_comes_first_steers_however_quick_the_second_is(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    greeted = Control.greeted

    def late(control: Control, face: control_module._Face) -> None:
        if face.number == 1:
            time.sleep(0.5)
        greeted(control, face)

    monkeypatch.setattr(Control, "greeted", late)
    first, second = attach(served.folder, steers=True), attach(served.folder, steers=True)
    until(lambda: not first.steers.sole and bool(second.holder), "both told who steers")
    assert first.steers.yours
    assert not second.steers.yours
    first.close()
    second.close()


def test_an_interrupt_of_who_only_follows_says_who_steers_and_stops_a_run_that_nobody_steers(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    steers = attach(served.folder, steers=True)
    ask_to_stop(served.folder)
    said = capsys.readouterr().err
    assert f"{served.folder.name} goes on: {steers.name} steers; w in fedlora-tui attach" in said
    reached = served.race.runs[0].state.round
    until(lambda: served.race.runs[0].state.round > reached + 1, "more rounds")
    steers.close()
    until(lambda: not served.control.watched, "the console gone")
    ask_to_stop(served.folder)
    until(lambda: served.race.runs[0].state.phase == "stopped", "the stop")


def test_who_comes_when_as_many_watch_as_may_is_told_so_and_not_that_the_run_is_gone(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "MOST_FACES", 1)
    first = attach(served.folder, steers=True)
    with pytest.raises(UserError, match="took in no other console: it is ending, or as many consoles watch it as may"):
        attach(served.folder, steers=True)
    first.close()


def test_a_process_that_ends_waits_until_its_consoles_know_that_the_run_is_over(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_now, left_now = control_module._Face._send_words, Course.leave

    def told_late(face: control_module._Face) -> None:
        if served.race.over:
            time.sleep(0.3)
        told_now(face)

    def left_late(course: Course, place: int) -> None:
        # The console has heard of the last event by then, and nothing waits for it.
        time.sleep(0.3)
        left_now(course, place)

    link = attach(served.folder, steers=True)
    until(lambda: link.runs[0].folder, "the history")
    monkeypatch.setattr(control_module._Face, "_send_words", told_late)
    monkeypatch.setattr(Course, "leave", left_late)
    known: list[bool] = []
    monkeypatch.setattr(link, "_lost", lambda trouble: known.append(link.runs[0].over))
    link.ask(0, Stop())
    until(lambda: served.race.over, "the end")
    served.control.part(PATIENCE)
    until(lambda: known, "the end of the line")
    assert known == [True]
    assert [record.event.type for record in told(link)][-1] == "run_stopped"


@pytest.mark.parametrize(
    ("since", "told_of_its_end"),
    [((), ["run_stopped"]), ((Preparing("base", "working"),), ["run_stopped", "run_failed"])],
    ids=["ended", "goes on"],
)
def test_a_run_whose_end_was_told_has_not_failed_where_its_process_says_no_more(
    since: tuple[Event, ...], told_of_its_end: list[str]
) -> None:
    ours, theirs = socket.socketpair()
    link = Link(ours, steers=True, labels=("",), ending=lambda: "its process ended with status 143")
    started = RunStarted("one", "tiny", 1, 1, 4, 8.0, "fedit", ("alpha",), "cpu", {}, rounds=5)
    for number, event in enumerate((started, RunStopped(3, 2, "terminated"), *since), 1):
        theirs.sendall(wire.told_line(0, Record(number, 0.0, event)))
    theirs.close()
    until(lambda: link.runs[0].over, "the end of the line")
    ends = [record.event.type for record in told(link) if isinstance(record.event, RunStopped | RunFailed)]
    assert ends == told_of_its_end
    assert link.runs[0].refusal is None
    link.close()


def test_who_takes_a_wheel_that_nobody_holds_by_asking_for_something_is_told_to_all(served: Served) -> None:
    gives, asks = attach(served.folder, steers=True), attach(served.folder, steers=True)
    until(lambda: gives.steers.yours and not gives.steers.sole, "the wheel at the first")
    gives.wheel("give")
    until(lambda: not gives.holder and not asks.holder, "the wheel at nobody")
    asks.ask(0, Pause())
    until(lambda: asks.steers.yours, "the wheel at who asked")
    until(lambda: bool(gives.holder) and not gives.may_steer, "the other told")
    asks.ask(0, Resume())
    gives.close()
    asks.close()


def test_the_journal_says_which_console_asked_and_each_console_says_you_for_its_own(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = []
    for name in ("ada@pts/1", "bob@pts/2"):
        monkeypatch.setattr(attached, "who_is_here", lambda name=name: name)
        links.append(attach(served.folder, steers=True))
        until(lambda: links[0].steers.holder == "ada@pts/1", "who came first steers")
    ada, bob = links
    sessions = [Session(link.runs[0], UNICODE, time.monotonic) for link in links]

    def heard(command: str) -> list[str]:
        for session in sessions:
            session.poll()
        found = [[r.event.by for r in s.state.log if getattr(r.event, "command", "") == command] for s in sessions]
        return [by for own in found for by in own]

    ada.ask(0, Pause())
    until(lambda: heard("pause") == ["you", "ada@pts/1"], "the first one's pause, at both")
    until(lambda: bob.steers.holder == "ada@pts/1", "who steers")
    bob.ask(0, Resume())
    until(lambda: heard("resume") == ["you"], "a refusal, told to the one who asked")
    ada.wheel("give")
    until(lambda: bob.may_steer, "the wheel free")
    bob.ask(0, Resume())
    until(lambda: heard("resume") == ["bob@pts/2", "you", "you"], "the second one's resume")
    served.race.send(Stop("terminated"), "SIGTERM")
    served.race.wait(PATIENCE)
    events = [record.event for record in read(served.folder)]
    asked = {event.command: event.by for event in events if isinstance(event, CommandAcknowledged | CommandRefused)}
    assert asked == {"pause": "ada@pts/1", "resume": "bob@pts/2", "stop": "SIGTERM"}
    for link in links:
        link.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user here")
def test_another_user_cannot_connect(tmp_path: Path) -> None:
    # A short path: its socket stands in the run's own folder, and no other run's is opened to others meanwhile.
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        served = Served([Entry(configured(small_settings(tmp_path) | {"runs.dir": home}, federation__rounds=5000))])
        path = found_socket(served.folder)
        assert path == served.folder / "control.sock"
        _try_as_another_user(path)
        served.close()


def _try_as_another_user(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    # Even where the folders and the file would let them.
    path.chmod(0o666)
    for folder in (path.parent, path.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o055)
    words = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534)\n"
        "one = socket.socket(socket.AF_UNIX); one.connect(sys.argv[1])\n"
        'one.sendall(b\'{"greeting":{"who":"x","steers":true}}\\n\')\n'
        "print(one.recv(10))"
    )
    ended = subprocess.run([sys.executable, "-c", words, str(path)], capture_output=True, text=True)
    assert "welcome" not in ended.stdout
    assert ended.stdout == "b''\n" or "ConnectionResetError" in ended.stderr or "BrokenPipe" in ended.stderr, ended


def test_a_stale_socket_is_cleaned_up(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(folder / "control.sock"))
    with pytest.raises(UserError, match="no process runs it any more"):
        attach(folder, steers=True)
    control = Control(())
    control.runs = (_Silent(folder),)  # type: ignore[assignment]
    control.open(0, folder)
    link = attach(folder, steers=True)
    assert link.runs[0].label == "silent"
    control.close()
    link.close()
    assert found_socket(folder) is None


class _Silent:
    label, over, refusal, state = "silent", False, None, RunState()

    def __init__(self, folder: Path) -> None:
        self.folder = None if not (folder / "events.jsonl").exists() else folder

    def unwritten(self) -> list[Record]:
        return []

    def stop_trying(self, asker: int) -> None:
        pass


def test_the_runs_of_a_race_come_over_one_socket_and_a_command_is_for_all(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)
    given = [Entry(configured(settings, federation__rounds=5000, lora__rank=rank), f"rank {rank}") for rank in (1, 2)]
    one = Served(given)
    folder = one.race.runs[1].folder
    assert folder is not None
    link = attach(folder, steers=True)
    assert link.place == 1
    assert [run.label for run in link.runs] == ["rank 1", "rank 2"]
    link.ask(1, Rounds(9))
    records: dict[int, list[Record]] = {0: [], 1: []}

    def over() -> bool:
        for place in records:
            records[place] += told(link, place)
        return all(run.over for run in link.runs)

    until(over, "the end of both")
    over()
    for place, run in enumerate(one.race.runs):
        assert run.folder is not None
        assert records[place] == list(read(run.folder))
        assert records[place][-1].event.type == "run_finished"
    link.close()
    one.close()


def test_many_commands_at_once_are_each_answered_once(served: Served) -> None:
    link = attach(served.folder, steers=True)
    threads = [threading.Thread(target=link.ask, args=(0, Rank(rank))) for rank in (1, 2, 3, 5, 6, 7) * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records: list[Record] = []

    def answered() -> bool:
        records.extend(told(link))
        return sum("command_" in record.event.type for record in records) == len(threads)

    until(answered, "an answer to each")
    link.close()


def test_a_face_that_comes_while_the_journal_cannot_be_written_is_told_all_the_same(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = served.race.runs[0]

    def full(own: Journal, record: Record) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Journal, "append", full)
        until(lambda: run.state.phase == "paused", "the pause")
        link = attach(served.folder, steers=True)
        records: list[Record] = []

        def knows() -> bool:
            records.extend(told(link))
            return any(record.event.type == "run_paused" for record in records)

        until(knows, "the pause is told")
        assert fold(RunState(), records).reason == run.state.reason
    link.ask(0, Resume())
    until(lambda: records.extend(told(link)) or any(one.event.type == "run_resumed" for one in records), "it goes on")
    recorded = [record.seq for record in records if record.seq]
    assert recorded == list(range(1, len(recorded) + 1))
    link.close()


def test_a_console_that_is_told_no_more_says_so_and_what_shows_the_run_again(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    goes_on = f"the run goes on: fedlora-tui attach {served.folder} shows it"

    def broken(folder: Path) -> Iterator[bytes]:
        raise KeyError("nobody foresaw this")

    with monkeypatch.context() as patched:
        patched.setattr(control_module.journal, "whole_lines", broken)
        link = attach(served.folder, steers=False)
        until(lambda: link.runs[0].over, "the console let go")
    assert link.runs[0].refusal == f"its process let this console go; {goes_on}"
    until(lambda: not served.control.watched, "the face gone")
    (warned,) = [r.event.message for r in read(served.folder) if r.event.type == "warning"]  # type: ignore[attr-defined]
    assert warned == "a console was let go (KeyError: 'nobody foresaw this'): engine.log says where"
    assert "in broken" in caplog.text
    with (served.folder / "events.jsonl").open("ab") as written:
        written.write(b"no event\n")
    link = attach(served.folder, steers=False)
    until(lambda: link.runs[0].over, "the console that does not understand")
    why = "this console does not understand what its process told (no line of JSON)"
    assert link.runs[0].refusal == f"{why}; {goes_on}"
    reached = served.race.runs[0].state.round
    until(lambda: served.race.runs[0].state.round > reached, "another round")


def test_a_process_that_does_not_answer_is_not_said_to_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedlora_tui.attached.CONNECT_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "control.sock"))
        deaf.listen()
        with pytest.raises(UserError, match="its process is there and gave no answer"):
            attach(tmp_path, steers=True)


def test_faces_are_let_in_again_when_descriptors_were_short_for_a_moment() -> None:
    class Short:
        """A listening socket that finds no descriptor the first time."""

        def __init__(self) -> None:
            self.asked = 0

        def accept(self) -> tuple[socket.socket, str]:
            self.asked += 1
            if self.asked > 1:
                control.close()
            raise OSError(errno.EMFILE, "Too many open files")

    control, short = Control(()), Short()
    control._accept(0, short)  # type: ignore[arg-type]
    assert short.asked == 2
