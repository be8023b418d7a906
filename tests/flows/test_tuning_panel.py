"""The tuning panel: what its keys ask the run for, what it says beforehand, and what it refuses."""

from __future__ import annotations

import pytest

from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.console.screens.tune import TuneDialog
from fedlora_tui.protocol import commands as cmd
from fedlora_tui.protocol import events as ev
from tests.flows.opened import Opened, ScriptedWheel, opened
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT

DOWN = {"rank": 0, "rounds": 1, "rate": 2, "steps": 3, "fraction": 4, "aggregation": 5}
"""How far below the first setting each stands."""


def line(console: Opened, name: str) -> str:
    """The panel's line of a setting."""
    return next(row for row in console.text("dialog").splitlines() if f" {name} " in row)


async def at(console: Opened, name: str) -> None:
    """Open the panel and go to a setting."""
    await console.press("comma", *["down"] * DOWN[name])


async def test_it_stands_as_drawn() -> None:
    async with opened((120, 40)) as console:
        await console.press("comma", "right")
        shown = console.text("dialog").splitlines()
        assert shown[0].startswith("╭─ tune ───")
        assert shown[0].endswith(" from round 8 on ─╮")
        assert "› rank               4  ‹        8 ›  1 to 1,024     0.6 → 1.1 MiB" in shown[3]
        assert "rounds            20          20    7 to 1,000,000" in shown[4]
        assert "rate            5e-4        5e-4    above 0 to 10" in shown[5]
        assert "local steps       64          64    1 to 1,000,000" in shown[6]
        assert "fraction        1.00        1.00    above 0 to 1   12 of 12" in shown[7]
        assert "method         fedit       fedit    9 of 10 can" in shown[8]
        assert "147k → 295k trainable   a round 13.5 → 27.0 MiB   memory +27.0 MiB" in shown[10]
        assert "a round 9.0 s" in shown[11]
        assert "(estimates)" in shown[11]
        assert "Exact: every product B·A stays as it is, alpha 8 → 16 keeps alpha/rank." in shown[13]
        assert "New rows of A are random, of B zero; optimizers start each round." in shown[14]
        assert "Method: fedsa cannot take over (why: ?)" in shown[16]
        assert "Protection: none; fixed for the run." in shown[17]


@pytest.mark.parametrize(
    ("name", "keys", "command", "waits"),
    [
        ("rank", ["right", "right"], cmd.Rank(16), "rank 16"),
        ("rank", ["left"], cmd.Rank(2), "rank 2"),
        ("rank", ["1", "2", "8"], cmd.Rank(128), "rank 128"),
        ("rounds", ["right"], cmd.Rounds(21), "rounds 21"),
        ("rounds", ["plus", "1", "0"], cmd.Rounds(30), "rounds 30"),
        ("rate", ["left"], cmd.Rate(2e-4), "lr 2e-4"),
        ("rate", ["2", ".", "5", "e", "minus", "4"], cmd.Rate(2.5e-4), "lr 2.5e-4"),
        ("steps", ["left"], cmd.Steps(32), "steps 32"),
        ("steps", ["9", "8", "backspace"], cmd.Steps(9), "steps 9"),
        ("fraction", ["left", "left"], cmd.Fraction(0.83), "fraction 0.83"),
        ("fraction", ["0", ".", "5"], cmd.Fraction(0.5), "fraction 0.5"),
        ("aggregation", ["right"], cmd.Method("ffa"), "method ffa"),
        ("aggregation", ["left"], cmd.Method("fedsvd"), "method fedsvd"),
    ],
)
async def test_each_setting_is_turned_by_steps_or_typed(
    name: str, keys: list[str], command: cmd.Command, waits: str
) -> None:
    async with opened() as console:
        await at(console, name)
        await console.press(*keys)
        assert console.run.sent == []
        await console.press("enter")
        assert console.app.screen is console.app.overview
        assert console.run.sent == [command]
        assert f"next round   {waits}" in console.text("last-rows")
        assert console.said == f"{waits}, waits for round 8"


async def test_all_that_changed_is_asked_for_and_answered_together() -> None:
    async with opened() as console:
        await console.press("comma", "right", "down", "right", "down", "down", "left", "enter")
        assert console.run.sent == [cmd.Rank(8), cmd.Rounds(21), cmd.Steps(32)]
        assert "next round   rank 8   rounds 21   steps 32" in console.text("last-rows")
        assert console.said == "rank 8, rounds 21, steps 32, from round 8 on"


async def test_what_the_run_refuses_of_several_is_not_lost_behind_what_it_takes() -> None:
    async with opened(deaf=True) as console:
        await console.press("comma", "right", "down", "right", "enter")
        assert len(console.run.sent) == 2
        console.run._tell(ev.CommandRefused("rank", 8, "fedsvd keeps its rank"), SHOWN_AT)
        console.run._tell(ev.CommandAcknowledged("rounds", 21, 8, before=20), SHOWN_AT)
        await console.until(lambda: console.said == "1 of 2 refused: fedsvd keeps its rank")


@pytest.mark.parametrize(
    ("name", "keys", "complaint"),
    [
        ("rank", ["0"], "rank 0: allowed is 1 to 1,024"),
        ("rank", ["2", "0", "0", "0"], "rank 2000: allowed is 1 to 1,024"),
        ("rank", ["1", ".", "5"], "rank 1.5: allowed is 1 to 1,024"),
        ("rounds", ["3"], "rounds 3: allowed is 7 to 1,000,000, or like +10"),
        ("rounds", ["minus", "1", "9"], "rounds -19: allowed is 7 to 1,000,000, or like +10"),
        ("rate", ["e"], "rate e: allowed is above 0 to 10"),
        ("rate", ["1", "1"], "rate 11: allowed is above 0 to 10"),
        ("steps", ["0"], "local steps 0: allowed is 1 to 1,000,000"),
        ("fraction", ["0"], "fraction 0: allowed is above 0 to 1"),
    ],
)
async def test_what_is_not_allowed_is_refused_in_the_panel(name: str, keys: list[str], complaint: str) -> None:
    async with opened() as console:
        await at(console, name)
        await console.press(*keys, "enter")
        assert isinstance(console.app.screen, TuneDialog)
        assert complaint in console.text("dialog")
        assert console.run.sent == []
        await console.press("ctrl+u", "enter")
        assert "nothing is changed" in console.text("dialog")


async def test_one_bad_value_keeps_all_others_back() -> None:
    async with opened() as console:
        await console.press("comma", "right", "down", "0", "enter")
        assert "rounds 0: allowed is" in console.text("dialog")
        assert console.run.sent == []


async def test_it_is_left_without_a_change() -> None:
    for key in ("escape", "comma"):
        async with opened() as console:
            await console.press("comma", "right", key)
            assert console.app.screen is console.app.overview
            assert console.run.sent == []


async def test_u_takes_back_what_stands_in_the_panel_then_what_waits() -> None:
    async with opened() as console:
        await console.press("right_square_bracket", "comma", "right")
        assert "rank               4  ‹       16 ›" in line(console, "rank")
        await console.press("u")
        assert "rank               4  ‹        8 ›" in line(console, "rank")
        await console.press("u")
        assert console.run.sent == [cmd.Rank(8), cmd.Undo()]
        assert "rank               4  ‹        4 ›" in line(console, "rank")
        await console.press("u")
        assert "nothing waits for the next round" in console.text("dialog")
        assert console.said == "taken back: rank 8"


async def test_a_lower_rank_says_that_it_is_not_exact() -> None:
    async with opened() as console:
        await console.press("comma", "left")
        assert "Not exact: B·A becomes its best approximation of rank 2." in console.text("dialog")
        assert f"memory {chr(0x2212)}13.5 MiB" in console.text("dialog")
        assert "576 → 288 KiB" in line(console, "rank")


async def test_fewer_steps_and_organizations_are_estimated_to_take_less_time() -> None:
    async with opened() as console:
        await at(console, "steps")
        await console.press("left")
        times = next(row for row in console.text("dialog").splitlines() if "left " in row and "a round" in row)
        assert times.index("9.0 s → 4.") > 0
        await console.press("escape", "comma", *["down"] * 4, "0", ".", "5")
        assert "6 of 12" in line(console, "fraction")
        assert "a round 13.5 → 6.8 MiB" in console.text("dialog")


async def test_why_a_method_cannot_take_over_is_told() -> None:
    async with opened() as console:
        await console.press("comma", "question_mark")
        assert "fedsa     fedit and fedsa keep different things at home: fork the" in console.text("dialog")
        assert "            instead" in console.text("dialog")
        assert "flexlora  can" in console.text("dialog")
        await console.press("escape")
        assert "› rank" in console.text("dialog")


async def test_methods_that_cannot_go_on_from_a_server_optimizer_are_left_out() -> None:
    async with opened() as console:
        started = console.app.session.state.started
        assert started is not None
        started.config["federation"]["server_optimizer"] = "fedavgm"  # type: ignore[index]
        await at(console, "aggregation")
        assert "6 of 10 can" in line(console, "method")
        assert "Method: flora, flexlora, fedsa, fedsvd cannot take over (why: ?)" in console.text("dialog")
        seen = []
        for _ in range(6):
            await console.press("right")
            seen.append(line(console, "method").split("‹")[1].split("›")[0].strip())
        assert seen == ["ffa", "rolora", "fedex", "hetlora", "fair", "fedit"]


async def test_in_the_last_round_nothing_but_rounds_is_turned() -> None:
    async with opened(rounds=7) as console:
        await console.press("comma", "right", "enter")
        assert "round 7 is the last: nothing but rounds can be turned" in console.text("dialog")
        await console.press("u", "down", "right", "enter")
        assert console.run.sent == [cmd.Rounds(8)]


async def test_q_asks_about_leaving_and_other_keys_are_answered() -> None:
    async with opened() as console:
        await console.press("comma", "z")
        assert "z does nothing here: type a number" in console.text("dialog")
        await console.press("down", "down", "down", "down", "down", "5")
        assert "5 does nothing here: left and right go through the methods" in console.text("dialog")
        await console.press("q")
        assert isinstance(console.app.screen, LeaveDialog)


async def test_watching_it_says_who_steers() -> None:
    async with opened(wheel=ScriptedWheel(may_steer=False, holder="ada@pts/3", alone=False)) as console:
        await console.press("comma")
        assert console.said == "ada@pts/3 steers: w takes the wheel"
        assert console.app.screen is console.app.overview


async def test_in_a_race_it_says_that_every_run_is_turned() -> None:
    async with opened(race={"rank 2": 0.7, "rank 4": 1.0}) as console:
        await console.press("comma", "right")
        assert " all 2 runs, from round 8 on " in console.text("dialog")
        await console.press("enter")
        assert [racer.sent for racer in console.racers] == [[cmd.Rank(8)], [cmd.Rank(8)]]


async def test_ascii_alone() -> None:
    async with opened(options={"ascii": True}) as console:
        await console.press("comma", "right")
        assert console.text("dialog").isascii()
        await console.press("question_mark")
        assert console.text("dialog").isascii()


async def test_unknown_numbers_are_dashes() -> None:
    async with opened(at=BEGAN_AT + 4.0) as console:
        assert console.app.session.state.history[-1].round == 0
        await console.press("comma")
        assert "a round –" in console.text("dialog")


async def test_a_run_that_ended_early_is_not_tuned_and_what_to_do_is_said() -> None:
    async with opened(at=SHOWN_AT + 400, fail_at=(9, 3), wheel=ScriptedWheel()) as console:
        for keys in (["comma"], ["right_square_bracket"], ["plus"], ["right_curly_bracket"]):
            await console.press(*keys)
            assert console.app.screen is console.app.overview
            assert console.said == "the run has failed: space resumes it, f forks it"
        await console.press("colon", *"rank 8", "enter")
        assert "the run has failed: space resumes it, f forks it" in console.text("dialog")
        assert console.run.sent == []


async def test_a_panel_under_which_the_run_fails_says_so_and_asks_for_nothing() -> None:
    async with opened(fail_at=(9, 3)) as console:
        await console.press("comma", "right")
        await console.at(SHOWN_AT + 400)
        await console.press("enter")
        assert "the run has failed: fedlora-tui resume 1122-1402, or fork 1122-1402" in console.text("dialog")
        assert console.run.sent == []


async def test_a_run_whose_process_is_gone_is_not_tuned() -> None:
    async with opened(wheel=ScriptedWheel(lives=False)) as console:
        await console.press("comma")
        assert console.said == "the run's process is gone: fedlora-tui resume 1122-1402 goes on"
