"""The key that does a thing now, for sentences that name it."""

from __future__ import annotations

from fedlora_tui.console.actions.keymap import USUAL, Keymap


def key_of(name: str, keymap: Keymap = USUAL, direction: str = "") -> str:
    """Give the key of an action, by its id, as it is in force; with a `direction` the one that goes that way."""
    # The registry is made of actions whose own refusals name keys.
    from fedlora_tui.console.actions.registry import ACTIONS
    from fedlora_tui.console.actions.remapping import directions

    action = ACTIONS[name]
    if not direction:
        return action.key_in_footer(keymap)
    if name not in keymap.own and direction in action.keys:
        return direction
    return action.shown_in(keymap).split()[directions(action).index(direction)]
