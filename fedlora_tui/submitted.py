"""Runs on a SuperLink: submitted, and followed where their folder is on this machine too.

The run goes on where the ServerApp runs, whatever becomes of who follows it here. Its folder is there as soon as it
waits for its organizations; where that is on another machine, what its ServerApp says in Flower's log is all there is.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from rich.console import Console

from fedlora_tui.attached import CONNECT_SECONDS, attach
from fedlora_tui.config import Config, resolved, to_toml
from fedlora_tui.engine import journal, lock
from fedlora_tui.engine.folder import FLOWER_RUN, letters
from fedlora_tui.engine.journal import Follower
from fedlora_tui.engine.race import Entry
from fedlora_tui.errors import UserError
from fedlora_tui.farewell import farewells
from fedlora_tui.federation.run_config import CONFIG, CONTINUES, FORK, FORK_ROUND, IN_FOLDER, SAID
from fedlora_tui.federation.superlink import Superlink
from fedlora_tui.headless import JsonLines, Narration
from fedlora_tui.protocol.commands import Stop
from fedlora_tui.protocol.events import Record, RunContinued, RunStarted, Warned
from fedlora_tui.protocol.naming import called
from fedlora_tui.protocol.state import RunState, apply

LOOK_SECONDS = 0.2
ASK_SECONDS = 2.0
"""How often the SuperLink is asked how a run stands."""

ENDING_SECONDS = 20.0
"""How long the SuperLink may take to know why a run ended whose process is gone."""

LAST_WORDS_SECONDS = 10.0
"""How long what a run said last may be on its way when it is over; the log ends behind it."""


def only_one(given: Sequence[Entry]) -> Entry:
    """Give the one run that is to be submitted. Raises UserError for a race."""
    if len(given) > 1:
        raise UserError('--race: not with federation.runtime = "superlink": its runs share one base in one process')
    return given[0]


def submit(entry: Entry) -> Submitted:
    """Start a run on the SuperLink that its configuration names. Raises UserError."""
    config = entry.config
    many = max(config.federation.organizations, config.federation.min_organizations)
    if entry.continues is None and (reason := _never(config, many)) is not None:
        raise UserError(reason)
    superlink = Superlink(config.superlink)
    name = config.runs.name or letters()
    # The folder of runs stays as it was written: it is where the ServerApp runs.
    told = replace(resolved(config, many), runs=replace(config.runs, name=name))
    if entry.continues is not None:
        # What a run began with is what it goes on with.
        told = config
    run_config: dict[str, str | int] = {CONFIG: to_toml(told)}
    if entry.continues is not None:
        run_config[CONTINUES] = str(entry.continues.absolute())
    if entry.fork is not None:
        run_config |= {FORK: str(entry.fork.folder.absolute()), FORK_ROUND: entry.fork.round}
    run = Submitted(superlink, superlink.submit(run_config))
    say(f"submitted to the SuperLink at {superlink.address}, as its run {run.number}")
    return run


def _never(config: Config, organizations: int) -> str | None:
    """Say why a configuration can work with no organizations, before any is asked; None where it may."""
    from fedlora_tui.engine.deployable import undeployable
    from fedlora_tui.privacy.combinations import unprotectable
    from fedlora_tui.privacy.secure_sum.combinations import unsummable

    return undeployable(config) or unprotectable(config, organizations) or unsummable(config, organizations)


class Submitted:
    """A run on a SuperLink, by Flower's number of it."""

    def __init__(self, superlink: Superlink, number: int) -> None:
        self.superlink, self.number = superlink, number
        self.place = ""
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._asked, self._over = 0.0, False
        self._listening = threading.Thread(target=self._listen, name="flower's log", daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        # Where the SuperLink answers no more, asking how the run stands says so.
        with contextlib.suppress(UserError):
            for line in self.superlink.lines(self.number):
                self._lines.put(line)

    def folder(self) -> Path | None:
        """Wait until the run has a folder; None where that is on another machine.

        Raises UserError where the run could not begin. Who interrupts this wants no run: it is ended.
        """
        try:
            while not self.place:
                self.tell_what_is_said()
                self._check_goes_on()
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            self.superlink.stop(self.number)
            say(f"run {self.number} was ended before it had begun")
            raise
        place = Path(self.place)
        return place if _number(place) == self.number else None

    def said(self) -> list[str]:
        """Give what its ServerApp has said since the last call to who submitted it."""
        found: list[str] = []
        with contextlib.suppress(Empty):
            while True:
                line = self._lines.get_nowait()
                if line.startswith(IN_FOLDER):
                    self.place = line.removeprefix(IN_FOLDER)
                elif line.startswith(SAID):
                    found.append(line.removeprefix(SAID))
        return found

    def tell_what_is_said(self) -> None:
        """Say it on stderr."""
        for words in self.said():
            say(words)

    def _check_goes_on(self) -> None:
        if time.monotonic() - self._asked < ASK_SECONDS:
            return
        self._asked = time.monotonic()
        standing = self.superlink.standing(self.number)
        # What it said last may still be on its way when it is over.
        if standing.over and self._over:
            raise UserError(self._why(standing.said))
        self._over = standing.over

    def _why(self, said: str) -> str:
        return _reason(said) or f"run {self.number} ended before it had begun"

    def why_it_never_began(self) -> str:
        """Give what the SuperLink says of a run whose process is gone, as soon as it knows."""
        until = time.monotonic() + ENDING_SECONDS
        while not (standing := self.superlink.standing(self.number)).over and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        return self._why(standing.said)

    def wait(self) -> bool:
        """Wait for the end of a run whose folder is elsewhere, and tell what it says; True where it went well."""
        while not (standing := self.superlink.standing(self.number)).over:
            asked = time.monotonic()
            while time.monotonic() - asked < ASK_SECONDS:
                self.tell_what_is_said()
                time.sleep(LOOK_SECONDS)
        self._listening.join(LAST_WORDS_SECONDS)
        self.tell_what_is_said()
        if not standing.well:
            say(f"run {self.number}: {self._why(standing.said)}")
        return standing.well

    @property
    def elsewhere(self) -> str:
        """Say where the run is, and how it is watched there."""
        return (
            f"run {self.number} goes on at {self.superlink.address}, in {self.place} there: "
            f"fedlora-tui attach {self.place} shows it on that machine"
        )


def _number(folder: Path) -> int | None:
    try:
        return int((folder / FLOWER_RUN).read_text())
    except (OSError, ValueError):
        return None


def _reason(said: str) -> str:
    """Give what our own app said of why it ended, without what Flower says around it."""
    return said.removeprefix("ServerApp failed with exception: ").strip()


def say(words: str) -> None:
    """Say something on stderr."""
    print(f"fedlora-tui: {words}", file=sys.stderr, flush=True)


def run_submitted(given: Sequence[Entry], json_lines: bool) -> int:
    """Submit a run and follow it without a terminal; give the exit status."""
    entry = only_one(given)
    begun = _lines(entry.continues) if entry.continues is not None else 0
    run = submit(entry)
    folder = run.folder()
    if folder is None:
        say(run.elsewhere)
        try:
            return 0 if run.wait() else 1
        except KeyboardInterrupt:
            say(run.elsewhere)
            return 130
    return follow(run, folder, json_lines, begun)


def submit_detached(given: Sequence[Entry]) -> int:
    """Submit a run and print its id, or Flower's number of it where its folder is elsewhere; give the exit status."""
    run = submit(only_one(given))
    folder = run.folder()
    if folder is None:
        say(run.elsewhere)
    print(run.number if folder is None else folder.name, flush=True)
    return 0


def console_on_submitted(given: Sequence[Entry], ascii_only: bool) -> int:
    """Submit a run and show it as soon as its folder is here; give the exit status."""
    from fedlora_tui.console.terminal import need_terminal
    from fedlora_tui.console_run import attach_console

    need_terminal("the console needs one", "fedlora-tui run submits and follows the same run without")
    entry = only_one(given)
    run = submit(entry)
    folder = run.folder()
    if folder is None:
        say(run.elsewhere)
        return 0
    return attach_console(folder, entry.config, ascii_only, readonly=False)


class _Followed:
    """A run as the narration needs it, read from its journal."""

    label = ""

    def __init__(self, folder: Path, begun: int) -> None:
        self._follower = Follower(folder)
        self._skip, self._new = begun, list[Record]()
        self.state = RunState()
        self.heard = self._goes = False
        self.said: set[str] = set()

    def look(self) -> list[Record]:
        """Take in what is new; give of it what is told, in a run that goes on only what came since.

        What was `said` before the journal began is narrated once, as it was said.
        """
        try:
            records = self._follower.look()
        except FileNotFoundError:
            # The folder of a run that could not begin is taken away.
            records = []
        for record in records:
            self.state = apply(self.state, record)
        told, self._skip = records[self._skip :], max(0, self._skip - len(records))
        self._new += [record for record in told if not self._said_already(record)]
        self.heard = self.heard or bool(told)
        # What stands before that, as what is wrong with a checkpoint, does not take back the end of an earlier process.
        self._goes = self._goes or any(isinstance(record.event, RunStarted | RunContinued) for record in told)
        return told

    def _said_already(self, record: Record) -> bool:
        return isinstance(record.event, Warned) and record.event.message in self.said

    @property
    def over(self) -> bool:
        """True once it has ended, and not before it went on."""
        return self._goes and self.state.over

    def drain(self) -> list[Record]:
        """Give the records since the last call."""
        new, self._new = self._new, []
        return new


class _Interrupts:
    """Notes the first interrupt, so that nothing of a look is lost; later ones interrupt, whatever is waited for."""

    came = False

    def __enter__(self) -> _Interrupts:
        self._before = signal.signal(signal.SIGINT, self._catch)
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True


def _lines(folder: Path) -> int:
    return sum(1 for _ in journal.whole_lines(folder))


def follow(submitted: Submitted, folder: Path, json_lines: bool, begun: int) -> int:
    """Follow a run by its journal to its end; give the exit status. An interrupt asks the run to stop, a second leaves.

    `begun` are the lines that its journal held before it went on. Raises UserError where it could not begin.
    """
    run, lines = _Followed(folder, begun), JsonLines()
    tell = lines.of_run()
    asked = False
    try:
        with Narration(Console(stderr=True, highlight=False), [run]) as narration, _Interrupts() as interrupts:
            while True:
                if interrupts.came and not asked:
                    asked = True
                    ask_to_stop(folder)
                lived = lock.held(folder)
                for words in () if run.heard else submitted.said():
                    run.said.add(words)
                    narration.say(words)
                new = run.look()
                for record in new if json_lines else ():
                    tell(record)
                narration.tell()
                if run.over or (not lived and not new):
                    break
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        if not run.over:
            say(f"{folder.name} goes on; fedlora-tui attach {called(folder)} shows it")
        return 130
    lines.finish(lambda: False)
    if not run.heard:
        if asked:
            say(f"{folder.name} was ended before it had begun")
            return 130
        raise UserError(submitted.why_it_never_began())
    if not run.over:
        say(f"{folder.name}: its process is gone; fedlora-tui resume {called(folder)} goes on with it")
        return 1
    sys.stderr.write(farewells([("", run.state)], folders=[folder]))
    sys.stderr.flush()
    return 130 if asked else 0 if run.state.phase == "done" else 1


def ask_to_stop(folder: Path) -> None:
    """Ask a run to stop; where somebody else steers it, who that is and what to do is said."""
    try:
        link = attach(folder, steers=True)
    except UserError as error:
        say(str(error))
        return
    until = time.monotonic() + CONNECT_SECONDS
    while not link.holder and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
    if link.may_steer:
        link.ask(link.place, Stop("interrupted"))
    else:
        say(f"{folder.name} goes on: {link.holder} steers; w in fedlora-tui attach {called(folder)} takes the wheel")
    link.close()
