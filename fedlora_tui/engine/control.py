"""The local socket by which other processes watch and steer the runs of this one.

A run's folder holds `control.sock` while its process lives, for its own user alone. Every face says hello, is told the
whole history from the journal and then what happens; one of them at a time steers. A face that is slow, gone or talks
nonsense never holds up the run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from fedlora_tui.engine import journal
from fedlora_tui.engine.stream import without_older_steps
from fedlora_tui.engine.wheel import Steerers
from fedlora_tui.protocol import wire
from fedlora_tui.protocol.commands import Command
from fedlora_tui.protocol.control_place import socket_place, write_place
from fedlora_tui.protocol.events import UNRECORDED, CommandRefused, Record
from fedlora_tui.protocol.state import RunState
from fedlora_tui.protocol.trying import Answer, Question

GREETING_SECONDS = 5.0
"""How long a face may take to say who it is."""

MOST_FACES = 32
BURST_BYTES = 256 * 1024
RECEIVED = 16 * 1024
MOST_BACKLOG = 100_000
"""Records that may wait for a face that does not read; beyond, it is let go, and may come again."""

COLLAPSED_FROM, COLLAPSED_EVERY = 10_000, 1_000
LOOK_SECONDS = 0.05

logger = logging.getLogger(__name__)


class Watched(Protocol):
    """A run as the control socket needs it."""

    label: str

    @property
    def folder(self) -> Path | None:
        """Where its journal is, None before there is one."""

    @property
    def over(self) -> bool:
        """True once no further record will come."""

    @property
    def refusal(self) -> str | None:
        """Why it could not begin."""

    @property
    def state(self) -> RunState:
        """How it stands, without waiting for what is being written."""

    def send(self, command: Command, by: str) -> None:
        """Hand over what somebody asks."""

    def subscribe(self, reader: Callable[[Record], None]) -> None:
        """Let a reader see every record."""

    def warn(self, words: str) -> None:
        """Put a warning into its journal."""

    def unwritten(self) -> Sequence[Record]:
        """Give what was told and could not be journalled yet, oldest first."""

    def try_text(self, asker: int, question: Question, tell: Callable[[Answer], None]) -> None:
        """Let its models go on with a text, and tell who asked what becomes of it."""

    def stop_trying(self, asker: int) -> None:
        """End what an asker tries."""


class Control:
    """The sockets of this process's runs, and the faces that are connected."""

    def __init__(self, runs: Sequence[Watched], clock: Callable[[], float] = time.monotonic) -> None:
        self.runs = tuple(runs)
        self._clock = clock
        self._lock = threading.RLock()
        self._faces: dict[int, _Face] = {}
        self._names = 0
        self._steerers = Steerers()
        self._told_steerers: object = None
        self._nonsense = 0
        self._sockets: list[tuple[socket.socket, Path]] = []
        self._closed = False
        for place, run in enumerate(self.runs):
            run.subscribe(partial(self._hand_out, place))
        threading.Thread(target=self._keep_time, name="control", daemon=True).start()

    def open(self, place: int, folder: Path) -> None:
        """Listen in the folder of the run at a place. A run goes on without a socket where there can be none."""
        try:
            path = socket_place(folder)
            with contextlib.suppress(FileNotFoundError):
                # Whoever writes this run holds its lock: what lies there is of a process that is gone.
                path.unlink()
            listening = _listening(path)
            write_place(folder, path)
        except OSError as error:
            logger.warning("no control socket: %s", error)
            self.runs[place].warn(f"no console can attach: control.sock cannot be made ({error.strerror or error})")
            return
        with self._lock:
            self._sockets.append((listening, path))
        threading.Thread(target=self._accept, args=(place, listening), name="control", daemon=True).start()

    def open_in(self, folder: Path) -> None:
        """Listen in the folder that one of the runs has just now: what a `Manner` is told of it by."""
        for place, run in enumerate(self.runs):
            if run.folder == folder:
                self.open(place, folder)

    def adopt(self, connection: socket.socket) -> None:
        """Take in the face that started this process: it has seen everything from the beginning."""
        self._take_in(connection, 0, whole=False)

    @property
    def watched(self) -> bool:
        """True while a face is connected."""
        with self._lock:
            return bool(self._faces)

    def part(self, seconds: float) -> None:
        """Let every face go once it was told all there is, after so long at most."""
        self.settle(seconds)
        self.close()

    def settle(self, seconds: float) -> None:
        """Wait until every face was told all there is, so long at most."""
        until = self._clock() + seconds
        while self._clock() < until:
            with self._lock:
                if all(face.told_all for face in self._faces.values()):
                    return
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Take the sockets away and let every face go."""
        with self._lock:
            self._closed = True
            sockets, self._sockets = self._sockets, []
            faces = list(self._faces.values())
        for listening, path in sockets:
            listening.close()
            with contextlib.suppress(OSError):
                path.unlink()
        for face in faces:
            face.close()

    def _accept(self, place: int, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                if self._closed:
                    return
                # Out of descriptors for the moment, or whoever knocked is gone already.
                time.sleep(LOOK_SECONDS)
                continue
            if _of_this_user(connection) and len(self._faces) < MOST_FACES:
                self._take_in(connection, place, whole=True)
            else:
                connection.close()

    def _take_in(self, connection: socket.socket, place: int, *, whole: bool) -> None:
        with self._lock:
            self._names += 1
            face = _Face(self._names, connection, self, place, whole=whole)
            self._faces[face.number] = face
        face.start()

    def _hand_out(self, place: int, record: Record) -> None:
        """Called under the stream's lock: only puts the record into each face's queue."""
        for face in tuple(self._faces.values()):
            face.put(place, record)

    def ask(self, face: _Face, place: int, command: Command) -> None:
        """Take a command from who steers; answer all others why not, themselves alone."""
        run, reason = self._run(place), self._cannot_steer(face)
        if not reason:
            run.send(command, face.who)
            return
        face.put(place, Record(UNRECORDED, time.time(), CommandRefused(command.name, command.value, reason, face.who)))

    def try_text(self, face: _Face, place: int, question: Question) -> None:
        """Let who steers try a text: training waits for it. The answer goes to this face alone."""
        run, reason = self._run(place), self._cannot_steer(face)
        if reason:
            face.answer(place, Answer(question.number, over=True, refusal=reason))
        else:
            run.try_text(face.number, question, partial(face.answer, place))

    def stop_trying(self, face: _Face, place: int) -> None:
        """End what a face tries."""
        self._run(place).stop_trying(face.number)

    def _run(self, place: int) -> Watched:
        if place >= len(self.runs):
            raise wire.WireError("no such run")
        return self.runs[place]

    def _cannot_steer(self, face: _Face) -> str:
        """Say why a face may not change the run, empty where it may; it takes the wheel where nobody has it."""
        with self._lock:
            takes = not self._steerers.holder and face.steers
            if takes:
                self._steerers = self._steerers.asked(face.number, self._clock())
            holder = self._faces.get(self._steerers.holder)
        if takes:
            self._tell_steerers()
        if holder is face:
            return ""
        words = f"{holder.who if holder else 'nobody'} steers: w takes the wheel"
        return words if face.steers else "this console only watches (--readonly)"

    def wheel(self, face: _Face, word: str) -> None:
        """Let a face ask for the wheel, keep it, or give it back."""
        with self._lock:
            if word == "ask" and face.steers:
                self._steerers = self._steerers.asked(face.number, self._clock())
            elif word == "keep":
                self._steerers = self._steerers.kept(face.number)
            elif word == "give":
                self._steerers = self._steerers.left(face.number)
        self._tell_steerers()

    def greeted(self, face: _Face) -> None:
        """A face has said who it is; it steers where nobody else does."""
        with self._lock:
            if face.steers and not self._steerers.holder:
                self._steerers = self._steerers.asked(face.number, self._clock())
        self._tell_steerers(again=True)

    def gone(self, face: _Face, *, nonsense: bool) -> None:
        """A face is gone, and what it tried ends. What said nothing that a console says is counted."""
        for run in self.runs:
            run.stop_trying(face.number)
        with self._lock:
            self._faces.pop(face.number, None)
            self._steerers = self._steerers.left(face.number)
            self._nonsense += nonsense
            count = self._nonsense
        if nonsense and str(count).strip("0") == "1":
            times = "once" if count == 1 else f"{count} times"
            logger.warning("nonsense on the control socket, %s", times)
            self.runs[face.place].warn(f"something that is no console spoke to control.sock, {times}: ignored")
        self._tell_steerers()

    def let_go(self, face: _Face, error: Exception) -> None:
        """What nobody foresaw ended a face's thread: it is let go, never left waiting, and the run's log says so."""
        logger.error("a console was let go", exc_info=error)
        self.runs[face.place].warn(f"a console was let go ({type(error).__name__}: {error}): engine.log says where")

    def _keep_time(self) -> None:
        while not self._closed:
            time.sleep(4 * LOOK_SECONDS)
            with self._lock:
                before, self._steerers = self._steerers, self._steerers.at(self._clock())
            if before is not self._steerers or self._steerers.asking:
                self._tell_steerers()

    def _tell_steerers(self, *, again: bool = False) -> None:
        """Tell every face who steers, where that has changed."""
        with self._lock:
            steerers, faces = self._steerers, [face for face in self._faces.values() if face.greeted]
            now = (steerers.holder, steerers.asking, len(faces))
            if now == self._told_steerers and not again:
                return
            self._told_steerers = now
            left = steerers.seconds_left(self._clock())
            names = {face.number: face.who for face in faces}
            for face in faces:
                face.say(
                    wire.Wheel(
                        yours=face.number == steerers.holder,
                        holder=names.get(steerers.holder, ""),
                        asked_by=names.get(steerers.asking, ""),
                        seconds=round(left, 1),
                        sole=len(faces) == 1,
                    )
                )


class _Face:
    """One connection: a thread that reads what it asks, a thread that writes what it is told."""

    def __init__(self, number: int, connection: socket.socket, control: Control, place: int, *, whole: bool) -> None:
        self.number, self.place, self.who, self.steers = number, place, "", False
        self.greeted = False
        self._connection, self._control, self._whole = connection, control, whole
        self._changed = threading.Condition()
        self._records: deque[tuple[int, Record]] = deque()
        self._words: deque[bytes] = deque()
        self._answers: dict[int, Answer] = {}
        self._told_over: set[int] = set()
        self._closed = False
        self._idle = False

    def start(self) -> None:
        """Begin to listen, and to tell once it has said who it is."""
        threading.Thread(target=self._read, name="control reads", daemon=True).start()

    @property
    def told_all(self) -> bool:
        """True where nothing is left to tell."""
        with self._changed:
            said = self._idle and len(self._told_over) == len(self._control.runs)
            return self._closed or not self.greeted or said

    def put(self, place: int, record: Record) -> None:
        """Queue a record, without waiting."""
        with self._changed:
            if self._closed:
                return
            self._records.append((place, record))
            self._idle = False
            if len(self._records) > COLLAPSED_FROM and len(self._records) % COLLAPSED_EVERY == 0:
                self._records = without_older_steps(self._records)
            deaf = len(self._records) > MOST_BACKLOG
            self._changed.notify()
        if deaf:
            self.close()

    def say(self, message: wire.Wheel | wire.Welcome | wire.Over) -> None:
        """Queue what is no event."""
        with self._changed:
            self._words.append(wire.line_of(message))
            self._idle = False
            self._changed.notify()

    def answer(self, place: int, answer: Answer) -> None:
        """Queue how an answer stands, in place of how it stood; without waiting."""
        with self._changed:
            self._answers[place] = answer
            self._idle = False
            self._changed.notify()

    def close(self) -> None:
        """End the connection; what waited for it is let go of."""
        with self._changed:
            self._closed = True
            self._records.clear()
            self._answers.clear()
            self._changed.notify()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        nonsense = False
        try:
            lines = _lines(self._connection)
            self._greet(next(lines, b""))
            for line in lines:
                message = wire.from_face(line)
                if isinstance(message, wire.Ask):
                    self._control.ask(self, message.place, message.command)
                elif isinstance(message, wire.WheelWord):
                    self._control.wheel(self, message.word)
                elif isinstance(message, wire.Try):
                    self._control.try_text(self, message.place, message.question)
                elif isinstance(message, wire.StopTrying):
                    self._control.stop_trying(self, message.place)
                else:
                    raise wire.WireError("greeted already")
        except wire.WireError:
            nonsense = True
        except OSError:
            pass
        except Exception as error:
            self._control.let_go(self, error)
        finally:
            self.close()
            self._control.gone(self, nonsense=nonsense)
            self._connection.close()

    def _greet(self, line: bytes) -> None:
        greeting = wire.from_face(line)
        if not isinstance(greeting, wire.Greeting):
            raise wire.WireError("no greeting")
        self.who, self.steers, self.greeted = greeting.who[:60], greeting.steers, True
        runs = self._control.runs
        history = tuple(run.state.seq for run in runs) if self._whole else ()
        self.say(wire.Welcome(tuple(run.label for run in runs), self.place, os.getpid(), history))
        # Before it is welcomed: who comes first steers, and not who is quicker from there on.
        self._control.greeted(self)
        threading.Thread(target=self._write, name="control writes", daemon=True).start()

    def _write(self) -> None:
        try:
            told = [self._tell_history(place) if self._whole else 0 for place in range(len(self._control.runs))]
            while not self._closed:
                self._write_some(told)
        except OSError:
            pass
        except Exception as error:
            self._control.let_go(self, error)
        finally:
            self.close()

    def _tell_history(self, place: int) -> int:
        """Send the journal as it stands; give the number of its last line. What comes meanwhile waits in the queue."""
        self._send_words()
        folder = self._control.runs[place].folder
        # Asked for first: what is written in between stands in the journal, what is told later waits in the queue.
        unwritten = self._control.runs[place].unwritten()
        last = b""

        def journalled() -> Iterator[bytes]:
            nonlocal last
            # A run of a race that is about to begin has its folder before its journal.
            with contextlib.suppress(FileNotFoundError):
                for last in journal.whole_lines(folder) if folder is not None else ():
                    yield wire.journal_line(place, last)

        self._send(journalled())
        told = int(json.loads(last)["seq"]) if last else 0
        lacking = [record for record in unwritten if record.seq == UNRECORDED or record.seq > told]
        self._send(wire.told_line(place, record) for record in lacking)
        return max([told, *(record.seq for record in lacking)])

    def _write_some(self, told: list[int]) -> None:
        with self._changed:
            if self._nothing_waits and not self._closed:
                self._tell_over()
            if self._nothing_waits and not self._closed:
                self._idle = True
                self._changed.wait(LOOK_SECONDS if len(self._told_over) < len(self._control.runs) else None)
            records, self._records = self._records, deque()
        self._send_words()
        self._send(
            wire.told_line(place, record)
            for place, record in records
            if record.seq == UNRECORDED or record.seq > told[place]
        )

    @property
    def _nothing_waits(self) -> bool:
        return not (self._records or self._words or self._answers)

    def _send(self, lines: Iterable[bytes]) -> None:
        """Send lines, many at a time."""
        burst = bytearray()
        for line in lines:
            burst += line
            if len(burst) >= BURST_BYTES:
                self._connection.sendall(burst)
                burst.clear()
        self._connection.sendall(burst)

    def _send_words(self) -> None:
        with self._changed:
            words, self._words = b"".join(self._words), deque()
            answers, self._answers = self._answers, {}
        told = (wire.line_of(wire.Tried(place, answer)) for place, answer in answers.items())
        self._connection.sendall(words + b"".join(told))

    def _tell_over(self) -> None:
        """Say which runs have ended, once each; called where nothing of theirs waits any more."""
        for place, run in enumerate(self._control.runs):
            if place not in self._told_over and run.over and not self._records:
                self._told_over.add(place)
                self._words.append(wire.line_of(wire.Over(place, run.refusal or "")))
                self._idle = False


def _lines(connection: socket.socket) -> Iterator[bytes]:
    """Give what comes line by line, the first within `GREETING_SECONDS`.

    Raises WireError for a first line that does not come and for one that is too long.
    """
    kept = bytearray()
    until: float | None = time.monotonic() + GREETING_SECONDS
    while True:
        try:
            connection.settimeout(None if until is None else max(0.01, until - time.monotonic()))
            some = connection.recv(RECEIVED)
        except TimeoutError:
            raise wire.WireError("nothing was said") from None
        if not some:
            if kept:
                raise wire.WireError("half a line")
            return
        kept += some
        *lines, rest = kept.split(b"\n")
        if len(rest) > wire.LONGEST_LINE or any(len(line) > wire.LONGEST_LINE for line in lines):
            raise wire.WireError("too long")
        kept = bytearray(rest)
        if lines:
            connection.settimeout(None)
            until = None
        for line in lines:
            yield bytes(line)


def _listening(path: Path) -> socket.socket:
    """Make the socket, open to its own user alone from the first moment on."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux gives the file the mode that the socket had before; elsewhere it is put right at once.
        os.fchmod(listening.fileno(), 0o600)
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(MOST_FACES)
    except OSError:
        listening.close()
        raise
    return listening


def _of_this_user(connection: socket.socket) -> bool:
    """Ask the system who is at the other end."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the file's mode is all that guards it there
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(user == os.geteuid())
