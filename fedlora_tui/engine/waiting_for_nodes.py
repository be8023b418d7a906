"""The wait of a deployed run for its first organizations: who is here, who was turned away, how many are lacking.

Whoever is attached sees it as stages of the start; whoever submitted the run reads it in Flower's log.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from fedlora_tui.config import Config
from fedlora_tui.engine.at_the_door import AtTheDoor
from fedlora_tui.engine.connected import GONE, Connected
from fedlora_tui.engine.prepare import Say
from fedlora_tui.federation.introduction import Introduction
from fedlora_tui.federation.refusals import Refusal
from fedlora_tui.federation.run_config import SAID
from fedlora_tui.protocol.events import NodeRefused, Preparing, Warned

WAITING_SECONDS = 0.2
MOST_LINES = 10
"""Organizations that have a line of their own; of more it is said how many there are."""

NODE, REFUSED, UNFIT = "node", "refused", "does not fit"
"""Stages of the wait: `node NAME` an organization, who was refused at the door, who was let in and takes no part."""


def wait_for_nodes(connected: Connected, door: AtTheDoor, config: Config, say: Say) -> Sequence[Warned | NodeRefused]:
    """Wait until as many are here as a round needs; give what was told meanwhile, for the journal, which begins then.

    `say` may raise, to end the wait.
    """
    need, told = config.federation.min_organizations, list[Warned | NodeRefused]()
    before: Mapping[str, Introduction] | None = None
    said = ""
    lines = dict[str, None]()
    while True:
        seen = connected.look(())
        new: list[Warned | NodeRefused] = [*seen.warnings, *seen.refused]
        for event in new:
            words = event.message if isinstance(event, Warned) else f"a node was refused: {event.reason}"
            print(f"{SAID}{words}", flush=True)
            say(Preparing(UNFIT, "waiting", words))
        told += new
        here = connected.here
        if before is None or here.keys() != before.keys():
            for stage in _who_is_here(here, before or {}, lines):
                say(stage)
            before = here
        names = f": {', '.join(sorted(here))}" if here else ""
        lack = f"waits for SuperNodes: {len(here)} of {need} here"
        why = "".join(f"; {reason}" for reason in connected.unwilling.values())
        if len(here) < need and lack + names + why != said:
            said = lack + names + why
            print(f"{SAID}{said}", flush=True)
        if refused := door.turned_away:
            say(Preparing(REFUSED, "waiting", _in_words(refused)))
        if len(here) >= need:
            return told
        say(Preparing("organizations", "working", lack + why))
        time.sleep(WAITING_SECONDS)


def _who_is_here(
    now: Mapping[str, Introduction], before: Mapping[str, Introduction], lines: dict[str, None]
) -> list[Preparing]:
    """Give a stage for each that came or went; `lines` are those that have one, and all others share one."""
    lines |= dict.fromkeys([name for name in sorted(now) if name not in lines][: MOST_LINES - len(lines)])
    gone = [name for name in lines if name in before and name not in now]
    stages = [Preparing(f"{NODE} {name}", "waiting", GONE) for name in gone]
    stages += [Preparing(f"{NODE} {name}", "done", _is_here(now[name])) for name in lines if name in now]
    others = [name for name in now if name not in lines]
    return [*stages, Preparing("more nodes", "done", f"{len(others)} more are here")] if others else stages


def _is_here(introduction: Introduction) -> str:
    allows = f", allows {introduction.policy}" if introduction.policy else ""
    return f"is here with {introduction.documents:,} documents, {introduction.tokens:,} tokens{allows}"


def _in_words(refused: Sequence[Refusal]) -> str:
    """Say of whoever was refused last whose key it has, from where and why, and how often anybody was."""
    last, times = max(refused, key=lambda one: one.last), sum(one.times for one in refused)
    place = f" from {last.address}" if last.address else ""
    whose = f" with the key of {last.whose}" if last.whose else ""
    return f"a node{whose}{place}: {last.reason}" + (f" ({times} times in all)" if times > 1 else "")
