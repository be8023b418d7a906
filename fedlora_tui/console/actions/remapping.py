"""`[console.keys]`: other keys for actions, by their ids, in names that are simple to write."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Mapping
from itertools import combinations

from fedlora_tui.console.actions.action import Action
from fedlora_tui.console.actions.keymap import Keymap, Keys
from fedlora_tui.console.actions.registry import ACTIONS, REGISTRY
from fedlora_tui.errors import UserError

SECTION = "console.keys"
NAMED: Mapping[str, str] = {
    "esc": "escape",
    **{
        name: name
        for name in (
            *("space", "tab", "shift+tab", "enter", "up", "down", "left", "right", "home", "end", "pageup"),
            *("pagedown", "insert", "delete", "backspace"),
            *(f"f{number}" for number in range(1, 13)),
            # A terminal sends tab for ctrl+i, and enter for ctrl+j or ctrl+m.
            *(f"ctrl+{letter}" for letter in "abcdefghklnopqrstuvwxyz"),
        )
    },
}
"""Keys that have a name, and what Textual calls them."""

OTHERWISE_CALLED: Mapping[str, str] = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
"""Characters that Textual calls otherwise than Unicode does."""

ALLOWED = "keys like space, p, [, ctrl+x or f2, with spaces between them"
STAYS: Mapping[str, Mapping[str, str]] = {"leave": {"ctrl+q": "", "ctrl+c": "interrupt"}}
"""Keys that an action keeps whatever else it gets."""


def keymap_of(given: Mapping[str, str], place: Callable[[str], str] = lambda name: f"{SECTION}.{name}") -> Keymap:
    """Give the keys that a configuration asks for; `place` says where one is asked for.

    Raises UserError for an action or a key that there is not, and for two actions on one key.
    """
    own = {}
    for name, text in given.items():
        where = f'{place(name)}: {SECTION}.{name} = "{text}"'
        if name not in ACTIONS:
            close = difflib.get_close_matches(name, list(ACTIONS), 1, 0.5)
            known = f"nearest is {close[0]}" if close else f"known are {', '.join(ACTIONS)}"
            raise UserError(f"{where}: {name} is no action; {known}")
        own[name] = _keys(ACTIONS[name], text, where)
    keymap = Keymap(own)
    _refuse_two_on_one(keymap, given, place)
    return keymap


def _keys(action: Action, text: str, where: str) -> Keys:
    names = text.split()
    ways = directions(action)
    for name in names:
        if not textual_names(name):
            raise UserError(f'{where}: "{name}" is no key here; allowed are {ALLOWED}')
    if not names or (ways and len(names) != len(ways)):
        need = f"{len(ways)} keys, for {', '.join(ways)}" if ways else f"at least one; allowed are {ALLOWED}"
        raise UserError(f"{where}: {action.id} needs {need}")
    keys: dict[str, str] = {}
    for name, way in zip(names, ways or [""] * len(names), strict=True):
        keys |= dict.fromkeys(textual_names(name), way)
    stays = STAYS.get(action.id, {})
    shown = " ".join([*names, *(key.replace("ctrl+", "^") for key in sorted(stays))])
    return Keys({**keys, **stays}, shown, text.strip() if ways else names[0])


def directions(action: Action) -> list[str]:
    """Give the directions of an action that has several, in the order of its keys; empty for one that has none."""
    return [] if "" in action.keys.values() else list(dict.fromkeys(action.keys.values()))


def textual_names(name: str) -> tuple[str, ...]:
    """Give what Textual calls a key; nothing for what is no key."""
    if name.lower() in NAMED:
        return (NAMED[name.lower()],)
    if len(name) != 1 or not name.isprintable():
        return ()
    if name.isalnum():
        return (name, f"upper_{name.lower()}") if name.isupper() else (name,)
    called = unicodedata.name(name, "").lower().replace("-", "_").replace(" ", "_")
    return (OTHERWISE_CALLED.get(called, called),) if called else ()


def _refuse_two_on_one(keymap: Keymap, given: Mapping[str, str], place: Callable[[str], str]) -> None:
    """Refuse two actions on one key of one page, unless the registry has them so: there the page's own comes first."""
    for action, other in combinations(REGISTRY, 2):
        if action.page and other.page and action.page != other.page:
            continue
        both = action.keys_in(keymap).keys() & other.keys_in(keymap).keys()
        new = sorted(both - (action.keys.keys() & other.keys.keys() if action.page != other.page else set()))
        if not new:
            continue
        asks, holds = (action.id, other.id) if action.id in given else (other.id, action.id)
        raise UserError(
            f'{place(asks)}: {SECTION}.{asks} = "{given[asks]}": {asks} and {holds} would both be on '
            f"{simple(new[0])}; give one of them another key"
        )


def simple(key: str) -> str:
    """Give the simple name of one of Textual's keys; its own where it has no other."""
    named = {textual: name for name, textual in NAMED.items()}
    signs = (chr(code) for code in range(33, 127))
    return named.get(key) or next((sign for sign in signs if key in textual_names(sign)), key)
