"""Since when organizations on machines of their own are at it: what stands where a run of one process shows steps."""

from __future__ import annotations

from fedlora_tui.protocol.organization import OrganizationState
from fedlora_tui.protocol.state import RunState

SINCE = "since "
"""What the note of an organization begins with whose steps nobody here sees: a time follows."""

AT_WORK = ("training", "testing")


def since_of(org: OrganizationState) -> str:
    """Give since when an organization works, as HH:MM:SS; empty where it does not, or where its steps are told."""
    works = org.state in AT_WORK and org.note.startswith(SINCE)
    return org.note.removeprefix(SINCE) if works else ""


def doing(state: RunState) -> tuple[str, str]:
    """Give what organizations of a deployed run do, and since when the first of them does; both empty: nothing."""
    working = [(org.state, since_of(org)) for org in state.organizations.values() if since_of(org)]
    return min(working, key=lambda one: (AT_WORK.index(one[0]), one[1]), default=("", ""))


def where_words(state: RunState, step: int) -> str:
    """Say where in a run something happened: `in round 2, step 3`, without a step where none is told."""
    return f"in round {state.round}" + ("" if state.deployed else f", step {step}")


def rest_words(state: RunState, step: int) -> str:
    """Say behind `paused` at which step that is; of a run whose steps nobody here sees that nothing is under way."""
    return "with no reply on its way, nothing lost" if state.deployed else f"at step {step}, nothing lost"


def pausing_shortly(state: RunState) -> str:
    """Say the same where there is little room."""
    return "after these replies" if state.deployed else "within one step"


def pausing_words(state: RunState) -> str:
    """Say when a pause that was asked for comes: what others' machines have begun nobody here holds up."""
    return "when the replies on their way are in" if state.deployed else "within one step"


def stop_words(state: RunState) -> str:
    """Say when a stop comes: no reply is waited for, but a step is."""
    return "stop at once" if state.deployed else "stop after this step"
