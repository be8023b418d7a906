"""Draws the console's pictures and writes the table of keys: `make pictures`.

A real run is made with the embedded base and stopped in its seventh round; the console is then opened on what it said,
and saves itself as SVG. The table of keys comes from the console's own registry.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fedlora_tui.config import Setting, load
from fedlora_tui.console.actions.registry import markdown_table
from fedlora_tui.console.app import ConsoleApp
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.engine.run import Manner, Run, log_to_files_alone
from fedlora_tui.protocol.commands import AddOrganization, Command, Stop
from fedlora_tui.protocol.events import Record, RunStopped, TrainStep

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
SIZES = {"overview": (120, 40), "compact": (80, 24)}
RUN = {"federation.organizations": "12", "federation.rounds": "20", "federation.learning_rate": "4e-3"}
STOPPED_AT = (7, 3)
"""The round and local step that the pictures show."""

TERMINAL = {"LANG": "C.UTF-8", "TERM": "xterm-256color", "COLORTERM": "truecolor"}


def recorded_run(runs: str) -> list[Record]:
    """Make the run, steer it a little, and give all that it said up to the step that the pictures show."""
    settings = [Setting(name, value, "") for name, value in {**RUN, "runs.dir": runs, "runs.name": "demo"}.items()]
    run = Run(load(None, settings), Manner())
    said: list[Record] = []
    arrived: set[str] = set()
    steered = False

    def watch(record: Record) -> None:
        nonlocal steered
        said.append(record)
        event = record.event
        if isinstance(event, TrainStep) and (event.round, event.step) == STOPPED_AT:
            arrived.add(event.org)
        if len(arrived) == int(RUN["federation.organizations"]) and not steered:
            steered = True
            run.send(AddOrganization())
            run.send(Stop())

    run.subscribe(watch)
    run.start()
    run.wait()
    if run.refusal or not steered:
        raise SystemExit(f"the run for the pictures did not get to its {STOPPED_AT[0]}th round: {run.refusal}")
    asked = next(i for i, record in enumerate(said) if getattr(record.event, "command", "") == "stop")
    return [record for record in said[:asked] if not isinstance(record.event, RunStopped)]


class Recorded:
    """A run that has said all it will say, and still stands there."""

    over, refusal = False, None

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def start(self) -> None:
        """Nothing begins: all is said."""

    def drain(self) -> Sequence[Record]:
        """Give everything the first time, nothing after."""
        drained, self._records = self._records, ()
        return drained

    def send(self, command: Command) -> None:
        """Nobody is there to take it."""


async def picture(records: Sequence[Record], size: tuple[int, int]) -> str:
    """Give the console on these records as SVG."""
    options = ConsoleOptions(bell=False)
    last = records[-1].t
    app = ConsoleApp([Recorded(records)], options, clock=lambda: last, look=look_for(options, TERMINAL, "utf-8"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.3)
        app.session.poll()
        app.paint()
        await pilot.pause(0.3)
        return app.export_screenshot(title="fedlora-tui")


def write_keys(readme: Path) -> None:
    """Put the registry's table between the two marks in README."""
    text = readme.read_text(encoding="utf-8")
    table = f"<!-- keys -->\n{markdown_table().strip()}\n<!-- end of keys -->"
    readme.write_text(re.sub(r"<!-- keys -->.*?<!-- end of keys -->", lambda _: table, text, flags=re.S), "utf-8")


def main() -> None:
    """Draw everything anew."""
    os.environ.update(TERMINAL)
    log_to_files_alone()
    write_keys(ROOT / "README.md")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as runs:
        records = recorded_run(runs)
    for name, size in SIZES.items():
        (PICTURES / f"{name}.svg").write_text(asyncio.run(picture(records, size)), encoding="utf-8")
        print(PICTURES / f"{name}.svg")


if __name__ == "__main__":
    main()
