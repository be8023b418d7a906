"""Keys that are held with alt: the terminal's bytes are read so that none of them is taken for the plain key.

A terminal sends escape and the key. Textual keeps the alt of most letters, beside the letter as what was typed, makes
other signs of a few keys, and loses the alt of all else: alt and comma would act as comma.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver

ALT = "alt+"
ESCAPE = "\x1b"


class AltParser(XTermParser):
    """Textual's reader of a terminal's bytes, with alt in the name of every key that came with it, and no letter."""

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        if len(sequence) == 2 and sequence[0] == ESCAPE and sequence[1].isprintable():
            # What Textual knows of these is what one terminal means by them; where it knows nothing, more may come.
            if sequence in ANSI_SEQUENCES_KEYS:
                yield from self._sequence_to_key_events(sequence[1], alt=True)
            return
        for event in super()._sequence_to_key_events(sequence, alt):
            yield events.Key(f"{ALT}{event.key.removeprefix(ALT)}", None) if alt else event


def read_alt_keys() -> None:
    """Let Textual's terminal be read so; before its application runs."""
    linux_driver.XTermParser = AltParser  # type: ignore[attr-defined]
