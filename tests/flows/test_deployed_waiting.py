"""A deployed run waits for its nodes in a folder of its own: it is listed, attached to and ended like any other."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedlora_tui.attached import Link, attach
from fedlora_tui.engine import journal
from fedlora_tui.engine.at_the_door import AtTheDoor
from fedlora_tui.engine.control import Control
from fedlora_tui.engine.deployed import DeployedCourse
from fedlora_tui.engine.folder import find, read_config
from fedlora_tui.engine.listing import list_runs
from fedlora_tui.engine.race import Entry, Race
from fedlora_tui.engine.run import Manner
from fedlora_tui.federation.refusals import Refusal
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import Pause, Stop
from fedlora_tui.protocol.events import UNRECORDED
from fedlora_tui.protocol.state import RunState, fold
from tests.flows.nodes_here import NodesHere
from tests.flows.test_deployed_runs import nodes
from tests.tiny_runs import GUARD, configured, small_settings


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path) | {"federation.runtime": "superlink", "federation.min_organizations": 2}


class Served:
    """A run over nodes of this process with a control socket, as a ServerApp has it."""

    def __init__(self, entry: Entry, grid: NodesHere) -> None:
        self._there = threading.Event()
        self.folder = Path()
        self.race = Race([entry], Manner(on_folder=self._opened, tells_past=False), course=DeployedCourse(grid))
        self.control = Control(self.race.racers)
        self.race.start()

    def _opened(self, folder: Path) -> None:
        self.folder = folder
        self.control.open_in(folder)
        self._there.set()

    def attached(self) -> Link:
        """Attach as soon as that can be done."""
        assert self._there.wait(GUARD), self.race.refusal
        return attach(self.folder, steers=True)

    def close(self) -> None:
        """Let go of all."""
        self.race.send(Stop("the test is over"))
        assert self.race.wait(GUARD)
        self.control.close()
        self.race.close()


@contextlib.contextmanager
def served(entry: Entry, grid: NodesHere) -> Iterator[Served]:
    found = Served(entry, grid)
    try:
        yield found
    finally:
        found.close()


def seen(link: Link, test: Callable[[RunState], bool]) -> RunState:
    """Fold what comes until the state is as it is waited for."""
    state, until = RunState(), time.monotonic() + GUARD
    while not test(state):
        assert time.monotonic() < until, state.preparation
        state = fold(state, link.runs[0].drain())
        time.sleep(0.02)
    return state


def waits(here: str) -> Callable[[RunState], bool]:
    """A test for what is said while nodes are waited for."""
    words = f"waits for SuperNodes: {here} here"
    return lambda state: words in getattr(state.preparation.get("organizations"), "detail", "")


def test_whoever_attaches_sees_who_is_here_and_the_journal_begins_with_the_run(settings, monkeypatch):
    config = configured(settings)
    grid, _ = nodes(settings, config, "alpha")
    turned_away = [Refusal("its key is not registered", "192.0.2.9", "", 3, 1.0, 2.0)]
    monkeypatch.setattr(AtTheDoor, "turned_away", turned_away)
    with served(Entry(config), grid) as run:
        link = run.attached()
        state = seen(link, waits("1 of 2"))
        assert state.phase == "starting"
        assert state.preparation["node alpha"].detail.startswith("is here with ")
        told = state.preparation["refused"].detail
        assert told == "a node from 192.0.2.9: its key is not registered (3 times in all)"
        (listed,) = list_runs(run.folder.parent)
        assert (listed.id, listed.state) == (run.folder.name, "starting")
        assert listed.started is not None
        assert find(run.folder.parent, None) == run.folder
        assert (run.folder / journal.NAME).read_text() == ""
        link.ask(0, Pause())
        answer = seen(link, lambda state: state.answer is not None).answer
        assert answer is not None
        assert answer.event.reason == "the run is still starting"
        grid.connect("beta")
        ended = seen(link, lambda state: state.over)
        assert ended.phase == "done"
        # Whoever comes later is told of the run alone, and not of its start.
        late = seen(run.attached(), lambda state: state.over)
        assert set(late.preparation) == {"first look"}
    first, *_ = journal.read(run.folder)
    assert isinstance(first.event, ev.RunStarted)
    assert first.seq == UNRECORDED + 1
    assert first.event.orgs == ("alpha", "beta")
    assert read_config(run.folder).organizations == 2


def test_a_run_that_ends_before_it_has_begun_leaves_no_folder(settings):
    config = configured(settings)
    grid, (alpha,) = nodes(settings, config, "alpha")
    with served(Entry(config), grid) as run:
        link = run.attached()
        seen(link, waits("1 of 2"))
        grid.leave(alpha)
        state = seen(link, waits("0 of 2"))
        assert state.preparation["node alpha"].detail == "its SuperNode is gone"
        link.ask(0, Stop("enough"))
        assert run.race.wait(GUARD)
        seen(link, lambda state: link.runs[0].over)
        assert link.runs[0].refusal == run.race.refusal == "enough"
        assert list(run.folder.parent.iterdir()) == []


def test_a_run_that_goes_on_waits_where_it_is_and_stays_when_that_is_ended(settings):
    config = configured(settings, federation__rounds=3)
    grid, _ = nodes(settings, config, "alpha", "beta")
    with served(Entry(config), grid) as run:
        link = run.attached()
        seen(link, lambda state: any(row.round == 1 for row in state.history))
        link.ask(0, Stop("for today"))
        assert run.race.wait(GUARD)
    lines = (run.folder / journal.NAME).read_bytes()
    begun = read_config(run.folder)
    grid, _ = nodes(settings, begun, "alpha")
    with served(Entry(begun, continues=run.folder), grid) as again:
        state = seen(again.attached(), waits("1 of 2"))
        assert state.phase == "starting"
        assert state.started is not None
        assert any(row.round == 1 for row in state.history)
    assert (run.folder / journal.NAME).read_bytes() == lines
    grid.connect("beta")
    with served(Entry(begun, continues=run.folder), grid) as again:
        assert again.race.wait(GUARD)
        assert again.race.runs[0].state.phase == "done"
