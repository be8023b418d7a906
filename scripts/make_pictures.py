"""Draws all pictures and captures of the console anew, and writes the table of keys: `make pictures`.

Everything is drawn from what record_demo.py and record_race.py recorded, so the same console gives the same files, and
a test tells which of them are stale. `make pictures ARGS=--terminal` also plays the demo in a real terminal once more.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import terminal_recording
from cells import Row, text_of
from scenes import SCENES, TERMINAL, captured
from svg import moving, still
from tables import TABLES

from fedlora_tui.console.actions.registry import markdown_table

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
CAST = PICTURES / "replay.cast"
MOVING = PICTURES / "replay.svg"
SCREENS = ROOT / "docs" / "screens.md"
README = ROOT / "README.md"

PICTURED = {
    "start": ("compact", "The console while a run starts"),
    "overview": ("normal", "The console: nine organizations in round 7 of 12"),
    "compact": ("compact", "The same run on a terminal of 80 columns and 24 rows"),
    "organization": ("normal", "One organization: its curves, its data in counts, its rounds, what left it"),
    "rounds": ("normal", "All rounds, the newest first"),
    "tune": ("normal", "The tuning panel over the overview"),
    "try": ("normal", "One text, answered by the base, by all organizations' adapter and by one organization's own"),
    "compare": ("normal", "Four runs at ranks 2, 4, 8 and 16, side by side"),
    "fork": ("normal", "The dialog that forks a run"),
    "log": ("normal", "The log of a run"),
    "runs": ("normal", "All runs of a folder"),
    "leave": ("compact", "The dialog that asks how to leave"),
    "replayed": ("normal", "A replay that was stopped at the end of round 8"),
}
"""The pictures by their names, each at a size, with what is said to those who do not see it."""

SCENE_OF = {"compact": "overview", "replayed": "replay"}
"""Which scene a picture shows, where it has another name."""

DIALOGS = ("tune", "command", "add-by", "faults", "drift", "export", "fork", "leave", "help")
"""Scenes of which docs/screens.md has the dialog alone."""

Captures = dict[tuple[str, str], list[Row]]


def files(captures: Captures) -> Iterator[tuple[Path, str]]:
    """Give each file that is drawn from what was recorded, with what stands in it."""
    for name, (size, label) in PICTURED.items():
        yield PICTURES / f"{name}.svg", still(captures[SCENE_OF.get(name, name), size], label)
    yield MOVING, animation()
    yield README, with_keys(README.read_text(encoding="utf-8"))
    yield SCREENS, with_captures(SCREENS.read_text(encoding="utf-8"), captures)


def all_captures() -> Captures:
    """Open the console on each scene at each size."""
    return {(name, size): rows for name, scene in SCENES.items() for size, rows in captured(scene).items()}


def animation() -> str:
    """Draw the terminal recording."""
    frames = list(terminal_recording.frames(CAST))
    seconds = frames[-1][0] + terminal_recording.STANDS_SECONDS
    return moving(
        frames, seconds, "A recording: the demo is replayed, an organization, the rounds and the log are opened"
    )


def with_keys(text: str) -> str:
    """Put the registry's table between the two marks in README."""
    return _between(text, "keys", markdown_table().strip())


def with_captures(text: str, captures: Captures) -> str:
    """Put each screen's text, and each table, between its marks."""
    for name in SCENES:
        compact, normal = (text_of(captures[name, size]) for size in ("compact", "normal"))
        if name in DIALOGS:
            block = _block(_box(normal))
        else:
            block = f"{_block(compact)}\n\n<details><summary>at 120x40</summary>\n\n{_block(normal)}\n\n</details>"
        text = _between(text, name, block)
    for name, table in TABLES.items():
        text = _between(text, name, table())
    return text


def _block(lines: Sequence[str]) -> str:
    return "\n".join(("```text", *lines, "```"))


def _box(lines: Sequence[str]) -> list[str]:
    """Cut out the dialog that lies over a page."""
    top = next(place for place, line in enumerate(lines) if "╭" in line)
    bottom = next(place for place, line in enumerate(lines) if "╰" in line)
    left, right = lines[top].index("╭"), lines[top].index("╮")
    return [line[left : right + 1] for line in lines[top : bottom + 1]]


def _between(text: str, name: str, words: str) -> str:
    marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
    found = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
    if not found.search(text):
        raise SystemExit(f"no place for {name}: {marks[0]} and {marks[1]} are not there")
    return found.sub(lambda _: f"{marks[0]}\n{words}\n{marks[1]}", text)


def main() -> None:
    """Draw everything anew."""
    os.environ.update(TERMINAL | {"TZ": "UTC"})
    time.tzset()
    if "--terminal" in sys.argv[1:]:
        terminal_recording.record(CAST)
    for file, text in files(all_captures()):
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"{file.relative_to(ROOT)}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main()
