"""The box of commands as pure text: what a line asks for, what it is refused with, and what could be meant by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.console.actions.registry import ACTIONS
from fedlora_tui.console.command_line import VERBS, Act, Ask, Known, Look, Wrong, matches, read
from fedlora_tui.protocol import commands as cmd
from fedlora_tui.protocol.events import Waiting
from fedlora_tui.protocol.organization import OrganizationState
from tests.unit.test_tuning import run_of

DIRECTIONS = {
    name: tuple(dict.fromkeys(way for way in action.keys.values() if way))
    for name, action in ACTIONS.items()
    if "" not in action.keys.values()
}
NAMES = ("port-2", "pharmacy 1", "school")
STATE = run_of(organizations={name: OrganizationState(name) for name in NAMES})
KNOWN = Known(STATE, "school", {name: action.does for name, action in ACTIONS.items()}, DIRECTIONS)


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("rank 16", [cmd.Rank(16)]),
        (":rank 16", [cmd.Rank(16)]),
        ("  RANK   16 ", [cmd.Rank(16)]),
        ("rank port-2 8", [cmd.Rank(8, "port-2")]),
        ("rank 'pharmacy 1' 8", [cmd.Rank(8, "pharmacy 1")]),
        ("rounds +10", [cmd.Rounds(30)]),
        ("rounds -3", [cmd.Rounds(17)]),
        ("rounds 40", [cmd.Rounds(40)]),
        ("lr 5e-4", [cmd.Rate(5e-4)]),
        ("rate 0.001", [cmd.Rate(1e-3)]),
        ("steps 32", [cmd.Steps(32)]),
        ("agg flexlora", [cmd.Method("flexlora")]),
        ("method fair", [cmd.Method("fair")]),
        ("fraction 0.5", [cmd.Fraction(0.5)]),
        ("add", [cmd.AddOrganization()]),
        ("add 2", [cmd.AddOrganization()] * 2),
        ("add hospital 3", [cmd.AddOrganization(like="hospital")] * 3),
        ("add clinic-9", [cmd.AddOrganization(like="clinic-9")]),
        ("add folder ~/notes", [cmd.AddOrganization(folder="~/notes")]),
        ("add folder '/my notes' 2", [cmd.AddOrganization(folder="/my notes", each=True)] * 2),
        ("add hub user/name", [cmd.AddOrganization(hub="user/name")]),
        ("drop port-2", [cmd.DropOrganization("port-2")]),
        ("drop port-2 school", [cmd.DropOrganization("port-2"), cmd.DropOrganization("school")]),
        ("drop", [cmd.DropOrganization("school")]),
        ("fault port-2 slow x3", [cmd.Fault("slow x3", "port-2")]),
        ("fault port-2 none", [cmd.Fault("none", "port-2")]),
        ("export best", [cmd.Export("best")]),
        ("export 3 merged", [cmd.Export("3", True)]),
    ],
)
def test_a_line_with_values_becomes_commands(line: str, commands: list[cmd.Command]) -> None:
    asked = read(line, KNOWN)
    assert isinstance(asked, Ask), asked
    assert list(asked.commands) == commands


def test_who_is_in_quarantine_is_released() -> None:
    assert read("release port-2", KNOWN) == Wrong("port-2 is not in quarantine")
    held = replace(STATE, organizations={"port-2": OrganizationState("port-2", "quarantine")})
    asked = read("release port-2", replace(KNOWN, state=held))
    assert isinstance(asked, Ask)
    assert asked.commands == (cmd.Release("port-2"),)


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("tune", Act("tune")),
        ("pause", Act("pause")),
        ("rank up", Act("rank", "up")),
        ("more_rounds down", Act("more_rounds", "down")),
        ("export", Act("export")),
        ("quit", Act("leave")),
        ("q", Act("leave")),
        ("move page_down", Act("move", "page_down")),
        ("theme light", Look("theme", theme="light")),
        ("hz 2", Look("hz", hz=2.0)),
        ("hz auto", Look("hz")),
    ],
)
def test_actions_go_by_their_names_and_the_console_is_set(line: str, asked: Act | Look) -> None:
    assert read(line, KNOWN) == asked


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_has_a_line(name: str) -> None:
    for way in DIRECTIONS.get(name, ("",)):
        asked = read(f"{name} {way}".strip(), KNOWN)
        assert asked == Act(name, way) or (name in VERBS and isinstance(asked, Ask))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "type a command, like rank 16; tab completes"),
        ("rnk 16", "rnk: no such command; nearest is rank"),
        ("???", "???: no such command; tab lists what there is"),
        ("rank", "rank: allowed is rank 16, or rank down, rank up"),
        ("rank 0", "rank 0: allowed is 1 to 1,024"),
        ("rank port-3 8", "port-3: no such organization; nearest is port-2"),
        ("rank 1 2 3", "one value is needed, like rank 16, or rank port-2 8 for one alone"),
        ("rounds 2", "rounds 2: allowed is 7 to 1,000,000, or like +10"),
        ("lr fast", "rate fast: allowed is above 0 to 10"),
        ("lr", "one value is needed, like lr 5e-4"),
        ("steps 1.5", "local steps 1.5: allowed is 1 to 1,000,000"),
        ("fraction 2", "fraction 2: allowed is above 0 to 1"),
        ("agg fedsa", "fedit and fedsa keep different things at home: fork the run instead"),
        ("add hospital 300", "300: how many is 1 to 100"),
        ("add 0", "0: how many is 1 to 100"),
        ("add hub", "allowed is add folder PATH, add folder PATH 3 for three of its files, or add hub ID"),
        ("add a b c", "allowed is add, add 3, add hospital 3, add folder PATH 3 or add hub ID"),
        ("drop nobody", "nobody: no such organization"),
        ("fault port-2", "allowed is fault NAME, then one of slow x3, dropout, crash, nan, garbage, poison x-10, none"),
        ("theme blue", "theme blue: allowed is dark or light"),
        ("hz 100", "hz 100: allowed is auto, or 0.2 to 30 repaints a second"),
        ("hz nan", "hz nan: allowed is auto, or 0.2 to 30 repaints a second"),
        ("export worst", "export worst: allowed is latest, best or a round's number, then merged"),
        ("tune now", "tune takes nothing: tune alone"),
        ("flip", "flip: allowed is flip previous, flip next"),
        ("resume", "it runs already"),
        ("drop 'port", "a quotation mark is not closed"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_allowed(line: str, words: str) -> None:
    assert read(line, KNOWN) == Wrong(words)


def test_aggregation_lists_what_is_allowed() -> None:
    asked = read("agg fedavg", KNOWN)
    assert isinstance(asked, Wrong)
    assert asked.words.startswith("method fedavg: allowed is fedit, ffa, rolora,")


def test_rounds_count_from_what_waits() -> None:
    waiting = replace(STATE, waiting=(Waiting("rounds", 30, 8),))
    assert read("rounds +10", replace(KNOWN, state=waiting)) == replace(
        read("rounds 40", KNOWN),  # type: ignore[type-var]
        words="asked: rounds +10",
    )


WORDS = st.sampled_from(
    [*VERBS, *ACTIONS, *NAMES, "folder", "hub", "slow", "x3", "up", "1", "-1", "+10", "1e400", "nan", "'", '"', "\\"]
)
LINES = st.one_of(st.text(), st.lists(st.one_of(WORDS, st.text(max_size=6)), max_size=5).map(" ".join))


@given(LINES)
def test_any_text_asks_for_something_or_is_refused_in_one_line(line: str) -> None:
    asked = read(line, KNOWN)
    assert isinstance(asked, Ask | Act | Look | Wrong)
    if isinstance(asked, Wrong):
        assert asked.words
        assert asked.words.isprintable()
        assert len(asked.words) < 200
    elif isinstance(asked, Act):
        assert asked.action in ACTIONS
    elif isinstance(asked, Ask):
        assert asked.commands
        assert all(gate in ACTIONS for gate, _ in asked.gates)
        for command in asked.commands:
            assert cmd.read_command(command.name, vars(command)) == command


@given(LINES)
def test_any_text_has_matches_that_begin_where_it_begins(line: str) -> None:
    for match in matches(line, KNOWN):
        assert isinstance(match.text, str)
        assert match.does.isprintable()


def texts(line: str, known: Known = KNOWN) -> list[str]:
    return [match.text for match in matches(line, known)]


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("ra", ["rank"]),
        ("rnk", ["rank"]),
        ("fr", ["fraction"]),
        ("agg flx", ["agg flexlora"]),
        ("drop po", ["drop port-2"]),
        ("drop port-2 s", ["drop port-2 school"]),
        ("rank pha", ["rank 'pharmacy 1'"]),
        ("fault port-2 sl", ["fault port-2 slow x3"]),
        ("theme l", ["theme light"]),
        ("export b", ["export best"]),
        ("export best m", ["export best merged"]),
        ("flip n", ["flip next"]),
        ("lr ", ["lr "]),
    ],
)
def test_the_best_match_comes_first(line: str, first: list[str]) -> None:
    assert texts(line)[: len(first)] == first


def test_nothing_typed_lists_every_command_and_every_action() -> None:
    assert {*texts("")} == {verb.names[0] for verb in VERBS.values()} | {*ACTIONS}


def test_what_an_action_does_is_searched_too() -> None:
    assert "drift" in texts("module")


def test_every_whole_match_of_a_value_can_be_read() -> None:
    for line in ("agg ", "theme ", "export ", "drop ", "fault port-2 "):
        for match in matches(line, KNOWN):
            assert not isinstance(read(match.text, KNOWN), Wrong), match


def test_known_is_enough_to_read() -> None:
    nothing: Any = Known(STATE)
    assert isinstance(read("tune", nothing), Wrong)
