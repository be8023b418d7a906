"""Records `fedlora-tui replay demo` in a real terminal as an asciicast, and reads such a recording as frames.

The file is of version 2: a line with the size, then a line for each piece that was written and for each key, with its
second. Players like asciinema's show it; https://docs.asciinema.org/manual/asciicast/v2/ describes it.
"""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cells import Painted, Row, text_of

from fedlora_tui.benchmarks.pseudo_terminal import pseudo_terminal

SIZE = (100, 32)
ARGUMENTS = ("-m", "fedlora_tui", "replay", "demo", "--speed", "4")
KEYS: Sequence[tuple[float, str, str]] = (
    (9.0, "j", "j"),
    (0.8, "j", "j"),
    (0.8, "\r", "enter"),
    (4.0, "\x1b", "esc"),
    (1.0, "+", "+"),
    (5.0, "r", "r"),
    (3.0, "l", "l"),
    (3.5, "\x1b", "esc"),
    (0.8, "\x1b", "esc"),
    (0.8, "+", "+"),
    (0.5, "+", "+"),
)
"""How many seconds after the one before a key is pressed: what the terminal sends, and what stands on the key."""

LAST_SECONDS, STANDS_SECONDS = 6.0, 3.0
"""For how long it is watched after the last key; how long its last frame stands in a picture."""

FRAME_SECONDS = 1.0
"""How often a picture shows what has changed; what a key changed is shown at once."""

QUIET_SECONDS = 0.02
"""What comes sooner after a piece belongs to the same paint."""


def record(file: Path) -> None:
    """Play the demo, press the keys, and write what the terminal was told."""
    width, height = SIZE
    pieces: list[tuple[float, bytes]] = []
    keys: list[tuple[float, str]] = []
    with pseudo_terminal("replay demo", ARGUMENTS, {"TZ": "UTC"}, SIZE) as terminal:
        begun = time.perf_counter()

        def keep(piece: bytes, arrived: float) -> bool:
            pieces.append((arrived - begun, piece))
            return False

        # Python starts in its own time; what comes before the first paint is no part of the recording.
        while not pieces:
            terminal.read(0.05, keep)
        begun += pieces[0][0]
        pieces[0] = (0.0, pieces[0][1])
        for seconds, key, name in KEYS:
            terminal.read(seconds, keep)
            keys.append((terminal.press(key) - begun, name))
        terminal.read(LAST_SECONDS, keep)
        terminal.leave("q")
    head = {
        "version": 2,
        "width": width,
        "height": height,
        "title": "fedlora-tui replay demo",
        "env": {"TERM": "xterm-256color"},
    }
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    told = [[round(at, 3), "o", decoder.decode(piece)] for at, piece in pieces]
    told += [[round(at, 3), "m", name] for at, name in keys]
    lines = [head, *sorted(told, key=lambda line: line[0])]
    file.write_text(
        "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines), "utf-8"
    )


def frames(file: Path) -> Iterator[tuple[float, tuple[Row, ...]]]:
    """Give what stands on the terminal from which second on: after each big change, else once a second."""
    lines = file.read_text(encoding="utf-8").splitlines()
    head = json.loads(lines[0])
    screen = Painted(head["width"], head["height"])
    told = [json.loads(line) for line in lines[1:]]
    shown: tuple[Row, ...] = ()
    shown_at, pressed = 0.0, True
    for place, (at, kind, text) in enumerate(told):
        if kind == "m":
            pressed = True
            continue
        screen.feed(text.encode())
        follows = told[place + 1][0] if place + 1 < len(told) else at + 1
        now = screen.painted()
        # One paint comes in several pieces, the first of which may have blanked the screen.
        if follows - at < QUIET_SECONDS or now == shown or not any(line.strip() for line in text_of(now)[:-3]):
            continue
        if pressed or at - shown_at >= FRAME_SECONDS or place == len(told) - 1:
            yield at if shown else 0.0, now
            shown, shown_at, pressed = now, at, False
