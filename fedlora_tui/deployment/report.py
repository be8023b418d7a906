"""What `deploy check` found, as lines: a mark, where, what, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from fedlora_tui.deployment.checking import LOOK, OK, WRONG, Link
from fedlora_tui.protocol.printable import printable

MARKS = {OK: "✓", LOOK: "!", WRONG: "✗"}
ASCII_MARKS = {OK: "v", LOOK: "!", WRONG: "x"}
STYLES = {OK: "green", LOOK: "bold yellow", WRONG: "bold red"}


def print_links(console: Console, links: Sequence[Link], only_bad: bool = False) -> int:
    """Print a line a link; give the exit status, 1 where something is wrong. `only_bad` says no more."""
    plain = (console.encoding or "").lower().replace("-", "") != "utf8"
    marks = ASCII_MARKS if plain else MARKS
    shown = [link for link in links if not only_bad or link.state != OK]
    place_width = max((len(link.place) for link in shown), default=0)
    name_width = max((len(link.name) for link in shown), default=0)
    for link in shown:
        advice = f": {link.advice}" if link.advice else ""
        said = f" {link.place:<{place_width}}  {link.name:<{name_width}}  {link.found}{advice}"
        # What another end answered, or stands in its certificate, is never done by a terminal.
        console.print(Text(marks[link.state], STYLES[link.state]).append(printable(said), "none"))
    wrong = sum(link.state == WRONG for link in links)
    if wrong and not only_bad:
        console.print(f"{wrong} of {len(links)} wrong")
    return 1 if wrong else 0
