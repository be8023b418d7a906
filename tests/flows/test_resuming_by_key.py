"""The key that pauses goes on with a run that has ended early, where its console may start it again."""

from __future__ import annotations

from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import ScriptedWheel, opened

FAILED = {"fail_at": (7, 20)}


async def test_space_leaves_a_failed_run_to_go_on_with_it() -> None:
    async with opened(wheel=ScriptedWheel(), **FAILED) as console:
        assert console.app.session.state.phase == "failed"
        assert "space  resume in a new process" in console.text("failed")
        assert "space resume" in console.text("last-rows")
        await console.press("space")
        await console.until(lambda: console.app.return_value == "resume")
        assert console.run.sent == []


async def test_space_goes_on_with_a_run_that_was_stopped_elsewhere() -> None:
    async with opened(wheel=ScriptedWheel()) as console:
        console.run._obey(cmd.Stop())
        console.clock.now += 10
        await console.until(lambda: console.app.session.state.phase == "stopped")
        await console.press("p")
        await console.until(lambda: console.app.return_value == "resume")


async def test_without_a_checkpoint_it_says_so() -> None:
    async with opened(wheel=ScriptedWheel(), fail_at=(1, 20)) as console:
        assert "resume in a new process" not in console.text("failed")
        await console.press("space")
        assert console.said == "no checkpoint yet"
        assert console.app.is_running


async def test_who_only_watches_does_not_go_on_with_it() -> None:
    theirs = ScriptedWheel(may_steer=False, holder="ada@pts/3", alone=False)
    async with opened(wheel=theirs, **FAILED) as console:
        assert "resume in a new process" not in console.text("failed")
        await console.press("space")
        assert console.said == "ada@pts/3 steers: w takes the wheel"
        assert console.app.is_running


async def test_a_run_of_the_consoles_own_process_does_not_go_on() -> None:
    async with opened(**FAILED) as console:
        assert "resume in a new process" not in console.text("failed")
        await console.press("space")
        assert console.said == "the run has failed: fedlora-tui resume 1122-1402, or fork 1122-1402"
        assert "space pause" in console.text("last-rows")
