"""`bench deployed`: what a round over Flower's SuperLink costs beside the work that its organizations do.

A SuperLink and SuperNodes on loopback, each organization's text in a folder of its own, a run by `flwr run`; once as
Flower is, once with the setting that it has, once with our own SuperNode. Every app notes when it worked.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedlora_tui.benchmarks.followed import Followed
from fedlora_tui.benchmarks.process import end_process
from fedlora_tui.benchmarks.report import Cell, Report
from fedlora_tui.benchmarks.timed_node import TIMES
from fedlora_tui.config import Config, to_toml
from fedlora_tui.errors import UserError
from fedlora_tui.federation.bundle import CLIENT, MODULES, PROJECT
from fedlora_tui.federation.run_config import CONFIG
from fedlora_tui.node.supernode import free_port
from fedlora_tui.organizations.roster import call_roster
from fedlora_tui.protocol.events import Record, RoundFinished, RoundStarted, RunFailed

ROUNDS, STEPS = 6, 4
"""Rounds of a run, and local steps, where the configuration does not say."""

START_SECONDS = 120.0
POLL_INTERVAL = "FLWR_SUPEREXEC_TASK_POLL_INTERVAL"
TIMED = "fedlora_tui.benchmarks.timed_node"

HEADINGS = {
    "name": "",
    "organizations": "organizations",
    "processes": "processes",
    "start_seconds": "start s",
    "round_seconds": "a round s",
    "work_seconds": "its work s",
    "overhead_seconds": "overhead s",
    "train_down_seconds": "train: until it begins s",
    "train_up_seconds": "until it is in s",
    "evaluate_seconds": "evaluate: both s",
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Way:
    """One way to deploy: its name, what its processes find around them, the program of a SuperNode."""

    name: str
    environment: Mapping[str, str]
    node: Sequence[str]


PROMPT = f"from fedlora_tui.federation.prompt_node import main; main('{TIMED}:app')"

WAYS = (
    Way("Flower's nodes", {}, ("flower-supernode",)),
    Way("Flower's nodes, task poll 0.1 s", {POLL_INTERVAL: "0.1"}, ("flower-supernode",)),
    Way("fedlora-tui's nodes", {POLL_INTERVAL: "0.1"}, (sys.executable, "-c", PROMPT)),
)


@dataclass(frozen=True)
class Work:
    """When an app worked on one message, in seconds of the clock that the journal has, and in which process."""

    kind: str
    round: int
    began: float
    ended: float
    process: int


@dataclass(frozen=True)
class Measured:
    """Where the time of one round went: all of it, the slowest organization's work, the ways between."""

    seconds: float
    work: float
    train_down: float
    train_up: float
    evaluate: float

    @property
    def overhead(self) -> float:
        """All but the work of the organization that took longest, in training and in measuring."""
        return self.seconds - self.work


@dataclass(frozen=True)
class Deployed:
    """The benchmark: a configuration, for how many organizations, whom to tell."""

    config: Config
    organizations: tuple[int, ...]
    say: Say
    ways: Sequence[Way] = field(default=WAYS)

    def report(self) -> Report:
        """Measure every way and lay the rows out. Raises UserError where one cannot begin, or fails."""
        rows = [self._row(way, number) for number in self.organizations for way in self.ways]
        ratios = {
            str(number): {row["name"]: row["overhead_seconds"] for row in rows if row["organizations"] == number}
            for number in self.organizations
        }
        return Report("deployed", rows, {"overhead_seconds": ratios}, self._notes(), headings=HEADINGS)

    def _row(self, way: Way, number: int) -> dict[str, Cell]:
        self.say(f"{number} organizations: {way.name}")
        with tempfile.TemporaryDirectory(prefix="fedlora-tui-") as place:
            folder = Path(place)
            names = _write_texts(self.config, number, folder)
            config = _configured(self.config, number, folder)
            with Processes(folder, way.environment) as processes:
                began = time.time()
                records = _run(processes, way, config, names, folder)
            works = {name: read_works(folder / f"{name}.times") for name in names}
        rounds = measured(records, works)[1:]
        first = next(record.t for record in records if isinstance(record.event, RoundStarted))

        def middle(of: Callable[[Measured], float]) -> float:
            return statistics.median(map(of, rounds))

        return {
            "name": way.name,
            "organizations": number,
            "processes": max(len({work.process for work in own}) for own in works.values()),
            "start_seconds": first - began,
            "round_seconds": middle(lambda own: own.seconds),
            "work_seconds": middle(lambda own: own.work),
            "overhead_seconds": middle(lambda own: own.overhead),
            "train_down_seconds": middle(lambda own: own.train_down),
            "train_up_seconds": middle(lambda own: own.train_up),
            "evaluate_seconds": middle(lambda own: own.evaluate),
        }

    def _notes(self) -> list[str]:
        federation = _configured(self.config, 1, Path()).federation
        return [
            f"each row: a run of {federation.rounds} rounds of {federation.local_steps} steps in batches of "
            f"{federation.batch_size}, over loopback without TLS; medians from the second round on",
            "its work: of the organization that took longest, training and measuring; overhead: the rest of the round, "
            "aggregation, checkpoint and the transfer over loopback included",
            "processes: so many, one after the other, answered an organization's messages; a new one reads base and "
            "text, which counts as its work",
        ]


class Processes:
    """Processes beside this one, in a folder; at the end of the block all that they started is ended."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        home = folder / "flower"
        home.mkdir()
        address = f'address = "127.0.0.1:{self.port}"\ninsecure = true\n'
        (home / "config.toml").write_text(f'[superlink]\ndefault = "here"\n\n[superlink.here]\n{address}')
        quiet = {"FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        inherited = {name: value for name, value in os.environ.items() if name != POLL_INTERVAL}
        self._environment = {**inherited, **quiet, "PATH": path, "PYTHONUNBUFFERED": "1", **environment}
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *raised: object) -> None:
        for _, process in reversed(self._running):
            end_process(process)

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a process whose words go to a file of its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                list(command),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
            )
        self._running.append((name, process))
        return process

    def check(self) -> None:
        """Raise UserError, with its last line, where a process ended by itself and not well."""
        for name, process in self._running:
            if process.poll():
                said = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
                raise UserError(f"{name} ended with status {process.returncode} and said: {said[-1] if said else ''}")


def measured(records: Sequence[Record], works: Mapping[str, Sequence[Work]]) -> list[Measured]:
    """Take each finished round apart, by the times that its events and its organizations' apps noted."""
    started, found = {}, []
    for record in records:
        event = record.event
        if isinstance(event, RoundStarted):
            started[event.round] = record.t
        elif isinstance(event, RoundFinished):
            own = [work for every in works.values() for work in every if work.round == event.round]
            train = [work for work in own if work.kind == "train"]
            evaluate = [work for work in own if work.kind == "evaluate"]
            found.append(_measured(started[event.round], record.t, event.seconds, train, evaluate))
    return found


def _measured(began: float, ended: float, seconds: float, train: Sequence[Work], evaluate: Sequence[Work]) -> Measured:
    def longest(works: Sequence[Work]) -> float:
        return max(work.ended - work.began for work in works)

    trained, last = max(work.ended for work in train), max(work.ended for work in evaluate)
    begun = max(work.began for work in train)
    evaluating = min(work.began for work in evaluate)
    return Measured(
        seconds=seconds,
        work=longest(train) + longest(evaluate),
        train_down=begun - began,
        train_up=evaluating - trained,
        evaluate=ended - last,
    )


def read_works(file: Path) -> list[Work]:
    """Read when an organization's app worked."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [Work(str(own["kind"]), int(own["round"] or 0), own["began"], own["ended"], own["process"]) for own in lines]


def _configured(config: Config, number: int, folder: Path) -> Config:
    given = config.federation
    federation = replace(
        given,
        organizations=number,
        min_organizations=number,
        rounds=given.rounds if "federation.rounds" in config.given else ROUNDS,
        local_steps=given.local_steps if "federation.local_steps" in config.given else STEPS,
    )
    return replace(config, federation=federation, runs=replace(config.runs, dir=str(folder / "runs")))


def _write_texts(config: Config, number: int, folder: Path) -> list[str]:
    """Write what each organization of the configuration would have into a folder of its own; give their names."""
    federation = replace(config.federation, organizations=number)
    roster = call_roster(replace(config, federation=federation, given=config.given | {"federation.organizations"}))
    for name in roster.names:
        own = folder / "texts" / name
        own.mkdir(parents=True)
        for place, document in enumerate(roster.source.documents(name).texts):
            (own / f"{place:05d}.txt").write_text(document.text, encoding="utf-8")
    return list(roster.names)


def _run(processes: Processes, way: Way, config: Config, names: Sequence[str], folder: Path) -> list[Record]:
    link = f"127.0.0.1:{processes.port}"
    settings = ["--insecure", "--port", str(processes.port), "--disable-runtime-dependency-installation"]
    processes.start("superlink", ["flower-superlink", *settings])
    _until(lambda: _listens(processes.port), processes, "the SuperLink does not listen")
    for name in names:
        own = f'organization="{name}" data="{folder / "texts" / name}" {TIMES}="{folder / name}.times"'
        api = ["--host", "127.0.0.1", "--port", str(free_port()), "--node-config", own]
        processes.start(name, [*way.node, "--insecure", "--superlink", link, *api])
    project = PROJECT.replace(f'{CONFIG} = ""', f"{CONFIG} = {json.dumps(to_toml(config))}")
    for place, text in {"pyproject.toml": project, **MODULES}.items():
        file = folder / "bundle" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace(CLIENT, TIMED))
    processes.start("flwr run", ["flwr", "run", str(folder / "bundle"), "here"])
    followed = Followed(folder / "runs")

    def rest(seconds: float) -> None:
        time.sleep(seconds)
        processes.check()

    followed.wait(lambda: followed.ended, rest)
    failed = next((record.event for record in followed.records if isinstance(record.event, RunFailed)), None)
    if failed is not None:
        raise UserError(f"the run failed: {failed.reason}")
    return followed.records


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def _until(test: Callable[[], bool], processes: Processes, otherwise: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not test():
        processes.check()
        if time.monotonic() > deadline:
            raise UserError(f"{otherwise} after {START_SECONDS:g} s")
        time.sleep(0.1)
