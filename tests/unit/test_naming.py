"""Commands that are suggested find the run that they name, wherever it lies."""

from __future__ import annotations

import re
import shlex
import socket
import time
from pathlib import Path

import pytest

from fedlora_tui.attached import Link, attach
from fedlora_tui.engine import lock
from fedlora_tui.engine.folder import find
from fedlora_tui.errors import UserError
from fedlora_tui.farewell import farewell
from fedlora_tui.protocol.events import Record, RunFailed, RunFinished, RunStarted
from fedlora_tui.protocol.naming import called
from fedlora_tui.protocol.state import RunState, fold
from fedlora_tui.resume_command import finished

RUN = "1122-1402"


def started(folder: Path | str) -> RunStarted:
    return RunStarted(RUN, "m", 1, 1, 4, 8.0, "fedit", ("a", "b"), "cpu", {}, rounds=3, folder=str(folder))


@pytest.fixture(params=["runs", "other runs", "there/runs"])
def folder(request, tmp_path, monkeypatch):
    """The folder of a run, in the usual runs folder or in another, by a relative path."""
    monkeypatch.chdir(tmp_path)
    own = Path(request.param) / RUN
    own.mkdir(parents=True)
    events = (started(own), RunFinished(3, 1.0, 1.0, 2.0, 3, 1.0, 9.0))
    lines = [Record(seq, float(seq), event).line for seq, event in enumerate(events, 1)]
    (own / "events.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return own


def found(text: str) -> set[Path]:
    """What the commands in a text name, as a command that is typed here finds it."""
    suggested = re.findall(r"fedlora-tui (?:attach|resume|export|fork) ([^;)\n]+)", text)
    assert suggested, text
    return {find(Path("runs"), shlex.split(words)[0]).resolve() for words in suggested}


def test_a_run_is_called_by_its_id_only_where_that_finds_it(folder: Path) -> None:
    assert (called(folder) == RUN) == (folder.parent == Path("runs"))
    assert find(Path("runs"), shlex.split(called(folder))[0]).resolve() == folder.resolve()
    assert called(Path("runs").resolve() / RUN) == RUN


def test_every_suggestion_finds_the_run(folder: Path) -> None:
    lock.Lock(folder)
    with pytest.raises(UserError) as gone:
        attach(folder, steers=False)
    texts = [lock.refusal(folder), str(gone.value), finished(folder.parent, RUN)]
    for end in (None, RunFailed(1, "why"), RunFinished(3, 1.0, 1.0, 2.0, 3, 1.0, 9.0)):
        events = (started(folder), *([end] if end is not None else []))
        state = fold(RunState(), [Record(seq, 1.0, event) for seq, event in enumerate(events, 1)])
        texts.append(farewell(state))
    texts = [text for text in texts if "fedlora-tui" in text]
    assert len(texts) == 5
    assert all(found(text) == {folder.resolve()} for text in texts)


def test_a_run_that_lost_its_process_is_named_as_it_is_found_from_here(folder: Path) -> None:
    """Its process began elsewhere and tells the folder as it is from there."""
    ours, theirs = socket.socketpair()
    link = Link(ours, steers=False, labels=[""], home=folder.parent)
    (run,) = link.runs
    # All that its journal has was told already: its end is not among it.
    run.take(Record(10_000, 1.0, started(f"nowhere/{RUN}")))
    theirs.close()
    until = time.monotonic() + 60
    while not run.over:
        assert time.monotonic() < until
        time.sleep(0.01)
    state = fold(RunState(), run.drain())
    assert state.phase == "failed"
    assert found(state.reason) == {folder.resolve()}
    assert found(farewell(state)) == {folder.resolve()}


def test_a_run_that_was_left_before_it_went_on_is_told_as_it_is(folder: Path) -> None:
    told = farewell(RunState(), folder=folder)
    assert "nothing was written" not in told
    assert f"{RUN} was left before it went on" in told
    assert found(told) == {folder.resolve()}
