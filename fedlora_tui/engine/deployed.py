"""Flower's ServerApp of a deployed run: the engine as everywhere else, over Flower's own Grid.

What differs stands behind a course: nodes are waited for and asked who they are, and what is sent goes to them.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any

from fedlora_tui.config import Config, load, parse
from fedlora_tui.engine.connected import Connected, IntroducedTexts
from fedlora_tui.engine.control import Control
from fedlora_tui.engine.course import Course, Entrant, Laid
from fedlora_tui.engine.ending import Signals
from fedlora_tui.engine.prepare import Apart, Prepared, Say, Stood, load_base, prepare
from fedlora_tui.engine.race import Entry, Race
from fedlora_tui.engine.run import Manner
from fedlora_tui.engine.watching import Watching
from fedlora_tui.errors import UserError
from fedlora_tui.federation.deployed_grid import DeployedGrid
from fedlora_tui.federation.server_app import server_app
from fedlora_tui.lora.fingerprint import fingerprint
from fedlora_tui.organizations.roster import Roster
from fedlora_tui.protocol.events import Preparing

LOOK_SECONDS = 0.1
WAITING_SECONDS = 0.2
LAST_WORDS_SECONDS = 1.0

CONFIG = "config"
"""The key of a Flower run's own configuration that has a whole config.toml, as text."""

logger = logging.getLogger(__name__)


class DeployedCourse(Course):
    """A run alone, whose organizations are on machines of their own."""

    def __init__(self, grid: Any) -> None:
        super().__init__()
        self._grid = DeployedGrid(grid)
        self._connected: Connected

    def roster(self, config: Config) -> Roster:
        """Name nobody: who takes part is seen when the base is here to be compared."""
        self._connected = Connected(self._grid, "")
        return Roster(IntroducedTexts(self._connected).source, ())

    def prepare(self, config: Config, roster: Roster, say: Say, stood: Stood | None = None) -> Prepared:
        """Load the base and wait for as many nodes as a round needs. Raises UserError."""
        base = load_base(config, say)
        self._connected = Connected(self._grid, fingerprint(base))
        self._wait_for_nodes(config.federation.min_organizations, say)
        texts = IntroducedTexts(self._connected)
        roster = Roster(texts.source, texts.source.first(None))
        return prepare(config, roster, say, stood=stood, apart=Apart(base, texts))

    def _wait_for_nodes(self, need: int, say: Say) -> None:
        while True:
            seen = self._connected.look(())
            for warning in seen.warnings:
                logger.warning("%s", warning.message)
            here = len(self._connected.here)
            if here >= need:
                return
            say(Preparing("organizations", "working", "waiting for SuperNodes", here, need, "organizations"))
            time.sleep(WAITING_SECONDS)

    def _lay(self, entrants: Mapping[int, Entrant]) -> Mapping[int, Laid]:
        (place, entrant), *_ = entrants.items()
        watching = entrant.side.observer
        assert isinstance(watching, Watching)
        self._grid.watched_by(watching)
        self.trying.open(entrant.prepared.base)
        return {place: Laid(self._grid, 1, self._connected)}


def main(grid: Any, context: Any) -> None:
    """Go through a run as Flower's ServerApp; its folder and its control socket are made where this runs."""
    logging.captureWarnings(True)
    entry = Entry(config_of(context.run_config))
    race = Race([entry], Manner(on_folder=lambda folder: control.open_in(folder)), course=DeployedCourse(grid))
    control = Control(race.racers)
    # Flower may call this outside the main thread, where no signal can be caught: in its simulation.
    alone = threading.current_thread() is threading.main_thread()
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)} if alone else {}
    signals = Signals(race, control.close) if alone else None
    race.start()
    while not race.wait(LOOK_SECONDS):
        for run in race.runs:
            run.drain()
        if signals is not None:
            signals.pass_on()
            if signals.late:
                signals.leave_now()
    control.settle(LAST_WORDS_SECONDS)
    control.close()
    race.close()
    for kind, handler in before.items():
        signal.signal(kind, handler)
    if signals is not None and signals.caught is not None:
        signal.raise_signal(signals.caught)
    if race.refusal is not None:
        raise UserError(race.refusal)
    state = race.runs[0].state
    if state.phase == "failed":
        raise UserError(state.reason)


def config_of(run_config: Mapping[str, Any]) -> Config:
    """Read the configuration that a Flower run carries; without one, the defaults. Raises UserError."""
    text = str(run_config.get(CONFIG, ""))
    return parse(text, "the run's configuration") if text else load(None)


app = server_app(main)
