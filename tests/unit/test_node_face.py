"""What a node shows: lines fit their terminal, bytes are told to the byte, what is refused is told with its reason."""

from __future__ import annotations

import pytest

from fedlora_tui.node import events as ev
from fedlora_tui.node import face
from fedlora_tui.node.events import NodeRecord, from_line, to_line
from fedlora_tui.node.ledger import folded

REASON = "its policy allows a rank of 4 at most, 8 was asked"


def records() -> list[NodeRecord]:
    told = (
        ev.NodeStarted("clinic", "127.0.0.1:9092", True, "0.1.0", "rank <= 4"),
        ev.LinkChanged("connecting"),
        ev.LinkChanged("up"),
        ev.MessageReceived("7", ev.INTRODUCE, 0),
        ev.MessageAnswered("7", ev.INTRODUCE, 0, left={"introduction": 233}, seconds=2.0),
        ev.MessageReceived("7", ev.TRAIN, 1, 8, 1_234_567, 0, "0123456789abcdef" * 4),
        ev.Trained("7", 1, 8, 1204, 2.905, 1.9),
        ev.MessageAnswered(
            "7", ev.TRAIN, 1, 8, 4, 1_234_567, {"A": 411_000, "B": 823_567, "numbers": 32}, "ff", "", 2.0
        ),
        ev.MessageReceived("7", ev.TRAIN, 2, 8, 2_469_134, 0, "fedcba9876543210" * 4),
        ev.MessageRefused("7", ev.TRAIN, 2, REASON),
        ev.MessageAnswered("7", ev.TRAIN, 2, left={"words": 50}, error=REASON),
        ev.MessageReceived("7", ev.TRAIN, 3, 8, 1_234_567),
        ev.TrainingGoesOn("7", 3, 3, 8, 2.8),
    )
    return [NodeRecord(number, 1_790_000_000.0 + number, event) for number, event in enumerate(told)]


def test_each_thing_that_happened_is_a_line_of_words_with_its_bytes() -> None:
    said = [sentence for record in records() if (sentence := face.sentence(record))]
    assert said == [
        "clinic: node of the SuperLink at 127.0.0.1:9092   policy rank <= 4   INSECURE: no TLS, no key",
        "link connecting",
        "link up",
        "introduce: received no tensors",
        "introduce: sent 233 B: introduction 233 B",
        "round 1 train: received 1,234,567 B in 8 tensors   sha256 0123456789abcdef",
        "round 1 train: trained 8 steps   1,204 tokens   loss 2.905   1.9 s",
        "round 1 train: sent 1,234,599 B: A 411,000 B, B 823,567 B, numbers 32 B",
        "round 2 train: received 2,469,134 B in 8 tensors   sha256 fedcba9876543210",
        f"round 2 train: refused: {REASON}",
        f"round 2 train: sent 50 B: words 50 B   ({REASON})",
        "round 3 train: received 1,234,567 B in 8 tensors",
    ]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits_its_terminal_and_keeps_bytes_and_reasons(width: int) -> None:
    ledger = folded(records())
    lines = face.table(ledger.handled, width, 1_790_000_020.0)
    assert len(lines) == 5
    assert all(len(line) <= width for line in lines)
    assert all(word in lines[0] for word in ("asked", "round", "came B", "A B", "B B"))
    assert "411,000" in lines[2]
    assert "refused: its policy allow" in lines[3]
    if width >= 120:
        assert lines[3].endswith(REASON)
        assert lines[4].endswith("training for 9.0 s, step 3/8")
    assert face.table(ledger.handled, 200)[4].endswith("broken off")


@pytest.mark.parametrize(
    "after",
    [
        ev.NodeStarted("clinic", "127.0.0.1:9092", True, "0.1.0"),
        ev.NodeEnded("SIGTERM"),
        ev.MessageReceived("8", ev.TRAIN, 1, 8, 1_234_567),
        ev.MessageAnswered("7", ev.TRAIN, 3, error="broken off", seconds=7.0),
    ],
)
def test_a_message_that_nobody_works_on_any_more_is_broken_off_and_not_trained_for_ever(after: ev.NodeEvent) -> None:
    told = records()
    ledger = folded([*told, NodeRecord(len(told), 1_790_000_100.0, after)])
    lines = face.table(ledger.handled, 200, 1_790_036_000.0)
    assert lines[4].endswith("  broken off")
    assert lines[2:4] == face.table(folded(told).handled, 200, 1_790_036_000.0)[2:4]
    assert ledger.sums.answered == 3
    if isinstance(after, ev.MessageReceived):
        assert "training for" in lines[5]


def test_an_answer_that_comes_after_all_is_one() -> None:
    late = ev.NodeEnded("SIGTERM"), ev.MessageAnswered("7", ev.TRAIN, 3, 8, 4, 9, {"A": 4, "B": 5, "numbers": 32})
    told = [*records(), *(NodeRecord(13 + place, 1_790_000_100.0, own) for place, own in enumerate(late))]
    assert "broken off" not in "\n".join(face.table(folded(told).handled, 200))


def test_the_head_tells_who_it_is_how_the_link_stands_and_the_sums() -> None:
    head = face.head(folded(records()), 1_790_000_012.0)
    assert head == [
        "node      clinic   SuperLink 127.0.0.1:9092   INSECURE: no TLS, no key",
        "policy    rank <= 4",
        "link      up since 14:13:22 (10s)",
        "received  4,938,268 B in 4 messages",
        "trained   1 round, 8 steps, 1,204 tokens",
        "sent      1,234,882 B in 3 messages: A 411,000 B, B 823,567 B, numbers 32 B, introduction 233 B, words 50 B",
        f"refused   1 message, the last: {REASON}",
    ]


def test_why_a_node_cannot_take_part_stands_whole_in_the_head_until_it_answers_or_it_is_started_anew() -> None:
    why = "organization 'clinic' has 1 distinct document(s); 2 are needed, one to train on and one to hold out"
    begun = [
        NodeRecord(0, 1_790_000_000.0, ev.MessageReceived("7", ev.INTRODUCE, 0)),
        NodeRecord(1, 1_790_000_001.0, ev.NotSetUp("7", ev.INTRODUCE, 0, why)),
        NodeRecord(2, 1_790_000_001.0, ev.MessageAnswered("7", ev.INTRODUCE, 0, left={"words": 8}, error="NotSetUp")),
    ]
    assert all(from_line(to_line(one)) == one for one in begun)
    assert face.sentence(begun[1]) == f"introduce: cannot take part: {why}"
    lines = face.wrapped(face.head(folded(begun), 1_790_000_012.0), 80)
    assert all(len(line) <= 80 for line in lines)
    told = lines[next(place for place, line in enumerate(lines) if line.startswith("problem ")) :]
    assert len(told) > 1
    remedy = "once that is put right it is asked again within a minute"
    assert " ".join(line.strip() for line in told).endswith(f"cannot take part: {why}; {remedy}")
    assert all(line.startswith(" " * face.HEAD) for line in told[1:])
    assert "cannot take part: organization" in face.table(folded(begun).handled, 80)[1]
    asked, answered = ev.MessageReceived("7", ev.INTRODUCE, 0), ev.MessageAnswered("7", ev.INTRODUCE, 0)
    assert "cannot take part" in "\n".join(face.head(folded([*begun, NodeRecord(3, 1_790_000_009.0, asked)]), 0.0))
    for events in ((asked, answered), (ev.NodeStarted("clinic", "a:1", True, "0.1.0"),)):
        later = folded([*begun, *(NodeRecord(3 + place, 1_790_000_009.0, own) for place, own in enumerate(events))])
        assert not any(line.startswith("problem") for line in face.head(later, 1_790_000_012.0))
