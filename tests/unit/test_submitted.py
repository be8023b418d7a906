"""What is wrong with a SuperLink's address, certificate or name, or with what is submitted, is said in one line."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import click
import pytest
from flwr.common.constant import Status, SubStatus
from flwr.common.serde import run_to_proto
from flwr.proto.control_pb2 import ListRunsResponse, StartRunResponse, StreamLogsResponse
from flwr.supercore.run import Run, RunStatus

from fedlora_tui.config import Config, FederationConfig, PrivacyConfig, SuperlinkConfig
from fedlora_tui.engine import journal
from fedlora_tui.engine.lock import Lock
from fedlora_tui.engine.race import Entry
from fedlora_tui.engine.stream import Stream
from fedlora_tui.errors import UserError
from fedlora_tui.federation.run_config import IN_FOLDER, SAID
from fedlora_tui.federation.superlink import Standing, Superlink
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.control_place import socket_place, write_place
from fedlora_tui.submitted import Submitted, _Followed, follow, only_one, submit
from tests.deployment import eventually, free_port
from tests.listening import listening


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (SuperlinkConfig(), "nothing says where the SuperLink is; set superlink.address to its HOST:PORT"),
        (SuperlinkConfig(address="127.0.0.1"), "superlink.address = '127.0.0.1': no SuperLink answers there"),
        (SuperlinkConfig(address="127.0.0.1:port"), "superlink.address = '127.0.0.1:port': no SuperLink answers there"),
        (
            SuperlinkConfig(address="127.0.0.1:1", certificate="no/ca.crt"),
            "no/ca.crt': no such file",
        ),
        (SuperlinkConfig(connection="nowhere"), "the SuperLink at nowhere:"),
    ],
)
def test_a_connection_that_cannot_be_is_refused(config, words, tmp_path, monkeypatch):
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    with pytest.raises(UserError) as refused:
        Superlink(config)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"privacy": PrivacyConfig(mechanism="gaussian")}, "with federation.oversample = 0.5 one organization's reply"),
        ({"faults": {"alpha": "nan"}}, "leave [faults] out"),
    ],
)
def test_what_can_work_with_no_organizations_is_refused_before_any_superlink_is_asked(more, words):
    config = Config(federation=FederationConfig(runtime="superlink", oversample=0.5), **more)
    with pytest.raises(UserError) as refused:
        submit(Entry(config))
    assert words in str(refused.value)


def test_where_nobody_listens_is_said():
    config = Config(superlink=SuperlinkConfig(address=f"127.0.0.1:{free_port()}", insecure=True))
    with pytest.raises(UserError, match="no SuperLink answers there"):
        submit(Entry(config))


def test_what_a_superlink_says_is_printed_and_not_done_by_the_terminal(tmp_path, monkeypatch):
    evil, seen = "\x1b]0;owned\x07gone\n", "?]0;owned?gone"
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    with listening(None) as port:
        superlink = Superlink(SuperlinkConfig(address=f"127.0.0.1:{port}", insecure=True))

    def broken(request):
        raise click.ClickException(evil)

    failed = RunStatus(Status.FINISHED, SubStatus.FAILED, evil)
    superlink._client = SimpleNamespace(
        StartRun=lambda request: StartRunResponse(note=evil),
        ListRuns=lambda request: ListRunsResponse(
            run_dict={7: run_to_proto(replace(Run.create_empty(7), status=failed))}
        ),
        StreamLogs=lambda request: [StreamLogsResponse(log_output=evil)],
    )
    with pytest.raises(UserError, match=r"took no run: \?\]0;owned\?gone$"):
        superlink.submit({})
    assert superlink.standing(7).said == seen
    assert list(superlink.lines(7)) == [seen]
    superlink._client = SimpleNamespace(ListRuns=broken)
    with pytest.raises(UserError) as said:
        superlink.standing(7)
    assert str(said.value).isprintable()


def test_a_race_is_refused():
    config = Config()
    deployed = replace(config, federation=replace(config.federation, runtime="superlink"))
    with pytest.raises(UserError, match="--race: not with"):
        only_one([Entry(deployed, "rank 2"), Entry(deployed, "rank 4")])


class Told:
    """A SuperLink that tells lines of a run and how it stands, each look the next; the last one stays."""

    address = "127.0.0.1:9"

    def __init__(self, lines, *standings):
        self.told, self.standings, self.stopped = lines, list(standings), []

    def lines(self, run):
        yield from self.told

    def standing(self, run):
        found = self.standings.pop(0) if len(self.standings) > 1 else self.standings[0]
        if isinstance(found, type):
            raise found
        return found

    def stop(self, run):
        self.stopped.append(run)


GOES_ON = Standing(False, False, "")
REFUSED = Standing(True, False, "ServerApp failed with exception: no such model")


def test_who_interrupts_before_there_is_a_folder_ends_the_run(capsys):
    link = Told([f"{SAID}waits for SuperNodes: 0 of 2 here"], GOES_ON, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        Submitted(link, 7).folder()
    assert link.stopped == [7]
    assert capsys.readouterr().err.splitlines()[-1] == "fedlora-tui: run 7 was ended before it had begun"


def test_who_is_here_is_told_though_the_folder_is_elsewhere(tmp_path, capsys):
    there = tmp_path / "runs" / "1122-1402"
    lines = [f"{IN_FOLDER}{there}", f"{SAID}waits for SuperNodes: 1 of 2 here: alpha"]
    run = Submitted(Told(lines, GOES_ON, Standing(True, True, "")), 7)
    assert run.folder() is None
    assert f"in {there} there" in run.elsewhere
    assert run.wait()
    assert "fedlora-tui: waits for SuperNodes: 1 of 2 here: alpha" in capsys.readouterr().err.splitlines()


def test_what_a_run_elsewhere_said_last_is_told_though_it_comes_when_it_is_over(capsys):
    over = threading.Event()

    class Late(Told):
        def lines(self, run):
            over.wait()
            yield from self.told

        def standing(self, run):
            found = super().standing(run)
            over.set()
            return found

    assert Submitted(Late([f"{SAID}alpha left"], Standing(True, True, "")), 7).wait()
    assert capsys.readouterr().err.splitlines() == ["fedlora-tui: alpha left"]


def test_a_run_that_ends_before_it_has_begun_gives_its_reason_in_one_line_and_what_was_said(tmp_path, monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    lines = [f"{SAID}waits for SuperNodes: 1 of 2 here: alpha", "a line of somebody else"]
    run = Submitted(Told(lines, GOES_ON, REFUSED), 7)
    eventually(lambda: run._lines.qsize() == len(lines), "what is said")
    with pytest.raises(UserError) as refused:
        follow(run, tmp_path / "gone", json_lines=False, begun=0)
    assert str(refused.value) == "no such model"
    assert said.getvalue().count("waits for SuperNodes: 1 of 2 here: alpha") == 1
    assert "somebody" not in said.getvalue()


STARTED = ev.RunStarted("r", "m", 1, 1, 4, 8.0, "fedit", ("alpha", "beta"), "cpu", {}, rounds=5)
FINISHED = ev.RoundFinished(1, 5, 2.0, 2.0, 1, 1, 1.0, 1, None, ("alpha", "beta"))
CONTINUED = ev.RunContinued(1, "it was terminated", ("alpha", "beta"), 5, 4, {}, 1e-3, "fedit", 1)


@pytest.fixture
def stream(tmp_path):
    """What a run tells into its journal."""
    told = Stream()
    told.open_journal(tmp_path)
    yield told
    told.close_journal()


@pytest.mark.parametrize("before", [ev.Warned("checkpoint round-0002 is broken"), FINISHED])
def test_what_a_run_tells_before_it_goes_on_does_not_end_it(stream, tmp_path, before):
    earlier = (STARTED, ev.RunStopped(1, 0, "terminated"))
    for event in earlier:
        stream.emit(event)
    run = _Followed(tmp_path, begun=len(earlier))
    stream.emit(before)
    assert [record.event for record in run.look()] == [before]
    assert not run.over
    stream.emit(CONTINUED)
    run.look()
    assert not run.over
    stream.emit(ev.RunStopped(2, 0, "interrupted"))
    run.look()
    assert run.over


@pytest.fixture
def interrupted(monkeypatch):
    """The first look that finds something is interrupted before that is told."""
    look = _Followed.look

    def then_interrupted(run):
        heard, told = run.heard, look(run)
        if told and not heard:
            signal.raise_signal(signal.SIGINT)
        return told

    monkeypatch.setattr(_Followed, "look", then_interrupted)


@pytest.mark.usefixtures("interrupted")
def test_an_interrupt_amid_a_look_takes_no_line_away(stream, tmp_path, capfd):
    for event in (STARTED, FINISHED):
        stream.emit(event)
    before = signal.getsignal(signal.SIGINT)
    assert follow(Submitted(Told([], GOES_ON), 7), tmp_path, json_lines=True, begun=0) == 1
    out, err = capfd.readouterr()
    assert out.encode().splitlines() == list(journal.whole_lines(tmp_path))
    assert "round 1/5" in err
    # It was asked to stop afterwards.
    assert "no process runs it" in err
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.usefixtures("interrupted")
def test_who_interrupts_again_while_the_run_is_asked_to_stop_is_told_that_it_goes_on(stream, tmp_path, capfd):
    stream.emit(STARTED)
    held = Lock(tmp_path)

    def interrupt():
        silent, _ = door.accept()
        os.kill(os.getpid(), signal.SIGINT)
        left.wait()
        silent.close()

    left = threading.Event()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(socket_place(tmp_path)))
        write_place(tmp_path, socket_place(tmp_path))
        door.listen()
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            assert follow(Submitted(Told([], GOES_ON), 7), tmp_path, json_lines=False, begun=0) == 130
        except KeyboardInterrupt:
            pytest.fail("it interrupted more than this")
        finally:
            left.set()
            held.close()
            socket_place(tmp_path).unlink()
    assert f"{tmp_path.name} goes on; fedlora-tui attach" in capfd.readouterr().err
