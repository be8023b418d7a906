"""The one registry of what the operator can do: keys, footer, help and the table of the documents are made from it."""

from __future__ import annotations

from collections.abc import Mapping

from fedlora_tui.console.actions.action import Action
from fedlora_tui.console.actions.arranging import ARRANGING
from fedlora_tui.console.actions.keymap import USUAL, Keymap
from fedlora_tui.console.actions.looking import HERE, LOOKING
from fedlora_tui.console.actions.on_organizations import ON_ORGANIZATIONS
from fedlora_tui.console.actions.on_the_run import ON_THE_RUN
from fedlora_tui.console.actions.panes import PANES
from fedlora_tui.console.replaying import OTHERWISE

REGISTRY: tuple[Action, ...] = (*ON_THE_RUN, *ON_ORGANIZATIONS, *ARRANGING, *LOOKING, *PANES, *HERE)
ACTIONS: Mapping[str, Action] = {action.id: action for action in REGISTRY}


def keys_on(page: str, keymap: Keymap = USUAL) -> Mapping[str, tuple[Action, str]]:
    """Give what each key does on a page, with its argument: what is there alone comes before what is everywhere."""
    places = (action for where in ("", page) for action in REGISTRY if action.page == where)
    return {key: (action, argument) for action in places for key, argument in action.keys_in(keymap).items()}


def markdown_table(keymap: Keymap = USUAL) -> str:
    """Write the registry as a Markdown table for the documents."""
    rows = ["| keys | does | when | said when not |", "| --- | --- | --- | --- |"]
    for action in REGISTRY:
        does, when = action.does, action.when
        if action.id in OTHERWISE:
            does = f"{does}; replay: {OTHERWISE[action.id].does}"
            when += ", replay" if action.command is not None else ""
        rows.append(f"| `{action.shown_in(keymap)}` | {does} | {when} | {action.unless or '–'} |")
    return "\n".join(rows) + "\n"


def by_group() -> dict[str, list[Action]]:
    """Give the actions in the order of the registry under the groups that help shows them in."""
    groups: dict[str, list[Action]] = {}
    for action in REGISTRY:
        groups.setdefault(action.group, []).append(action)
    return groups
