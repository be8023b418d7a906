"""The colours that reach a real pseudo-terminal, counted in each mode; copying, and the terminal's own keys there."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedlora_tui.console.drawing.roles import DARK, DARK_BACKGROUND, LIGHT, LIGHT_BACKGROUND
from tests.e2e.test_console_in_a_terminal import Terminal

SGR = re.compile(rb"\x1b\[([0-9;:]*)m")
MODES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "true colours": ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, ()),
    "light": ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, ("--light",)),
    "16 colours": ({"TERM": "xterm", "COLORTERM": ""}, ()),
    "no colour": ({"TERM": "xterm-256color", "NO_COLOR": "1"}, ()),
    "ascii": ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, ("--ascii",)),
    "linux console": ({"TERM": "linux", "COLORTERM": ""}, ()),
}


def colours(written: bytes) -> Counter[str]:
    """Count the colours that were asked for: `true` as #rrggbb each, `256`, and the terminal's own `16`."""
    found: Counter[str] = Counter()
    for match in SGR.finditer(written):
        numbers = [int(number or 0) for number in re.split(rb"[;:]", match[1])]
        while numbers:
            number = numbers.pop(0)
            if number in (38, 48) and numbers[:1] == [2]:
                found["true"] += 1
                found["#" + "".join(f"{channel:02x}" for channel in numbers[1:4])] += 1
                del numbers[:4]
            elif number in (38, 48) and numbers[:1] == [5]:
                found["256"] += 1
                del numbers[:2]
            elif number in (*range(30, 38), *range(40, 48), *range(90, 98), *range(100, 108)):
                found["16"] += 1
    return found


@pytest.fixture
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    environment, flags = MODES[request.param]
    opened = Terminal(environment, *flags, folder=tmp_path)
    yield opened
    opened.close()


def shown(terminal: Terminal) -> bytes:
    """Give all that a run with rows, dialogs and a chart alone writes, until it is left."""
    terminal.read_until("training")
    for keys in ("jm/bank\rss", "e", "\x1b", "?", "\x1b", "11z0", " "):
        terminal.press(keys)
        terminal.read(0.3)
    terminal.press("\x03\x03")
    terminal.read_until("left: stop")
    return terminal.written


def test_counting_tells_colours_from_other_attributes() -> None:
    assert colours(b"\x1b[1;38;2;13;16;20;48;5;7mx\x1b[0;2;7m\x1b[31;44;97m\x1b[39;49m") == Counter(
        {"true": 1, "#0d1014": 1, "256": 1, "16": 3}
    )


@pytest.mark.parametrize("terminal", ["true colours", "light"], indirect=True)
def test_true_colours_are_those_of_the_roles(terminal: Terminal, request: pytest.FixtureRequest) -> None:
    light = "light" in request.node.callspec.id
    found = colours(shown(terminal))
    own, other = (LIGHT, DARK) if light else (DARK, LIGHT)
    background = LIGHT_BACKGROUND if light else DARK_BACKGROUND
    assert found["256"] == found["16"] == 0
    assert found[background]
    assert all(found[own[role]] for role in ("ink", "quiet", "yours", "train", "held"))
    assert not any(found[colour] for colour in other.values())
    # Nothing but the roles: no gradient, no colour of Textual's own.
    assert {name for name in found if name.startswith("#")} <= {*own.values(), background}


@pytest.mark.parametrize("terminal", ["16 colours", "linux console"], indirect=True)
def test_a_terminal_of_16_colours_gets_its_own_alone(terminal: Terminal) -> None:
    found = colours(shown(terminal))
    assert found["true"] == found["256"] == 0
    assert found["16"] > 0


@pytest.mark.parametrize("terminal", ["no colour"], indirect=True)
def test_without_colours_there_is_really_none(terminal: Terminal) -> None:
    assert colours(shown(terminal)) == Counter()


@pytest.mark.parametrize("terminal", ["ascii", "linux console"], indirect=True)
def test_ascii_is_ascii(terminal: Terminal) -> None:
    written = shown(terminal)
    assert written.isascii(), re.findall(rb".{20}[\x80-\xff]+.{20}", written)[:3]


@pytest.mark.parametrize("terminal", ["true colours"], indirect=True)
def test_a_copy_reaches_the_terminal_and_ctrl_z_does_not_stop_the_process(terminal: Terminal) -> None:
    terminal.read_until("training")
    terminal.press("y")
    terminal.read_until("copied, and ")
    (sequence,) = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]+)\x07", terminal.written)
    assert base64.b64decode(sequence).decode().startswith("organization\tstate\t")
    terminal.press("\x1a")
    terminal.read_until("ctrl+z does nothing here")
    terminal.press("\x03\x03")
    terminal.read_until("left: stop")
