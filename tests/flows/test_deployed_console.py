"""The console on a run whose organizations are on machines of their own: nothing on it presumes that steps are told."""

import pytest

from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.console.log_lines import plain_entry
from fedlora_tui.console.screens.page import Page
from fedlora_tui.console.wording import entry_of
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import Release
from fedlora_tui.protocol.events import UNRECORDED, Record
from fedlora_tui.protocol.state import RunState, apply, fold
from tests.flows.deployed_run import ANSWERS_AFTER, NAMES, POLICIES, DeployedRun
from tests.flows.opened import console_on
from tests.flows.scripted_run import SHOWN_AT, HandClock
from tests.flows.test_command_box import typed


def words(app) -> str:
    """All that stands on the screen."""
    screen = app.screen
    assert isinstance(screen, Page) or screen.is_modal
    return "\n".join("".join(segment.text for segment in strip) for strip in screen._compositor.render_strips())


async def settled(app, pilot) -> str:
    app.session.poll()
    app.paint()
    await pilot.pause(0.1)
    return words(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_no_page_of_it_tells_a_step_and_all_tell_since_when_they_train(size):
    clock = HandClock()
    run = DeployedRun(clock)
    app = console_on(run, clock=clock)
    async with app.run_test(size=size) as pilot:
        while app.session.state.round < 7:
            await pilot.pause(0.02)
        for keys in ([], ["enter"], ["escape", "r"], ["escape", "l"]):
            await pilot.press(*keys)
            said = await settled(app, pilot)
            first = said.splitlines()[0]
            assert "since 14:03" in first
            assert "step " not in first
            assert "0/64" not in said
        await pilot.press("escape")
        assert "training since 14:03" in (await settled(app, pilot)).splitlines()[0]
        state = app.session.state
        assert state.step == 0
        assert 0 < state.part < 1
        assert state.progress == pytest.approx((6 + state.part) / 20)
        await pilot.press("q")
        assert "stop at once; the checkpoint of round 6 stays" in await settled(app, pilot)
        await pilot.press("escape", "space")
        said = await settled(app, pilot)
        assert "after these replies" in said.splitlines()[0]
        assert "pausing when the replies on their way are in" in said
        clock.now = SHOWN_AT + 10
        said = await settled(app, pilot)
        assert "paused with no reply on its way, nothing lost" in said
        assert app.session.state.part == 1


async def test_what_a_node_allows_stands_on_its_organizations_page():
    clock = HandClock()
    app = console_on(DeployedRun(clock), clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        while app.session.state.round < 7:
            await pilot.pause(0.02)
        await pilot.press("down", "down", "enter")
        said = " ".join((await settled(app, pilot)).split())
        assert "allows rank <= 8, steps <= 100," in said
        assert "epsilon <= 8, no" in said
        assert "skew" not in said
        await pilot.press("k")
        assert "allows everything" in " ".join((await settled(app, pilot)).split())
        assert app.session.state.organizations["insurer"].policy == POLICIES["insurer"]
    joined = Record(9, 9.0, ev.OrgJoined("mill", 3, 4, 1900, 200, policy="rank <= 2"))
    entry = entry_of(joined, RunState(), UNICODE)
    assert entry is not None
    assert entry.words == "joined with round 3, 1.9k tokens, allows rank <= 2"


@pytest.mark.parametrize(
    ("size", "insecure", "since"),
    [((80, 24), "", " since 14:03"), ((80, 24), "no TLS", ""), ((120, 40), "", " since 14:03:15")],
)
async def test_a_round_that_waits_for_organizations_says_so_in_the_first_row_on_every_page(size, insecure, since):
    clock = HandClock()
    run = DeployedRun(clock, insecure=insecure)
    app = console_on(run, clock=clock)
    async with app.run_test(size=size) as pilot:
        while app.session.state.round < 7:
            await pilot.pause(0.02)
        assert app.session.state.seconds_left(clock.now) is not None
        lack = "waits for SuperNodes: round 7 needs 4 organizations, has 3 (federation.min_organizations)"
        run._tell(ev.Warned(lack, awaits=True), SHOWN_AT + 5)
        for keys, page in ([], ""), (["enter"], "organizations"), (["escape", "r"], "rounds"):
            await pilot.press(*keys)
            first = (await settled(app, pilot)).splitlines()[0]
            assert "◌ waiting" in first
            assert " for SuperNodes" + since * (page == "" or size[0] > 80) in first
            assert " left" not in first
        assert app.session.state.seconds_left(clock.now) is None
        run._tell(ev.RoundStarted(8, 20, NAMES, 64), SHOWN_AT + 6)
        await pilot.press("escape")
        first = (await settled(app, pilot)).splitlines()[0]
        assert "● running" in first
        assert "SuperNodes" not in first


async def test_a_node_is_given_no_fault_and_released_from_quarantine():
    clock = HandClock()
    run = DeployedRun(clock)
    app = console_on(run, clock=clock)
    async with app.run_test(size=(80, 24)) as pilot:
        while app.session.state.round < 7:
            await pilot.pause(0.02)
        await pilot.press("x")
        assert "a node has its own faults alone: x releases one from quarantine" in await settled(app, pilot)
        assert app.screen is app.overview
        selected = app.session.selected
        run._tell(ev.OrgQuarantined(selected, 7, "2 replies refused (loss is nan)"), SHOWN_AT)
        await settled(app, pilot)
        await pilot.press("x", "4")
        assert "a node has its own faults alone: x releases one" in await settled(app, pilot)
        assert run.sent == []
        await pilot.press("r")
        await settled(app, pilot)
        assert run.sent == [Release(selected)]
        await pilot.press("down", "m", ":", *typed(f"release {selected}"), "enter")
        await settled(app, pilot)
        assert run.sent == [Release(selected)] * 2, "whoever is named is meant, not whoever is marked"


def test_replies_tell_what_steps_tell_elsewhere():
    clock = HandClock(SHOWN_AT)
    run = DeployedRun(clock)
    run.start()
    state = fold(RunState(), run.drain())
    done = [name for name in NAMES if state.organizations[name].history[-1].round == 7]
    assert 0 < len(done) < len(NAMES)
    assert state.part == len(done) / len(NAMES)
    first = state.organizations[done[0]]
    assert first.loss == pytest.approx(first.history[-1].train_loss)
    assert first.history[-1].seconds == pytest.approx(ANSWERS_AFTER[done[0]])
    assert state.organizations["insurer"].loss is None
    losses = [state.organizations[name].loss for name in done]
    assert state.train_loss == pytest.approx(sum(losses) / len(losses))
    assert all(len(curve) == 1 for curve in state.curve)
    assert state.speed == pytest.approx(len(done) * 131072 / ANSWERS_AFTER[done[-1]])
    asked = plain_entry(Record(1, 1.0, ev.PauseRequested(7)), UNICODE, state)
    assert asked is not None
    assert asked.words == "asked for, when the replies on their way are in"


def test_whoever_comes_before_an_ended_run_goes_on_sees_it_start():
    clock = HandClock(SHOWN_AT)
    run = DeployedRun(clock)
    run.start()
    stopped = Record(9999, SHOWN_AT, ev.RunStopped(7, 0, "its machine was turned off"))
    state = apply(fold(RunState(), run.drain()), stopped)
    waits = ev.Preparing("organizations", "working", "waits for SuperNodes: 1 of 4 here")
    state = apply(state, Record(UNRECORDED, SHOWN_AT + 1, waits))
    assert (state.phase, state.preparation["organizations"]) == ("starting", waits)
