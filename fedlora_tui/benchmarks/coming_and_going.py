"""What a console costs the run that it is attached to: it comes and goes while one run trains.

The rounds beside it are set against those just before it came and just after it left. What a machine does more and
more, or less and less, meets both sides alike, and the run is one and the same.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlora_tui.benchmarks.followed import START_SECONDS, Followed
from fedlora_tui.benchmarks.process import beside
from fedlora_tui.benchmarks.pseudo_terminal import pseudo_terminal

ENDLESS = 100_000
"""Rounds of a run that is ended once enough was seen."""

LOOKED_AT = 4
"""Rounds that are looked at on each side of a console's coming and of its leaving."""

SETTLING = 2
"""Rounds that are left out after a console came or left: it was being started, or put away, in the first of them."""


@dataclass(frozen=True)
class Visit:
    """One visit of a console: seconds of the median round with it, and of the median round before and after it."""

    console: float
    alone: float

    @property
    def slowdown(self) -> float:
        """How many times as long a round takes with the console."""
        return self.console / self.alone


def come_and_go(file: Path, runs: Path, visits: int, say: Callable[[str], None]) -> tuple[Visit, ...]:
    """Let a console come to a run of this configuration, and leave it, so many times.

    Raises UserError where the run or a console ends by itself.
    """
    seen: list[float] = []
    arguments = ["-c", str(file), "--runs-dir", str(runs)]
    with beside("fedlora-tui run", ["-m", "fedlora_tui", "run", *arguments]) as process:
        followed = Followed(runs)

        def rest(seconds: float) -> None:
            process.check()
            time.sleep(seconds)

        before = _seconds_of_a_round(followed, rest)
        for visit in range(visits):
            say(f"visit {visit + 1} of {visits}")
            folder = next(run for run in runs.iterdir() if run.is_dir())
            # What a console that had to be ended leaves lying goes with the rest of the benchmark's files.
            temporary = {"TMPDIR": str(file.parent)}
            attached = ["-m", "fedlora_tui", "attach", str(folder)]
            with pseudo_terminal("fedlora-tui attach", attached, temporary) as terminal:
                terminal.read(START_SECONDS, lambda piece, arrived: True)
                console = _seconds_of_a_round(followed, terminal.read)
            after = _seconds_of_a_round(followed, rest)
            seen += [before, console]
            before = after
        seen.append(before)
    return visits_of(seen)


def visits_of(seconds: Sequence[float]) -> tuple[Visit, ...]:
    """Give the visits of a row that goes: alone, console, alone, console, ..., alone."""
    return tuple(
        Visit(console, (before + after) / 2)
        for before, console, after in zip(seconds[::2], seconds[1::2], seconds[2::2], strict=False)
    )


def _seconds_of_a_round(followed: Followed, read: Callable[[float], object]) -> float:
    """Wait for the rounds that are looked at; give the seconds of the median one."""
    first = len(followed.look().rounds) + SETTLING
    followed.wait(lambda: len(followed.rounds) >= first + LOOKED_AT, read)
    return statistics.median(each.seconds for each in followed.rounds[first : first + LOOKED_AT])
