"""An action of the operator, and the situation that decides whether it can act.

An action that cannot act now says why; it is never switched off, so that its key is always answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fedlora_tui.console import replaying
from fedlora_tui.console.actions.key_names import key_of
from fedlora_tui.console.actions.keymap import USUAL, Keymap
from fedlora_tui.console.replaying import OTHERWISE, REFUSED, Playing
from fedlora_tui.protocol.commands import Command
from fedlora_tui.protocol.state import RunState


@dataclass(frozen=True)
class Situation:
    """What decides whether an action can act: the run, the selected organization, and whether a stop was asked for.

    `direction` is which of an action's keys was pressed, where it has one for each way. `runs` counts the runs of a
    race, `page` is the name of the screen that is shown. `watching` says who steers where that is not this
    console, `wheel` how the wheel stands: `alone`, `ours`, `asked`, `theirs` or `readonly`. `apart` is True where the
    runs are in another process, and so one that has ended can go on in a new one; `gone` where that process is not
    there any more. `replay` is how a replay stands, None where the run itself is shown. `keymap` has the keys that the
    configuration gives otherwise. `marked` are the organizations that an action for several takes.
    """

    state: RunState
    selected: str | None = None
    stopping: bool = False
    direction: str = ""
    runs: int = 1
    page: str = "overview"
    watching: str = ""
    wheel: str = "alone"
    apart: bool = False
    replay: Playing | None = None
    gone: bool = False
    keymap: Keymap = USUAL
    marked: tuple[str, ...] = ()

    def key(self, name: str, direction: str = "") -> str:
        """Give the key of an action that is in force, for a sentence that names it."""
        return key_of(name, self.keymap, direction)

    @property
    def may_go_on(self) -> bool:
        """True where the run has ended early, and the key that pauses goes on with it in a new process."""
        return self.apart and self.replay is None and self.state.phase in ("failed", "stopped")


@dataclass(frozen=True)
class Each:
    """A command for each of several organizations, by their names, and why there is none for others."""

    commands: Mapping[str, Command]
    refused: Mapping[str, str]


def _always(situation: Situation) -> str | None:
    return None


@dataclass(frozen=True)
class Action:
    """One thing the operator can do.

    `keys` maps Textual's names of keys to an argument (a direction, else empty). `refusal` gives the reason why it
    cannot act, None when it can. `command` makes what is sent to the run; without one the console acts by itself.
    `each` makes what is sent where several organizations are marked. `label_on` has its word for the footers of pages
    where it does something else than usual. `when` and `unless` are for the documents. `page`
    is the only page on which it is, where its keys come before those of others.
    """

    id: str
    keys: Mapping[str, str]
    shown: str
    does: str
    group: str
    when: str
    unless: str
    label: str = ""
    footer_key: str = ""
    page: str = ""
    refusal: Callable[[Situation], str | None] = _always
    command: Callable[[Situation], Command] | None = None
    each: Callable[[Situation], Each] | None = None
    label_on: Mapping[str, str] = field(default_factory=dict)

    def footer(self, situation: Situation) -> str:
        """Give its key and word for the footer."""
        return f"{self.key_in_footer(situation.keymap)} {self.label_in(situation)}"

    def label_in(self, situation: Situation) -> str:
        """Give its word for the footer."""
        resumes = situation.state.phase == "paused" or situation.may_go_on
        label = "resume" if self.id == "pause" and resumes else self.label_on.get(situation.page, self.label)
        if situation.replay is not None:
            label = replaying.label(self.id, situation.replay) or self.label
        return label

    def key_in_footer(self, keymap: Keymap) -> str:
        """Give its key, or the first of them, as the footer names it."""
        return keymap.own[self.id].first if self.id in keymap.own else self.footer_key or self.shown

    def shown_in(self, keymap: Keymap) -> str:
        """Give all its keys as help and the documents name them."""
        return keymap.own[self.id].shown if self.id in keymap.own else self.shown

    def keys_in(self, keymap: Keymap) -> Mapping[str, str]:
        """Give all its keys by Textual's names, with their directions."""
        return keymap.own[self.id].keys if self.id in keymap.own else self.keys

    @property
    def serves_replay(self) -> bool:
        """True where it may act in a replay."""
        return self.id in OTHERWISE or (self.command is None and self.id not in REFUSED)

    def reason(self, situation: Situation) -> str | None:
        """Say why it cannot act now, None when it can: in a replay as in one, else as its `refusal` says."""
        if self.page and situation.page != self.page:
            return f"{self.shown_in(situation.keymap)} does this in the {self.page} alone"
        if situation.replay is not None and (self.command is not None or self.id in REFUSED):
            return replaying.reason(self.id, situation.direction, situation.replay, situation.key("rank", "down"))
        return self.refusal(situation)


def keys_of(*names: str) -> dict[str, str]:
    """Map keys that have no direction to the empty argument."""
    return dict.fromkeys(names, "")
