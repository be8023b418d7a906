"""What the operator can do to organizations."""

from __future__ import annotations

from dataclasses import replace

from fedlora_tui.console.actions.action import Action, Each, Situation, keys_of
from fedlora_tui.console.actions.taking import (
    cannot_change,
    cannot_change_marked,
    cannot_change_selected,
    minimum_organizations,
)
from fedlora_tui.console.actions.turning_ranks import cannot_turn_own_rank, turn_own_rank
from fedlora_tui.protocol.commands import AddOrganization, DropOrganization


def _cannot_drop(situation: Situation) -> str | None:
    if not situation.marked:
        return _cannot_drop_selected(situation)
    asked = _drop_each(situation)
    return None if asked.commands else next(iter(asked.refused.values()))


def _drop_each(situation: Situation) -> Each:
    """Give whom of the marked ones can be dropped, one after another, and why not the others."""
    commands: dict[str, DropOrganization] = {}
    refused: dict[str, str] = {}
    for name in situation.marked:
        reason = _cannot_drop_selected(replace(situation, selected=name))
        if reason is not None:
            refused[name] = reason
            continue
        commands[name] = DropOrganization(name)
        organizations = dict(situation.state.organizations)
        organizations[name] = replace(organizations[name], state="leaving")
        situation = replace(situation, state=replace(situation.state, organizations=organizations))
    return Each(commands, refused)


def _cannot_drop_selected(situation: Situation) -> str | None:
    if (reason := cannot_change_selected(situation)) is not None:
        return reason
    organization = situation.state.organizations[situation.selected or ""]
    if organization.state == "joining":
        return f"{organization.name} has not joined yet: {situation.key('undo')} takes it back"
    minimum = minimum_organizations(situation.state)
    staying = sum(org.state not in ("leaving", "quarantine") for org in situation.state.organizations.values())
    if staying - (organization.state != "quarantine") < minimum:
        return f"a round needs {minimum} (federation.min_organizations)"
    return None


def cannot_have_fault(situation: Situation) -> str | None:
    """Say why no organization can be given a fault, None where it can: on machines of their own they have theirs."""
    key = situation.key("faults")
    return f"a node has its own faults alone: {key} releases one from quarantine" if situation.state.deployed else None


def _cannot_open_faults(situation: Situation) -> str | None:
    if (reason := cannot_change_marked(situation)) is not None:
        return reason
    names = situation.marked or (situation.selected or "",)
    held = any(org.state == "quarantine" and org.name in names for org in situation.state.organizations.values())
    return None if held else cannot_have_fault(situation)


ON_ORGANIZATIONS: tuple[Action, ...] = (
    Action(
        id="add",
        keys=keys_of("a"),
        shown="a",
        label="add",
        does="add one",
        group="organizations",
        when="running, paused",
        unless="starting · the last round is running · the run is done",
        refusal=cannot_change,
        command=lambda situation: AddOrganization(),
    ),
    Action(
        id="add_by",
        keys=keys_of("A", "upper_a"),
        shown="A",
        label="add by",
        does="add by trade, folder, hub",
        group="organizations",
        when="running, paused",
        unless="starting · the last round is running · the run is done",
        refusal=cannot_change,
    ),
    Action(
        id="drop",
        keys=keys_of("d"),
        shown="d",
        label="drop",
        does="drop it at the next round",
        group="organizations",
        when="one is selected, or several are marked",
        unless="a round needs 2 (federation.min_organizations) · leaves already",
        refusal=_cannot_drop,
        command=lambda situation: DropOrganization(situation.selected or ""),
        each=_drop_each,
    ),
    Action(
        id="own_rank",
        keys={"left_curly_bracket": "down", "right_curly_bracket": "up"},
        shown="{ }",
        label="its rank",
        does="its own rank a step down, up",
        group="organizations",
        when="one is selected",
        unless="fedit needs equal ranks · fedsvd keeps its rank · 64 is the most here",
        refusal=cannot_turn_own_rank,
        command=turn_own_rank,
    ),
    Action(
        id="faults",
        keys=keys_of("x"),
        shown="x",
        label="faults",
        does="give it a fault, release it",
        group="organizations",
        when="one is selected, or several are marked; running, paused",
        unless="starting · the last round is running · the run is done · leaves already · "
        "a node has its own faults alone",
        refusal=_cannot_open_faults,
    ),
)
