"""The journal's file: torn lines, followers, ends read first, versions, and who may write."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.engine import journal, lock
from fedlora_tui.engine.journal import Follower, Journal, lines_from_end, read, whole_lines
from fedlora_tui.engine.lock import Lock
from fedlora_tui.engine.stream import Stream
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record


def record(seq, words="x"):
    return Record(seq, 1.0 * seq, ev.Warned(words * seq))


def kept(folder, count):
    one = Journal(folder)
    for seq in range(1, count + 1):
        one.append(record(seq))
    one.close()
    return folder / journal.NAME


@given(st.integers(0, 5), st.integers(1, 200), st.sampled_from(["x", "größe", "\n", "☃"]))
@settings(max_examples=60)
def test_a_torn_last_line_is_cut_off_when_the_next_writer_comes(tmp_path_factory, whole, torn, words):
    folder = tmp_path_factory.mktemp("run")
    one = Journal(folder)
    for seq in range(1, whole + 1):
        one.append(record(seq, words))
    one.close()
    path = folder / journal.NAME
    before = path.read_bytes()
    part = json.dumps({"v": 1, "seq": whole + 1, "t": 1.0, "type": "warning", "message": "y" * 300})[:torn].encode()
    path.write_bytes(before + part)
    assert [one.seq for one in read(folder)] == list(range(1, whole + 1))
    again = Journal(folder)
    assert again.mended == len(part)
    assert path.read_bytes() == before
    again.append(record(whole + 1, words))
    assert [one.seq for one in read(folder)] == list(range(1, whole + 2))
    again.close()


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path):
    path = kept(tmp_path, 3)
    before = path.read_bytes()
    path.write_bytes(before + b'{"v":1,' + b"a" * (3 * journal.BLOCK))
    assert Journal(tmp_path).mended == 7 + 3 * journal.BLOCK
    assert path.read_bytes() == before


@given(st.lists(st.integers(1, 90), max_size=12))
@settings(max_examples=40)
def test_a_follower_gives_every_line_once_however_the_file_grows(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("run")
    other = tmp_path_factory.mktemp("other")
    whole = kept(other, 10).read_bytes()
    path = folder / journal.NAME
    path.touch()
    followers, told, at = (Follower(folder), Follower(folder)), ([], []), 0
    for size in [*sizes, len(whole)]:
        with path.open("ab") as file:
            file.write(whole[at : at + size])
        at += size
        for follower, heard in zip(followers, told, strict=True):
            heard += follower.look()
    assert [one.seq for one in told[0]] == list(range(1, 11))
    assert told[0] == told[1] == list(read(folder))


def test_a_follower_outlives_a_torn_line_that_is_cut_off_and_written_anew(tmp_path):
    path = kept(tmp_path, 2)
    follower = Follower(tmp_path)
    follower.look()
    with path.open("ab") as file:
        file.write(b'{"v":1,"seq":3,"t":')
    assert follower.look() == []
    again = Journal(tmp_path)
    again.append(record(3))
    again.append(record(4))
    assert [one.seq for one in follower.look()] == [3, 4]


@pytest.mark.parametrize("count", [0, 1, 7, 700])
def test_lines_come_from_the_end_in_order(tmp_path, count):
    path = kept(tmp_path, count)
    lines = path.read_bytes().splitlines()
    assert list(lines_from_end(tmp_path)) == lines[::-1]
    with path.open("ab") as file:
        file.write(b'{"torn')
    assert list(lines_from_end(tmp_path)) == lines[::-1]


def test_a_line_of_a_newer_version_is_refused_with_its_place_and_a_broken_one_with_its_reason(tmp_path):
    path = kept(tmp_path, 2)
    before = path.read_bytes()
    path.write_bytes(before + b'{"v":7,"seq":3,"t":1,"type":"x"}\n')
    with pytest.raises(UserError) as refused:
        list(read(tmp_path))
    assert str(refused.value) == (
        f"{path}:3: event version 7, this program reads up to 1; upgrade fedlora-tui to read this run"
    )
    path.write_bytes(before + b"{]\n")
    with pytest.raises(ValueError, match="Expecting"):
        list(read(tmp_path))


def test_every_line_is_in_the_file_before_a_reader_hears_of_it(tmp_path):
    stream = Stream()
    stream.open_journal(tmp_path)
    stream.subscribe(lambda one: heard.append((one.seq, [line.seq for line in read(tmp_path)][-1])))
    heard: list[tuple[int, int]] = []
    for seq in range(1, 6):
        stream.emit(ev.Warned(str(seq)))
    assert heard == [(seq, seq) for seq in range(1, 6)]


def test_numbers_go_on_after_those_of_a_journal(tmp_path):
    kept(tmp_path, 4)
    stream = Stream()
    assert stream.open_journal(tmp_path) == 0
    heard: list[Record] = []
    stream.subscribe(heard.append)
    stream.take_up(list(read(tmp_path)), told=True)
    stream.emit(ev.Warned("on"))
    assert [one.seq for one in read(tmp_path)] == [1, 2, 3, 4, 5]
    assert [one.seq for one in heard] == [1, 2, 3, 4, 5]


def test_a_line_that_grows_while_it_is_read_is_left_out_whole(tmp_path, monkeypatch):
    """A file's reader that comes to the end goes on when asked again: the rest of a line is no line."""

    class Growing(io.RawIOBase):
        pieces = iter((b"one\ntwo\nthr", b"", b"ee\nfour\n", b""))

        def readable(self):
            return True

        def readinto(self, room):
            piece = next(self.pieces, b"")
            room[: len(piece)] = piece
            return len(piece)

    monkeypatch.setattr(Path, "open", lambda path, mode: io.BufferedReader(Growing()))
    assert list(whole_lines(tmp_path)) == [b"one", b"two"]


# --- the lock

HOLDS = """
import sys, time
from pathlib import Path
from fedlora_tui.engine.lock import Lock
kept = Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_lock_names_its_holder_and_ends_with_its_process_however_that_ends(tmp_path):
    (tmp_path / "mine").mkdir()
    folder = tmp_path / "mine"
    assert not lock.held(folder)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert lock.held(folder)
        with pytest.raises(UserError) as refused:
            Lock(folder)
        assert f"run mine is being written by pid {process.pid} on {os.uname().nodename} since 20" in str(refused.value)
    finally:
        process.kill()
        process.wait()
    assert not lock.held(folder)
    Lock(folder).close()


def test_whoever_asks_does_not_hold(tmp_path):
    first = Lock(tmp_path)
    assert lock.held(tmp_path)
    assert lock.held(tmp_path)
    first.close()
    assert not lock.held(tmp_path)
    (tmp_path / lock.NAME).write_text("{torn")
    assert lock.holder(tmp_path) is None
    assert lock.refusal(tmp_path).startswith(f"run {tmp_path.name} is being written by another process")
