"""`fedlora-tui node`: an organization's SuperNode with its own data and limits, and the account of all that it does."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fedlora_tui import __version__
from fedlora_tui.console.drawing import numbers
from fedlora_tui.deployment.keys import node_public, read_certificate
from fedlora_tui.deployment.layout import read_about
from fedlora_tui.engine.lock import NAME as LOCK
from fedlora_tui.engine.lock import held, take
from fedlora_tui.errors import UserError
from fedlora_tui.node import face
from fedlora_tui.node.events import LinkChanged, NodeEnded, NodeEvent, NodeRecord, NodeStarted, to_line
from fedlora_tui.node.journal import LedgerReader, NodeJournal, read_ledger
from fedlora_tui.node.ledger import NodeLedger, folded
from fedlora_tui.node.supernode import Connection, Refusing, SuperNode
from fedlora_tui.node_policy import EVERYTHING, NodePolicy, load_policy, policy_toml, words
from fedlora_tui.place import look
from fedlora_tui.protocol.naming import ALLOWED, is_name
from fedlora_tui.ssh_keys import fingerprint

LOOK_SECONDS, DRAW_SECONDS = 0.1, 1.0
POLICY = "policy.toml"
STALLED_SECONDS, LAST_WORDS_SECONDS = 5.0, 2.0
"""How long a node that is to end may stand still, for nobody reads what it prints, and how long its last words take."""
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


@dataclass(frozen=True)
class Asked:
    """A node as it was asked for, checked."""

    organization: str
    data: Path
    folder: Path
    connection: Connection
    policy: NodePolicy
    base: str = ""


def node(arguments: argparse.Namespace) -> int:
    """Do what `fedlora-tui node` was asked for; give the exit status. Raises UserError."""
    if arguments.write_policy is not None:
        write_policy(arguments.write_policy)
        return 0
    if arguments.history:
        print_history(_folder(arguments, _name(arguments)), arguments.json)
        return 0
    if arguments.json:
        raise UserError("--json is for --history; what a node does stands in its folder's ledger.jsonl as it happens")
    return run_node(asked(arguments))


def write_policy(where: str) -> None:
    """Write a policy to begin with. Raises UserError where something is there already."""
    place = look(where, f"{where}: no policy can be written there", "name another file with --write-policy")
    try:
        with place.path.open("x", encoding="utf-8") as file:
            file.write(policy_toml())
    except FileExistsError:
        raise UserError(f"{where}: is there already, and stays as it is; name another file") from None
    except OSError as error:
        raise UserError(f"{where}: cannot be written: {error.strerror}; name another file") from None
    print(place.path, flush=True)


def asked(arguments: argparse.Namespace) -> Asked:
    """Check what a node is to be started with. Raises UserError."""
    if arguments.superlink is None or arguments.data is None:
        missing = "--superlink HOST:PORT" if arguments.superlink is None else "--data FOLDER"
        raise UserError(f"node: {missing} is missing; see fedlora-tui node --help")
    match = ADDRESS.fullmatch(arguments.superlink)
    if match is None or not 0 < int(match[2]) < 65536:
        raise UserError(f"--superlink {arguments.superlink}: allowed is HOST:PORT, like superlink.example.org:9092")
    data = look(arguments.data, f"--data {arguments.data}: cannot be looked at", "name a folder or file of text")
    if not (data.is_folder or data.is_file):
        raise UserError(
            f"--data {arguments.data}: is not here; name the folder or the file of this organization's text"
        )
    if data.is_folder and not any(data.path.iterdir()):
        raise UserError(f"--data {arguments.data}: the folder is empty; name the one with this organization's text")
    name = _name(arguments)
    folder = _folder(arguments, name)
    if data.is_folder and folder.resolve().is_relative_to(data.path.resolve()):
        raise UserError(f"--folder {folder}: lies in --data, and would be read as text; name another with --folder")
    policy = EVERYTHING if arguments.policy is None else load_policy(Path(arguments.policy).expanduser())
    connection = _connection(arguments)
    if connection.key is not None:
        _check_is_ones_own(connection.key, name)
    return Asked(name, data.path.absolute(), folder, connection, policy, _base(arguments.model))


def _base(named: str | None) -> str:
    """Give where the base lies here: a path that is here is made whole, all else is left to who loads it."""
    if not named:
        return ""
    place = look(named, f"--model {named}: cannot be looked at", "name a hub id, a folder or a .gguf file")
    return str(place.path.absolute()) if place.exists else named


def _name(arguments: argparse.Namespace) -> str:
    """Give the organization's name: one line that can be a folder's name."""
    name = arguments.name
    if name is None and arguments.data is not None:
        name = Path(arguments.data).expanduser().absolute().name.split(".")[0]
    if name is None:
        if arguments.folder is None:
            raise UserError("node --history: whose? name the organization with --name, or its node's --folder")
        name = Path(arguments.folder).name
    if not is_name(name):
        raise UserError(f"--name {name}: allowed is {ALLOWED}")
    return str(name)


def _folder(arguments: argparse.Namespace, name: str) -> Path:
    return Path("nodes", name) if arguments.folder is None else Path(arguments.folder).expanduser()


def _connection(arguments: argparse.Namespace) -> Connection:
    """Check how the SuperLink is reached: with TLS and a key, unless it was said that it is to be without."""
    given = {"--root-certificates": arguments.root_certificates, "--key": arguments.key}
    if arguments.insecure:
        named = [name for name, value in given.items() if value is not None]
        if named:
            raise UserError(f"--insecure, {named[0]}: one of them; --insecure is without TLS and without a key")
        return Connection(arguments.superlink, insecure=True)
    if arguments.key is None:
        raise UserError(
            "node: --key FILE is missing, the private key by which the SuperLink knows this node; "
            "--insecure is without TLS and without a key, to try it out on one machine"
        )
    files = {name: Path(value).expanduser().absolute() for name, value in given.items() if value is not None}
    for name, path in files.items():
        try:
            read_certificate(path) if name == "--root-certificates" else node_public(path.read_bytes())
        except OSError as error:
            raise UserError(f"{name} {path}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            what = "no certificate in PEM" if name == "--root-certificates" else error
            raise UserError(f"{name} {path}: {what}; fedlora-tui deploy init makes such files") from None
    return Connection(arguments.superlink, files.get("--root-certificates"), files["--key"])


def _check_is_ones_own(key: Path, name: str) -> None:
    """Raise UserError where the folder that a key was made with says that it is another organization's."""
    try:
        about = read_about(key.parent)
    except UserError:
        return  # a key from elsewhere: whose it is the SuperLink alone knows
    if about.organization not in ("", name) and about.key == fingerprint(node_public(key.read_bytes())):
        owner = about.organization
        raise UserError(
            f"--name {name}: {key} was made for {owner}, and a run refuses it under another name; "
            f"start it with --name {owner}, or with the key of {name}"
        )


def run_node(own: Asked) -> int:
    """Be an organization's node until a signal ends it; give the exit status. Raises UserError."""
    lock = _locked(own.folder)
    connection = own.connection
    settings = {
        "organization": own.organization,
        "data": str(own.data),
        "policy": str((own.folder / POLICY).absolute()),
        "journal": str(own.folder.absolute()),
        **({"base": own.base} if own.base else {}),
    }
    try:
        journal = NodeJournal(own.folder)
        (own.folder / POLICY).write_text(policy_toml(own.policy), encoding="utf-8")
        supernode = SuperNode(own.folder, connection, settings)
    except OSError as error:
        raise UserError(f"{own.folder}: cannot be written: {error.strerror}; name another with --folder") from None
    ending = Ending(journal, supernode)
    signals = Signals(ending.begin)
    shown = Face(own.folder, journal)
    shown.tell(NodeStarted(own.organization, connection.superlink, connection.insecure, __version__, words(own.policy)))
    why = "its SuperNode ended"
    try:
        with shown:
            supernode.start()
            while not signals.ended:
                for heard in supernode.look():
                    shown.tell(LinkChanged(heard.state, heard.note))
                if signals.hung_up:
                    shown.hang_up()
                shown.draw()
                time.sleep(LOOK_SECONDS)
            if signals.hung_up:
                shown.hang_up()
            why = signals.name
    except Refusing as refusing:
        why = str(refusing)
        raise UserError(f"{own.organization}: {why}") from None
    finally:
        ending.end(why)
        shown.close()
        os.close(lock)
    return signals.status


def _locked(folder: Path) -> int:
    """Make a node's folder, and take it for this process. Raises UserError where another node has it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made: {error.strerror}; name another with --folder") from None
    try:
        take(lock)
    except BlockingIOError:
        holder = os.read(lock, 100).decode(errors="replace").strip()
        os.close(lock)
        who = f" (pid {holder})" if holder else ""
        raise UserError(f"{folder}: another node runs here{who}; end it, or name another --folder") from None
    with suppress(OSError):  # a full disk is no reason not to have it: whoever is refused is then told no number
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
    return lock


class Ending:
    """The end of a node, which comes once: by its main thread, or in its place where that stands still.

    A main thread that prints what nobody reads waits in the midst of it, whatever signals come.
    """

    def __init__(self, journal: NodeJournal, supernode: SuperNode) -> None:
        self._journal, self._supernode = journal, supernode
        self._once = threading.Lock()
        self._ended = False

    def end(self, why: str) -> None:
        """End the SuperNode and write down why, where that is not done yet; wait for who does it already."""
        with self._once:
            if not self._ended:
                self._ended = True
                self._supernode.end()
                with suppress(OSError):  # a ledger that takes no line is no reason to stay
                    self._journal.append(NodeEnded(why))

    def begin(self, kind: signal.Signals) -> None:
        """From now on the process ends by this signal, be it that its main thread goes no further."""
        threading.Thread(target=self._without_main, args=(kind,), daemon=True).start()

    def _without_main(self, kind: signal.Signals) -> None:
        time.sleep(STALLED_SECONDS)
        try:
            self.end(kind.name)
            time.sleep(LAST_WORDS_SECONDS)
        finally:
            os._exit(128 + kind)


class Signals:
    """What the system asks of this process: to end, or to go on without a terminal."""

    def __init__(self, ends: Callable[[signal.Signals], None]) -> None:
        """`ends` is told of the first signal by which the process is to end."""
        self._ends = ends
        self._caught: signal.Signals | None = None
        self.hung_up = False
        for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(kind, self._catch)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self.hung_up = True
        elif self._caught is None:
            self._caught = signal.Signals(number)
            self._ends(self._caught)

    @property
    def ended(self) -> bool:
        """Tell whether the node is to end."""
        return self._caught is not None

    @property
    def name(self) -> str:
        """Name the signal that ends it."""
        return self._caught.name if self._caught is not None else ""

    @property
    def status(self) -> int:
        """Give the exit status of a process that a signal ended."""
        return 128 + self._caught if self._caught is not None else 0


class Face:
    """Shows a node's ledger as it grows: a table that is drawn anew on a terminal, lines on a pipe."""

    def __init__(self, folder: Path, journal: NodeJournal) -> None:
        self._journal = journal
        self._reader = LedgerReader(folder)
        self._ledger: NodeLedger = folded(self._reader.look())
        # Whoever started us may have left the size of another terminal in the environment: it would be believed.
        around = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
        self._console = Console(highlight=False, _environ=around)
        self._live = Live(console=self._console, auto_refresh=False, screen=True, vertical_overflow="crop")
        self._on_terminal = self._console.is_terminal
        self._drawn = 0.0
        self._gone = self._unwritten = False

    def __enter__(self) -> Face:
        if self._on_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._on_terminal and not self._gone:
            try:
                self._live.stop()
            except OSError:
                self.hang_up()
            self._on_terminal = False

    def tell(self, event: NodeEvent) -> None:
        """Write what the node's own process has to tell into the ledger."""
        try:
            self._journal.append(event)
        except OSError as error:
            if not self._unwritten:
                self._print(f"the ledger cannot be written ({error.strerror}): nothing leaves until it can")
            self._unwritten = True

    def draw(self) -> None:
        """Show what is new."""
        records, now = self._reader.look(), time.time()
        self._ledger = folded(records, self._ledger)
        if not self._on_terminal:
            self._print_lines(records)
        elif records or now - self._drawn >= DRAW_SECONDS:
            self._drawn = now
            self._painted(now)

    def hang_up(self) -> None:
        """The terminal is gone: the node goes on, and what it shows goes nowhere."""
        if not self._gone:
            self._gone = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for descriptor in (1, 2):
                os.dup2(nowhere, descriptor)
            os.close(nowhere)

    def close(self) -> None:
        """Say the last words."""
        records = self._reader.look()
        self._ledger = folded(records, self._ledger)
        if self._console.is_terminal:
            for line in face.wrapped(face.head(self._ledger, time.time()), self._console.width):
                self._print(line)
        else:
            self._print_lines(records)
        self._journal.close()

    def _print_lines(self, records: Sequence[NodeRecord]) -> None:
        for record in records:
            said = face.sentence(record)
            if said:
                self._print(f"{numbers.clock(record.t)}  {said}")

    def _print(self, line: str) -> None:
        try:
            self._console.print(line, markup=False, soft_wrap=True)
            self._console.file.flush()
        except OSError:
            # Whoever read it is gone; the node's work does not depend on that.
            self.hang_up()

    def _painted(self, now: float) -> None:
        try:
            self._live.update(self._picture(now), refresh=True)
        except OSError:
            self.hang_up()

    def _picture(self, now: float) -> Group:
        """Give the head and as many of the last messages as there is room for."""
        width, height = self._console.size
        lines = [
            Text(line, "bold red" if line.startswith(face.PROBLEM) else "")
            for line in face.wrapped(face.head(self._ledger, now), width)
        ]
        node = self._ledger.node
        if node is not None and node.insecure:
            lines.insert(0, Text(face.NOT_SECURE, style="bold white on red"))
        room = max(height - len(lines) - 3, 1)
        rows = face.table(self._ledger.handled[-room:], width, now)
        first, *others = [Text(row) for row in rows]
        first.stylize("bold")
        return Group(*lines, Text(""), first, *others)


def print_history(folder: Path, as_json: bool) -> None:
    """Print a node's whole ledger. Raises UserError where there is none."""
    records = read_ledger(folder)
    if as_json:
        for record in records:
            print(to_line(record), flush=True)
        return
    ledger = folded(records, NodeLedger(kept=None))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
    running = held(folder)
    if not running and not ledger.ended:
        ledger = replace(ledger, link="down", ended="killed: nothing of its end is in the ledger")
    print("\n".join(face.wrapped(face.head(ledger, time.time()), width)) + "\n")
    shown = ""
    first, *rows = face.table(ledger.handled, width, time.time() if running else None)
    print(first)
    for row, one in zip(rows, ledger.handled, strict=True):
        if face.day(one.came) != shown:
            shown = face.day(one.came)
            print(shown)
        print(row)
