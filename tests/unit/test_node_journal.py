"""A node's ledger on disk and as it stands: lines of several processes in one order, torn ends mended, sums right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedlora_tui.errors import UserError
from fedlora_tui.node import events as ev
from fedlora_tui.node.journal import NAME, LedgerReader, NodeJournal, read_ledger
from fedlora_tui.node.ledger import NodeLedger, folded

STARTED = ev.NodeStarted("clinic", "127.0.0.1:9092", True, "0.1.0")


def message(round: int, kind: str = ev.TRAIN, size: int = 100) -> ev.MessageReceived:
    return ev.MessageReceived("7", kind, round, 2, size, 0, "ab" * 32)


def test_two_processes_write_in_turn_and_the_numbers_have_no_holes(tmp_path: Path) -> None:
    one = NodeJournal(tmp_path)
    one.append(STARTED)
    code = (
        "from pathlib import Path\n"
        "from fedlora_tui.node.events import LinkChanged\n"
        "from fedlora_tui.node.journal import NodeJournal\n"
        f"journal = NodeJournal(Path({str(tmp_path)!r}))\n"
        "for number in range(20): journal.append(LinkChanged('up', str(number)))\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    for round in range(20):
        one.append(message(round))
    assert [other.wait(60) for other in others] == [0, 0]
    assert [record.seq for record in read_ledger(tmp_path)] == list(range(61))
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_a_torn_last_line_is_cut_off_and_its_number_given_again(tmp_path: Path) -> None:
    journal = NodeJournal(tmp_path)
    journal.append(STARTED)
    reader = LedgerReader(tmp_path)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"v":1,"seq":1,"t":1.0,"type":"node_en')
    assert [record.seq for record in reader.look()] == [0]
    assert journal.append(message(1)).seq == 1
    assert [record.event for record in reader.look()] == [message(1)]
    assert [record.event for record in read_ledger(tmp_path)] == [STARTED, message(1)]


def test_a_ledger_that_was_removed_takes_no_line_and_says_so(tmp_path: Path) -> None:
    journal = NodeJournal(tmp_path)
    (tmp_path / NAME).unlink()
    with pytest.raises(OSError, match="removed while the node went on"):
        journal.append(STARTED)


def test_a_broken_line_has_its_place_and_a_kind_of_a_later_version_is_passed_over(tmp_path: Path) -> None:
    NodeJournal(tmp_path).append(STARTED)
    with (tmp_path / NAME).open("a") as file:
        file.write('{"v":1,"seq":1,"t":1.0,"type":"weather","rain":true}\n')
    assert [record.event for record in read_ledger(tmp_path)] == [STARTED]
    with (tmp_path / NAME).open("a") as file:
        file.write('{"v":1,"seq":2,"t":1.0,"type":"link_changed","state":5}\n')
    with pytest.raises(UserError, match=f"{NAME}:3: "):
        read_ledger(tmp_path)
    with pytest.raises(UserError, match="no ledger of a node"):
        read_ledger(tmp_path / "elsewhere")


def test_what_stands_in_a_ledger_is_the_fold_of_its_lines(tmp_path: Path) -> None:
    journal = NodeJournal(tmp_path)
    left = {"A": 40, "B": 50, "numbers": 32}
    for event in (
        STARTED,
        ev.LinkChanged("up"),
        message(1),
        ev.TrainingGoesOn("7", 1, 1, 2, float("nan")),
        ev.Trained("7", 1, 2, 64, 3.5, 1.25),
        ev.MessageAnswered("7", ev.TRAIN, 1, 2, 4, 90, left, "cd" * 32, "", 1.5),
        message(2),
        ev.MessageRefused("7", ev.TRAIN, 2, "its policy lets no loss leave"),
        ev.MessageAnswered("7", ev.TRAIN, 2, left={"words": 29}, error="its policy lets no loss leave"),
        message(2, ev.EVALUATE, 10),
        ev.LinkChanged("down", "nobody listens there"),
    ):
        journal.append(event)
    ledger = folded(read_ledger(tmp_path))
    sums = ledger.sums
    assert (sums.messages, sums.received, sums.trained, sums.steps, sums.tokens) == (3, 210, 1, 2, 64)
    assert (sums.answered, sums.refused, sums.sent) == (2, 1, 151)
    assert sums.left == {**left, "words": 29}
    assert (ledger.link, ledger.link_note, dict(ledger.rounds)) == ("down", "nobody listens there", {"7": 1})
    first, second, third = ledger.handled
    assert first.trained is not None
    assert first.progress is not None
    assert (first.progress.loss, first.trained.loss) == (None, 3.5)
    assert second.refused
    assert second.answered is not None
    assert third.answered is None
    assert folded(read_ledger(tmp_path), NodeLedger(kept=2)).handled == (second, third)
    for line in (tmp_path / NAME).read_text().splitlines():
        assert json.loads(line)["v"] == 1
