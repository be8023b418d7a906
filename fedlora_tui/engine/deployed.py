"""Flower's ServerApp of a deployed run: the engine as everywhere else, over Flower's own Grid.

What differs stands behind a course: nodes are waited for and asked who they are, and what is sent goes to them.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedlora_tui.config import Config, load, parse
from fedlora_tui.engine.at_the_door import AtTheDoor
from fedlora_tui.engine.connected import Connected, IntroducedTexts
from fedlora_tui.engine.control import Control
from fedlora_tui.engine.course import Course, Entrant, Laid
from fedlora_tui.engine.deployable import undeployable
from fedlora_tui.engine.ending import Signals
from fedlora_tui.engine.folder import FLOWER_RUN
from fedlora_tui.engine.past import Fork
from fedlora_tui.engine.prepare import Apart, Prepared, Say, Stood, load_base, prepare
from fedlora_tui.engine.race import Entry, Race
from fedlora_tui.engine.run import Manner
from fedlora_tui.engine.waiting_for_nodes import wait_for_nodes
from fedlora_tui.engine.watching import Watching
from fedlora_tui.errors import UserError
from fedlora_tui.federation.admission import Admission
from fedlora_tui.federation.deployed_grid import DeployedGrid
from fedlora_tui.federation.run_config import CONFIG, CONTINUES, FORK, FORK_ROUND, IN_FOLDER
from fedlora_tui.federation.server_app import server_app
from fedlora_tui.federation.standing import lacking, owners
from fedlora_tui.lora.fingerprint import fingerprint
from fedlora_tui.organizations.roster import Roster
from fedlora_tui.protocol.events import Deployed

LOOK_SECONDS = 0.1
LAST_WORDS_SECONDS = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DeployedCourse(Course):
    """A run alone, whose organizations are on machines of their own."""

    def __init__(self, grid: Any) -> None:
        super().__init__()
        self._grid = DeployedGrid(grid)
        self._lacking = lacking(grid)
        self._connected: Connected
        self._at_the_door: AtTheDoor

    def roster(self, config: Config) -> Roster:
        """Name nobody: who takes part is seen when the base is here to be compared."""
        self._connected = Connected(self._grid, Admission(""))
        return Roster(IntroducedTexts(self._connected).source, ())

    def prepare(
        self,
        config: Config,
        roster: Roster,
        say: Say,
        stood: Stood | None = None,
        opens: Callable[[], None] = lambda: None,
    ) -> Prepared:
        """Load the base and wait for as many nodes as a round needs, in the run's folder. Raises UserError."""
        if (reason := undeployable(config)) is not None:
            raise UserError(reason)
        base = load_base(config, say)
        # How a run that goes on is set now its checkpoint says: policies are asked at its first boundary.
        set_so = config if stood is None else None
        self._connected = Connected(self._grid, Admission(fingerprint(base), owners), set_so)
        # Who is refused while nodes are waited for is told, too.
        self._at_the_door = AtTheDoor(self._connected)
        opens()
        self._connected.tell_again(wait_for_nodes(self._connected, self._at_the_door, config, say))
        texts = IntroducedTexts(self._connected)
        roster = Roster(texts.source, texts.source.first(None))
        return prepare(config, roster, say, stood=stood, apart=Apart(base, texts))

    def _lay(self, entrants: Mapping[int, Entrant]) -> Mapping[int, Laid]:
        (place, entrant), *_ = entrants.items()
        watching = entrant.side.observer
        assert isinstance(watching, Watching)
        self._grid.watched_by(watching)
        self.trying.open(entrant.prepared.base)
        told = (Deployed(self._lacking),)
        return {place: Laid(self._grid, 1, self._at_the_door, told)}


def main(grid: Any, context: Any) -> None:
    """Go through a run as Flower's ServerApp; its folder and its control socket are made where this runs.

    Raises UserError where the run could not begin or failed, so that Flower knows of it.
    """
    logging.captureWarnings(True)
    entry, manner = entry_of(context.run_config), Manner(on_folder=lambda folder: opened(folder))
    race = Race([entry], manner, course=DeployedCourse(grid))
    control = Control(race.racers)

    def opened(folder: Path) -> None:
        (folder / FLOWER_RUN).write_text(f"{context.run_id}\n")
        control.open_in(folder)
        print(f"{IN_FOLDER}{folder.absolute()}", flush=True)

    _go_through(race, control)
    if race.refusal is not None:
        raise UserError(race.refusal)
    state = race.runs[0].state
    if state.phase == "failed":
        raise UserError(state.reason)


def _go_through(race: Race, control: Control) -> None:
    """Go through a run to its end; a signal ends it as it does everywhere, and is Flower's again afterwards."""
    # In Flower's simulation this is no main thread, and signals are not for it to catch.
    kinds = SIGNALS if threading.current_thread() is threading.main_thread() else ()
    before = {kind: signal.getsignal(kind) for kind in kinds}
    signals = Signals(race, control.part) if before else None
    race.start()
    while not race.wait(LOOK_SECONDS):
        race.drain()
    if signals is not None:
        signals.let_exports_end()
    while race.writing:
        time.sleep(LOOK_SECONDS)
    control.part(LAST_WORDS_SECONDS)
    race.close()
    for kind, handler in before.items():
        signal.signal(kind, handler)
    if signals is not None and signals.caught is not None:
        signals.let_go()
        signal.raise_signal(signals.caught)


def entry_of(run_config: Mapping[str, Any]) -> Entry:
    """Read what a Flower run carries: a configuration, or none for the defaults, and where it begins. UserError."""
    text, continues, fork = (str(run_config.get(key, "")) for key in (CONFIG, CONTINUES, FORK))
    config = parse(text, "the run's configuration") if text else load(None)
    config = replace(config, federation=replace(config.federation, runtime="superlink"))
    parent = Fork(Path(fork), int(run_config.get(FORK_ROUND, 0))) if fork else None
    return Entry(config, continues=Path(continues) if continues else None, fork=parent)


app = server_app(main)
