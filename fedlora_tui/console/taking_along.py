"""What is taken along from the screen: to the terminal's clipboard, and to a file."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LONGEST = 74_994
"""The most bytes, in base64, that terminals take for their clipboard."""

SCREEN_PART = 240
"""How many bytes of a sequence GNU screen hands on at once."""

FOLDER = "copies"
"""The folder within a run's own."""


@dataclass(frozen=True)
class Written:
    """The file that was written, or the one line that says why there is none."""

    path: str = ""
    trouble: str = ""


def clipboard_sequence(text: str, environment: Mapping[str, str]) -> str:
    """Write the sequence (OSC 52) that puts a text on the terminal's clipboard, empty where the text is too long.

    Within tmux, and within screen, it is wrapped so that they hand it on to the terminal that they are shown in.
    """
    encoded = base64.b64encode(text.encode()).decode("ascii")
    if len(encoded) > LONGEST:
        return ""
    sequence = f"\x1b]52;c;{encoded}\x07"
    if environment.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environment.get("STY"):
        parts = (sequence[begin : begin + SCREEN_PART] for begin in range(0, len(sequence), SCREEN_PART))
        return "".join(f"\x1bP{part}\x1b\\" for part in parts)
    return sequence


def write(text: str, folder: Path, name: str, ending: str, now: float) -> Written:
    """Write a text into a folder, which is made where it is not there, under a name that nothing has yet."""
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    try:
        folder.mkdir(exist_ok=True)
        for number in range(1, 1000):
            path = folder / f"{stem}{'' if number == 1 else f'-{number}'}{ending}"
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(text)
            except FileExistsError:
                continue
            return Written(str(path))
    except OSError as error:
        return Written(trouble=f"{error.filename or folder}: cannot be written: {error.strerror or error}")
    return Written(trouble=f"{folder}: holds a thousand of this second already")


def place_for(folder: str, runs_folder: str) -> Path:
    """Give the folder to write into: one within the run's own, the working directory where there is none.

    A run may have been started from another folder than the one in which this console stands.
    """
    for run in (Path(runs_folder) / Path(folder).name if runs_folder else None, Path(folder)):
        if folder and run is not None and run.is_dir():
            return run / FOLDER
    return Path()


@dataclass(frozen=True)
class Outcome:
    """What became of it, in the words of the answer row."""

    done: bool
    words: str


def keep_picture(picture: str, place: Path) -> Outcome:
    """Write a picture of the screen."""
    written = write(picture, place, "screen", ".svg", time.time())
    return Outcome(
        not written.trouble, f"no picture: {written.trouble}" if written.trouble else f"picture {written.path}"
    )


def copy(text: str, place: Path, send: Callable[[str], None]) -> Outcome:
    """Put a text on the terminal's clipboard, by what `send` writes to it, and into a file."""
    if not text:
        return Outcome(False, "nothing is selected: there is nothing to copy")
    sequence = clipboard_sequence(text, os.environ)
    send(sequence)
    written = write(text + "\n", place, "copy", ".txt", time.time())
    if written.trouble:
        said = "copied, but no file" if sequence else "nothing copied: too long for a clipboard, and no file"
        return Outcome(False, f"{said}: {written.trouble}")
    return Outcome(True, f"copied, and {written.path}" if sequence else f"too long for a clipboard: {written.path}")
