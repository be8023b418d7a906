"""The registry of actions: no key twice, footers that keep their places, a table for the documents."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from fedlora_tui.console.actions.action import Situation
from fedlora_tui.console.actions.registry import ACTIONS, REGISTRY, by_group, keys_on, markdown_table
from fedlora_tui.console.footer import PLACES, footer_places
from fedlora_tui.console.screens.dialog import BOX_WIDTH
from fedlora_tui.console.screens.help import KEY_WIDTH, LEFT_GROUPS, RIGHT_COLUMN, RIGHT_GROUPS, RIGHT_KEY_WIDTH
from fedlora_tui.protocol.commands import Rank
from fedlora_tui.protocol.events import CheckpointWritten, Waiting
from fedlora_tui.protocol.ranks import Ranks
from fedlora_tui.protocol.state import OrganizationState, RunState

DRAWN = {
    "compact": (80, " space pause  a add  d drop  , tune  t try  e export  / filter  ? help  q quit"),
    "normal": (
        120,
        " space pause  a add  d drop  , tune  t try  e export  enter open  c compare  f fork  x faults"
        "  / filter  ? help  q quit",
    ),
    "wide": (
        200,
        " space pause  a add  d drop  , tune  [ ] rank  - + rounds  t try  e export  enter open  r rounds  c compare"
        "  f fork  x faults  u undo  / filter  s sort  z zoom  o runs  : command  ? help  q quit",
    ),
}


def footer(columns: str, width: int) -> str:
    line = " "
    for place in footer_places(Situation(RunState()), columns, width):
        line += place.text.ljust(place.width) + "  "
    return line.rstrip()


def test_no_key_and_no_id_is_given_twice() -> None:
    keys = Counter((key, action.page) for action in REGISTRY for key in action.keys)
    assert [key for key, count in keys.items() if count > 1] == []
    assert len(ACTIONS) == len(REGISTRY)


def test_what_is_on_one_page_alone_comes_there_before_what_is_everywhere() -> None:
    assert keys_on("")["f"][0].id == keys_on("overview")["f"][0].id == "fork"
    assert keys_on("log")["f"][0].id == "follow"
    assert keys_on("log").keys() == keys_on("").keys()
    assert ACTIONS["follow"].reason(Situation(RunState())) == "f does this in the log alone"
    assert ACTIONS["follow"].reason(Situation(RunState(), page="log")) is None


@pytest.mark.parametrize("columns", PLACES)
def test_every_place_of_the_footer_is_an_action(columns: str) -> None:
    assert set(PLACES[columns]) <= ACTIONS.keys()


@pytest.mark.parametrize("columns", DRAWN)
def test_keys_stand_where_they_are_drawn(columns: str) -> None:
    width, drawn = DRAWN[columns]
    shown = footer(columns, width)
    for action in REGISTRY:
        if action.id in PLACES[columns]:
            words = action.footer(Situation(RunState()))
            assert drawn.index(f" {words}") == shown.index(f" {words}")


def test_footer_keys_fall_away_from_the_right_but_for_help_and_quit() -> None:
    assert footer("compact", 62).split()[-4:] == ["?", "help", "q", "quit"]
    assert footer("compact", 30) == " space pause  ? help  q quit"
    assert len(footer("compact", 40)) <= 40


def test_pause_becomes_resume_and_moves_nothing() -> None:
    paused = footer_places(Situation(RunState(phase="paused")), "compact", 80)
    running = footer_places(Situation(RunState(phase="running")), "compact", 80)
    assert paused[0].text == "space resume"
    assert [place.width for place in paused] == [place.width for place in running]


@pytest.mark.parametrize("phase", ["failed", "stopped"])
def test_a_run_of_another_process_that_ended_early_goes_on_from_its_checkpoint(phase: str) -> None:
    saved = CheckpointWritten(6, "checkpoints/round-0006", 1, 0.1)
    ended = Situation(RunState(phase=phase, rounds=20, round=7, checkpoint=saved), apart=True)
    assert ACTIONS["pause"].reason(ended) is None
    assert footer_places(ended, "compact", 80)[0].text == "space resume"
    without = replace(ended, state=replace(ended.state, checkpoint=None))
    assert ACTIONS["pause"].reason(without) == "no checkpoint yet"
    assert ACTIONS["pause"].reason(replace(ended, watching="ada steers")) == "ada steers"
    of_a_race = ACTIONS["pause"].reason(replace(ended, runs=2))
    assert of_a_race == "a race is resumed run by run: fedlora-tui resume RUN"
    assert footer_places(replace(ended, apart=False), "compact", 80)[0].text == "space pause"


def test_help_shows_every_group() -> None:
    assert {*LEFT_GROUPS, *RIGHT_GROUPS} == by_group().keys()


def test_the_two_columns_of_help_neither_touch_nor_leave_the_box() -> None:
    for action in REGISTRY:
        if action.group in LEFT_GROUPS:
            assert len(action.shown) < KEY_WIDTH
            assert KEY_WIDTH + len(action.does) < RIGHT_COLUMN
        else:
            assert len(action.shown) < RIGHT_KEY_WIDTH
            assert RIGHT_COLUMN + RIGHT_KEY_WIDTH + len(action.does) <= BOX_WIDTH - 5


def test_the_documents_table_has_a_row_for_every_action() -> None:
    rows = markdown_table().splitlines()
    assert len(rows) == 2 + len(REGISTRY)
    assert "| `space p` | pause, resume; replay: play, stop | running, paused, failed, stopped, replay |" in rows[2]


@pytest.mark.parametrize("action", REGISTRY, ids=lambda action: action.id)
def test_every_action_explains_itself(action: object) -> None:
    assert action.does  # type: ignore[attr-defined]
    assert action.when  # type: ignore[attr-defined]
    assert action.group  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["pause", "tune", "rank", "more_rounds", "add", "drop", "own_rank"])
@pytest.mark.parametrize(
    ("phase", "stopping", "reason"),
    [
        ("finishing", False, "finishing: the last evaluation and checkpoint are under way"),
        ("done", False, "the run is done"),
        ("failed", False, "the run has failed: it has no checkpoint to go on from"),
        ("stopped", False, "the run is stopped: it has no checkpoint to go on from"),
        ("running", True, "stopping already"),
    ],
)
def test_a_run_that_takes_no_changes_says_so_to_every_key_that_changes_it(
    name: str, phase: str, stopping: bool, reason: str
) -> None:
    situation = Situation(RunState(phase=phase, rounds=20, round=7), stopping=stopping)
    assert ACTIONS[name].refusal(situation) == reason


def test_the_rank_of_a_method_that_keeps_it_is_not_turned_unless_another_method_waits() -> None:
    state = RunState(phase="running", rounds=20, round=7, ranks=Ranks(4), aggregation="fedsvd", keeps_rank=True)
    assert ACTIONS["rank"].refusal(Situation(state, direction="up")) == "fedsvd keeps its rank"
    following = replace(state, waiting=(Waiting("aggregation", "flora", 8, "fedsvd"),))
    assert ACTIONS["rank"].refusal(Situation(following, direction="up")) is None


def own_rank(direction: str, **known: object) -> str | Rank:
    """What the keys of beta's own rank say or send, in a run whose organizations stand at 4 unless told otherwise."""
    organizations = {name: OrganizationState(name) for name in ("alpha", "beta")}
    state = replace(
        RunState(phase="running", rounds=20, round=7, aggregation="hetlora", ranks=Ranks(4)),
        **{"organizations": organizations, **known},
    )
    situation = Situation(state, "beta", direction=direction)
    action = ACTIONS["own_rank"]
    assert action.command is not None
    return action.refusal(situation) or action.command(situation)  # type: ignore[return-value]


def waits(*values: object) -> tuple[Waiting, ...]:
    return tuple(Waiting("rank", value, 8) for value in values)


@pytest.mark.parametrize(
    ("known", "down", "up"),
    [
        ({}, 2, 8),
        ({"ranks": Ranks(4, {"beta": 16})}, 8, 32),
        ({"ranks": Ranks(4, {"beta": 6})}, 4, 8),
        ({"ranks": Ranks(4, {"alpha": 16})}, 2, 8),
        ({"waiting": waits(8)}, 4, 16),
        ({"waiting": waits(8, {"org": "beta", "rank": 2})}, 1, 4),
        ({"waiting": waits({"org": "beta", "rank": 2}, {"org": "alpha", "rank": 1}, 8)}, 1, 4),
        ({"waiting": waits({"org": "beta", "rank": 2}, {"org": "beta", "rank": 4}, 8)}, 4, 16),
    ],
)
def test_an_organizations_own_rank_steps_from_where_it_will_stand(known: dict[str, object], down: int, up: int) -> None:
    assert own_rank("down", **known) == Rank(down, "beta")
    assert own_rank("up", **known) == Rank(up, "beta")


@pytest.mark.parametrize(
    ("direction", "known", "reason"),
    [
        ("up", {"aggregation": "fedit", "unequal_ranks": False}, "fedit needs equal ranks: [ ] turns that of all"),
        ("up", {"aggregation": "fedsvd", "keeps_rank": True, "unequal_ranks": False}, "fedsvd keeps its rank"),
        ("up", {"ranks": Ranks(4, {"beta": 64})}, "64 is the most here: :rank and --set take more"),
        ("down", {"ranks": Ranks(4, {"beta": 1})}, "1 is the least"),
        ("up", {"organizations": {}}, "no organization is selected"),
        ("up", {"organizations": {"beta": OrganizationState("beta", "leaving")}}, "beta leaves already"),
        ("up", {"round": 20}, "round 20 is the last: nothing can wait for a next one"),
    ],
)
def test_an_organizations_own_rank_that_cannot_be_turned_says_why(
    direction: str, known: dict[str, object], reason: str
) -> None:
    assert own_rank(direction, **known) == reason


def test_the_own_rank_of_one_that_joins_or_under_a_method_that_waits_is_left_to_the_run() -> None:
    joining = {"beta": OrganizationState("beta", "joining")}
    assert own_rank("up", organizations=joining) == Rank(8, "beta")
    coming = (Waiting("aggregation", "flora", 8, "fedit"),)
    assert own_rank("up", aggregation="fedit", unequal_ranks=False, waiting=coming) == Rank(8, "beta")
