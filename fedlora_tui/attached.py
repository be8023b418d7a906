"""A run of another process as a face holds it: its records come over the control socket, commands go back."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fedlora_tui.engine import journal, lock
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import wire
from fedlora_tui.protocol.commands import Command
from fedlora_tui.protocol.control_place import found_socket
from fedlora_tui.protocol.events import (
    ENDS,
    UNRECORDED,
    Preparing,
    Record,
    RoundStarted,
    RunContinued,
    RunFailed,
    RunStarted,
    TrainStep,
)
from fedlora_tui.protocol.naming import called
from fedlora_tui.protocol.trying import Answer, Question

CONNECT_SECONDS = 5.0
RECEIVED = 256 * 1024
ENDS_SECONDS, LOOK_SECONDS = 2.0, 0.1
"""How long a process that has closed its end may still be there before it counts as one that goes on."""


def attach(folder: Path, steers: bool) -> Link:
    """Connect to the process that writes the run in this folder. Raises UserError where there is none, or no answer."""
    path = found_socket(folder)
    gone = f"{folder.name}: no process runs it"
    if path is None:
        raise UserError(f"{gone}; fedlora-tui runs lists the runs, fedlora-tui resume {called(folder)} goes on with it")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_SECONDS)
    try:
        connection.connect(str(path))
        link = Link(connection, steers, home=folder.parent, folder=folder)
        link.wait_for_welcome(CONNECT_SECONDS)
    except PermissionError:
        raise UserError(f"{folder.name}: its control socket belongs to another user") from None
    except TimeoutError:
        connection.close()
        raise UserError(
            f"{folder.name}: its process is there and gave no answer for {CONNECT_SECONDS:g} s: try again, or end it"
        ) from None
    except OSError as error:
        connection.close()
        if lock.held(folder):
            said = "it is ending, or as many consoles watch it as may"
            raise UserError(f"{folder.name}: its process is there and took in no other console: {said}") from None
        raise UserError(f"{gone} any more ({error.strerror or error}); fedlora-tui resume {called(folder)}") from None
    return link


class Link:
    """One connection, the runs at its other end, and what is known of who steers them."""

    def __init__(
        self,
        connection: socket.socket,
        steers: bool,
        labels: Sequence[str] = (),
        ending: Callable[[], str] = str,
        home: Path | None = None,
        folder: Path | None = None,
    ) -> None:
        """`labels` are those of runs that are known already. `ending` says how the process at the other end ended.

        `home` is where the runs' folders are from here, where their own process may have another name for it; `folder`
        is that of the run that was attached to.
        """
        self.home, self.folder = home, folder
        self.steers = wire.Wheel(yours=steers)
        self.process = 0
        self.place = 0
        self.only_watches = not steers
        self._connection, self._ending = connection, ending
        self._sending = threading.Lock()
        self._welcomed = threading.Event()
        self._asked_until = 0.0
        self.runs: tuple[RemoteRun, ...] = tuple(RemoteRun(self, place, label) for place, label in enumerate(labels))
        self.name = who_is_here()
        connection.settimeout(None)
        self._say(wire.Greeting(self.name, steers))
        threading.Thread(target=self._listen, name="attached", daemon=True).start()

    def wait_for_welcome(self, seconds: float) -> None:
        """Wait until the other end has told which runs there are. Raises OSError where it does not."""
        if not self._welcomed.wait(seconds):
            raise TimeoutError("no answer")
        if not self.process:
            raise ConnectionError("it hung up")

    @property
    def may_steer(self) -> bool:
        """True where what is asked here is done; where nobody steers, the first who asks does."""
        return not self.only_watches and (self.steers.yours or not self.steers.holder)

    @property
    def lives(self) -> bool:
        """True where the process at the other end is there."""
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    @property
    def holder(self) -> str:
        """Who steers, empty where nobody does."""
        return self.steers.holder

    @property
    def asked_by(self) -> str:
        """Who asks for the wheel now."""
        return self.steers.asked_by

    @property
    def asks(self) -> bool:
        """True where that is this console."""
        return not self.only_watches and self.steers.asked_by == self.name

    @property
    def alone(self) -> bool:
        """True where no other console watches."""
        return self.steers.sole

    @property
    def seconds_to_refuse(self) -> float:
        """How long the one who steers may still refuse whoever asks for the wheel."""
        return max(0.0, self._asked_until - time.monotonic())

    def wheel(self, word: str) -> None:
        """Ask for the wheel, keep it, or give it back."""
        self._say(wire.WheelWord(word))

    def ask(self, place: int, command: Command) -> None:
        """Send a command to the run at a place."""
        self._say(wire.Ask(place, command))

    def try_text(self, place: int, question: Question) -> None:
        """Send a text for the models of the run at a place."""
        self._say(wire.Try(place, question))

    def stop_trying(self, place: int) -> None:
        """End what is tried from here on the run at a place."""
        self._say(wire.StopTrying(place))

    def close(self) -> None:
        """Leave; the runs go on."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _say(self, message: wire.FromFace) -> None:
        # Where the other end is gone, the listening thread says so.
        with self._sending, contextlib.suppress(OSError):
            self._connection.sendall(wire.line_of(message))

    def _listen(self) -> None:
        kept, trouble = bytearray(), ""
        try:
            while some := self._connection.recv(RECEIVED):
                kept += some
                *lines, rest = kept.split(b"\n")
                kept = bytearray(rest)
                for line in lines:
                    self._take(wire.from_engine(bytes(line)))
        except OSError:
            pass
        except Exception as error:  # whatever it is, a console that is told nothing more says so
            trouble = f"this console does not understand what its process told ({error or type(error).__name__})"
            self.close()
        finally:
            self._lost(trouble)

    def _take(self, message: wire.FromEngine | None) -> None:
        if isinstance(message, wire.Told):
            self.runs[message.place].take(message.record)
        elif isinstance(message, wire.Over):
            self.runs[message.place].end(message.refusal)
        elif isinstance(message, wire.Tried):
            self.runs[message.place].tries.take(message.answer)
        elif isinstance(message, wire.Wheel):
            self._asked_until = time.monotonic() + message.seconds
            self.steers = message
        elif isinstance(message, wire.Welcome):
            self.process, self.place = message.process, message.place
            if not self.runs:
                self.runs = tuple(RemoteRun(self, place, label) for place, label in enumerate(message.labels))
            for run, last in zip(self.runs, message.history, strict=False):
                run.awaited = last
            self._welcomed.set()

    def _lost(self, trouble: str) -> None:
        """Nothing more comes: runs that were not over by then have lost their process, or go on without this console.

        `trouble` says why it was left from here, empty where the other end is closed.
        """
        self._welcomed.set()
        if all(run.over for run in self.runs):
            return
        how = "" if trouble else self._ending()
        goes_on = not how and (bool(trouble) or self._still_held())
        for run in self.runs:
            if goes_on:
                run.leave(trouble or "its process let this console go")
            else:
                run.lose(how or "its process ended")

    def _still_held(self) -> bool:
        """Tell whether somebody still writes the runs; a process that ends closes its end a moment before."""
        folder = self.folder or next((run.folder for run in self.runs if run.folder is not None), None)
        until = time.monotonic() + ENDS_SECONDS
        while (held := folder is not None and lock.held(folder)) and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        return held


class RemoteRun:
    """One run at the other end of a link; a `RacerHandle`."""

    def __init__(self, link: Link, place: int, label: str) -> None:
        self.label = label
        self._link, self._place = link, place
        self.tries = RemoteTries(link, place)
        self._lock = threading.Lock()
        self._records: deque[Record] = deque()
        self._over = False
        self._refusal: str | None = None
        self.folder: Path | None = None
        self.awaited = 0
        """The number of the last record of its history, as it stood when this face came."""
        self._reached = (0, 0)
        self._newest = 0
        self._ending_told = False

    def start(self) -> None:
        """It goes on by itself."""

    def drain(self) -> Sequence[Record]:
        """Give the records since the last call."""
        with self._lock:
            drained, self._records = list(self._records), deque()
        return drained

    @property
    def asks_as(self) -> str:
        """The name under which what is asked here stands in the journal."""
        return self._link.name

    def send(self, command: Command) -> None:
        """Send a command; its answer comes as a record."""
        self._link.ask(self._place, command)

    @property
    def over(self) -> bool:
        """True once no further record will come."""
        return self._over

    @property
    def refusal(self) -> str | None:
        """Why it could not begin."""
        return self._refusal

    def take(self, record: Record) -> None:
        """Take in what the run told."""
        event = record.event
        self._newest = max(self._newest, record.seq)
        if isinstance(event, RunStarted):
            self.folder = Path(event.folder) if self._link.home is None else self._link.home / event.run
            if Path(event.folder).absolute() != self.folder.absolute():
                # It was moved, or its process began in another folder: this is where it is from here.
                record = replace(record, event=replace(event, folder=str(self.folder)))
        elif isinstance(event, RoundStarted):
            self._reached = (event.round, 0)
        elif isinstance(event, TrainStep):
            self._reached = (event.round, event.step)
        elif isinstance(event, ENDS):
            self._ending_told = True
        elif isinstance(event, Preparing | RunContinued):
            # What came before was the end of an earlier process of this run.
            self._ending_told = False
        with self._lock:
            self._records.append(record)

    def end(self, refusal: str) -> None:
        """Nothing more comes."""
        self._refusal = refusal or None
        self._over = True

    def leave(self, why: str) -> None:
        """The run goes on and is told here no more: say so, and what shows it again."""
        folder = self.folder or self._link.folder
        shown = f": fedlora-tui attach {called(folder)} shows it" if folder is not None else ""
        if not self._over:
            self.end(f"{why}; the run goes on{shown}")

    def lose(self, why: str) -> None:
        """The run's process is gone: say so, and what goes on with it, where the run had no ending before."""
        if self._over:
            return
        self._read_on()
        if self._ending_told:
            self.end("")
        elif self.folder is not None:
            words = f"{why}: fedlora-tui resume {called(self.folder)}"
            self.take(Record(UNRECORDED, time.time(), RunFailed(self._reached[0], words, self._reached[1])))
            self.end("")
        else:
            self.end(f"cannot start: {why}")

    def _read_on(self) -> None:
        """Take in what its process wrote down and could not tell, to a face that was far behind for instance."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError, ValueError, UserError):
            for record in journal.since(self.folder, self._newest):
                self.take(record)


class RemoteTries:
    """The way to the models of a run at the other end of a link; a `Tries`."""

    def __init__(self, link: Link, place: int) -> None:
        self._link, self._place = link, place
        self._answer: Answer | None = None

    def ask(self, question: Question) -> None:
        """Send a text; what becomes of it comes bit by bit."""
        self._link.try_text(self._place, question)

    def stop(self) -> None:
        """End the answer that comes now."""
        self._link.stop_trying(self._place)

    @property
    def answer(self) -> Answer | None:
        """How the newest answer stands."""
        return self._answer

    def take(self, answer: Answer) -> None:
        """Take in how an answer stands."""
        self._answer = answer


def who_is_here() -> str:
    """Name this console to others: the user and the terminal."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.geteuid())
    terminal = next((os.ttyname(number) for number in (0, 1, 2) if os.isatty(number)), "")
    return f"{user}@{terminal.removeprefix('/dev/')}" if terminal else f"{user}, process {os.getpid()}"
