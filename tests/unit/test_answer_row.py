"""What the answer row of a console says that has only just come to a run."""

from __future__ import annotations

from collections import deque

from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.console.session import Session
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import Command, Rounds
from fedlora_tui.protocol.events import Record

NAME = "ada@pts/3"


class Told:
    """A run that tells what it is given."""

    label, asks_as = "", NAME
    over, refusal = False, None

    def __init__(self) -> None:
        self.waiting: deque[Record] = deque()
        self.seq = 0

    def tell(self, t: float, *events: ev.Event) -> None:
        for event in events:
            self.seq += 1
            self.waiting.append(Record(self.seq, t, event))

    def drain(self) -> list[Record]:
        drained, self.waiting = list(self.waiting), deque()
        return drained

    def start(self) -> None:
        pass

    def send(self, command: Command) -> None:
        self.tell(50.0, ev.CommandAcknowledged(command.name, command.value, 4, by=NAME, before=20))


def begun() -> ev.RunStarted:
    return ev.RunStarted("1122-1402-xkq", "tiny", 1, 1, 4, 8.0, "fedit", ("alpha",), "cpu", {})


def asked(by: str) -> ev.CommandAcknowledged:
    return ev.CommandAcknowledged("rounds", 30, 3, by=by, before=20)


def test_a_console_that_comes_finds_no_answer_to_what_was_asked_before_not_even_under_its_own_name() -> None:
    run = Told()
    run.tell(10.0, begun(), ev.RunPaused(2, 3, ""), ev.RunResumed(2), asked(NAME), asked("bob@pts/4"))
    run.tell(11.0, ev.CommandRefused("rank", 0, "1 is the least", "bob@pts/4"))
    session = Session(run, UNICODE, lambda: 100.0)
    session.poll()
    assert session.said is None
    run.tell(101.0, asked("bob@pts/4"))
    session.poll()
    assert session.said is not None
    assert session.said.words == "bob@pts/4: rounds 20 → 30, waits for round 3"


def test_a_console_that_comes_to_a_run_at_rest_is_told_why() -> None:
    run = Told()
    run.tell(10.0, begun(), ev.RunPaused(2, 3, "too few"), asked(NAME))
    session = Session(run, UNICODE, lambda: 100.0)
    session.poll()
    assert session.said is not None
    assert session.said.words == "paused by itself: too few"


def test_what_a_key_asked_for_is_answered_though_the_clock_of_the_machine_went_back() -> None:
    run = Told()
    run.tell(10.0, begun())
    session = Session(run, UNICODE, lambda: 100.0)
    session.poll()
    session.command(Rounds(30), "asked")
    session.poll()
    assert session.said is not None
    assert session.said.words == "rounds 20 → 30, waits for round 4"
