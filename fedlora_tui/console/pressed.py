"""How a key that was pressed is named on the answer row."""

from __future__ import annotations

from textual import events

from fedlora_tui.console.actions.remapping import simple


def name_of(event: events.Key) -> str:
    """Name a key as it is written in the configuration: `q`, `space`, `ctrl+x`, `alt+-`."""
    modifiers, _, key = event.key.rpartition("+")
    if modifiers:
        return f"{modifiers}+{simple(key)}"
    if event.is_printable and event.character and not event.character.isspace():
        return event.character
    return simple(event.key)
