"""Several runs of one federation at different settings, side by side over one base, in the same passes.

Each is a run of its own, with a folder, a journal and an id, and its result is that of the same run alone. What the
operator asks of one is asked of all: they pause, go on and end together, and the same organizations come and go.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from fedlora_tui.config import RULES, Config, Setting
from fedlora_tui.engine.course import Course
from fedlora_tui.engine.folder import letters
from fedlora_tui.engine.knobs import KEYS, value_of
from fedlora_tui.engine.past import Fork
from fedlora_tui.engine.run import Manner, Run, Start
from fedlora_tui.engine.trying import Tell
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.commands import YOU, Command, Export, Undo
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.state import RunState
from fedlora_tui.protocol.trying import Question

LEFT_OUT = {"federation.cohort", "federation.min_organizations"}
RACED = (
    "lora.rank",
    "lora.alpha",
    "lora.dropout",
    *(n for n in RULES if n.startswith("federation.") and n not in LEFT_OUT),
)
"""What may differ between runs; all else is of the base and the text that they share."""

MOST_RUNS = 16


@dataclass(frozen=True)
class Entry:
    """The configuration of one run, and the words that tell it from the others, empty where it runs alone.

    `continues` is the folder of a run to go on with, `fork` the run and round from which a new one begins.
    """

    config: Config
    label: str = ""
    continues: Path | None = None
    fork: Fork | None = None


def entries(options: Sequence[str], load: Callable[[Iterable[Setting]], Config]) -> list[Entry]:
    """Give an entry for every combination of the values of `--race KEY=VALUE,...` options. Raises UserError.

    `load` gives a configuration with some settings laid over it.
    """
    if not options:
        return [Entry(load([]))]
    axes = [_axis(option) for option in options]
    if len({axis[0].name for axis in axes}) < len(axes):
        raise UserError("--race: each key once, with all its values")
    combinations = list(product(*axes))
    if not 2 <= len(combinations) <= MOST_RUNS:
        many = "one setting" if len(combinations) == 1 else f"{len(combinations)} settings"
        raise UserError(f"--race: {many}; allowed are 2 to {MOST_RUNS}")
    found = [Entry(load(chosen), ", ".join(map(_words, chosen))) for chosen in combinations]
    stem = found[0].config.runs.name or letters()
    return [replace(entry, config=_named(entry.config, stem, entry.label)) for entry in found]


def _axis(option: str) -> list[Setting]:
    name, _, values = (part.strip() for part in option.partition("="))
    if name not in RACED or not values:
        known = "lora.rank, lora.alpha, lora.dropout and the keys of federation, but cohort and min_organizations"
        raise UserError(f"--race {option}: allowed is KEY=VALUE,VALUE,...; KEY is one of {known}")
    texts = [text.strip() for text in values.split(",")]
    if "" in texts or len(set(texts)) < len(texts):
        raise UserError(f"--race {option}: allowed are different values with commas between them")
    return [Setting(name, text, f"--race {name}={text}") for text in texts]


def _words(setting: Setting) -> str:
    return f"{setting.name.partition('.')[2].replace('_', ' ')} {setting.text}"


def _named(config: Config, stem: str, label: str) -> Config:
    """Give a run of a race an id from which its setting can be read."""
    name = f"{stem}-{re.sub(r'[^A-Za-z0-9.]+', '-', label)}"[:40]
    return replace(config, runs=replace(config.runs, name=name))


class Race:
    """The runs of all entries, in one process; one entry is a run alone."""

    def __init__(
        self,
        given: Sequence[Entry],
        manner: Manner | None = None,
        clock: Callable[[], float] = time.time,
        course: Course | None = None,
    ) -> None:
        course = course or Course([entry.label for entry in given])
        self.entries = tuple(given)
        self.runs = tuple(
            Run(entry.config, manner, clock, course, place, Start(entry.continues, entry.fork))
            for place, entry in enumerate(given)
        )
        self._course = course
        self._raced = _differing([entry.config for entry in given])
        self._begun = False

    @property
    def racers(self) -> tuple[Racer, ...]:
        """Give what faces hold of each run."""
        return tuple(Racer(self, run, entry.label) for run, entry in zip(self.runs, self.entries, strict=True))

    @property
    def over(self) -> bool:
        """True once every run is over."""
        return all(run.over for run in self.runs)

    @property
    def refusal(self) -> str | None:
        """Why the race could not begin, or one of its runs could not."""
        return next((run.refusal for run in self.runs if run.refusal is not None), None)

    def start(self) -> None:
        """Let every run begin, once."""
        if not self._begun:
            self._begun = True
            for run in self.runs:
                run.start()

    def drain(self) -> None:
        """Let go of the records that no face in this process reads."""
        for run in self.runs:
            run.drain()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of all, so long at most; True when it came."""
        ending = time.monotonic() + seconds
        return all(run.wait(max(0.0, ending - time.monotonic())) for run in self.runs)

    def send(self, command: Command, by: str = YOU, asked: Run | None = None) -> None:
        """Hand what somebody asks to every run, so that nothing of theirs happens between the first and the last.

        The run that was asked answers even where it is over: it refuses.
        """
        with self._course.gate.changed:
            for run in self.runs:
                if run is asked or not run.over:
                    run.send(command, by)

    def send_from(self, run: Run, command: Command, by: str = YOU) -> None:
        """Hand over what the operator of one run asks: exports are its own, all else is for all."""
        if isinstance(command, Export):
            run.send(command, by)
        elif KEYS.get(command.name) in self._raced:
            run.refuse(command, f"{KEYS[command.name]} is what these runs differ in", by)
        elif isinstance(command, Undo):
            self._undo(run, by)
        else:
            self.send(command, by, run)

    def _undo(self, asked: Run, by: str) -> None:
        """Take back what waits last in one run, and in the others where it is the same: some may have refused it."""
        with self._course.gate.changed:
            change = asked.last_waiting
            for run in self.runs:
                if run.over and run is not asked:
                    continue
                if run.last_waiting == change:
                    run.send(Undo(), by)
                else:
                    run.refuse(Undo(), "that change does not wait here", by)

    @property
    def writing(self) -> bool:
        """True while a checkpoint or an export of any run is being written."""
        return any(run.writing for run in self.runs)

    def give_up_exports(self, why: str) -> None:
        """Say of exports that are not done that they were not written."""
        for run in self.runs:
            run.give_up_exports(why)

    def abandon(self, reason: str) -> None:
        """Write down the end of every run whose worker does not come back in time."""
        for run in self.runs:
            run.abandon(reason)

    def close(self) -> None:
        """Let go of journals and logs."""
        for run in self.runs:
            run.close()


class Racer:
    """What a face holds of one run, alone or of a race: a `RunHandle` with a label."""

    def __init__(self, race: Race, run: Run, label: str) -> None:
        self.label = label
        self._race, self._run = race, run

    def start(self) -> None:
        """Let the race begin."""
        self._race.start()

    def drain(self) -> Sequence[Record]:
        """Give the run's records since the last call."""
        return self._run.drain()

    def subscribe(self, reader: Callable[[Record], None]) -> None:
        """Let a reader see every record as it happens; it must not wait."""
        self._run.subscribe(reader)

    def warn(self, words: str) -> None:
        """Put a warning into the run's journal."""
        self._run.warn(words)

    def unwritten(self) -> Sequence[Record]:
        """Give what was told and could not be journalled yet, oldest first."""
        return self._run.unwritten()

    def try_text(self, asker: int, question: Question, tell: Tell) -> None:
        """Let the run's models go on with a text."""
        self._run.try_text(asker, question, tell)

    def stop_trying(self, asker: int) -> None:
        """End what an asker tries."""
        self._run.stop_trying(asker)

    @property
    def folder(self) -> Path | None:
        """The run's folder, None before there is one."""
        return self._run.folder

    def send(self, command: Command, by: str = YOU) -> None:
        """Hand over what somebody asks, to all runs where it concerns all."""
        self._race.send_from(self._run, command, by)

    @property
    def state(self) -> RunState:
        """The run as its events tell it, up to now."""
        return self._run.state

    @property
    def over(self) -> bool:
        """True once the run's worker is done."""
        return self._run.over

    @property
    def refusal(self) -> str | None:
        """Why the run could not begin."""
        return self._run.refusal


def _differing(configs: Sequence[Config]) -> frozenset[str]:
    """Name the keys in which configurations differ."""
    first = configs[0]
    return frozenset(name for name in RACED if any(value_of(own, name) != value_of(first, name) for own in configs))
