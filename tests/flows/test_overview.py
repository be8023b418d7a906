"""The overview over a run's life: start, rounds, pauses, failure, sizes, the pointer."""

from __future__ import annotations

import pytest

from tests.flows.opened import Opened, opened
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT


def lines(console: Opened) -> list[str]:
    """What is on the terminal."""
    return [strip.text for strip in console.app.screen._compositor.render_strips()]


async def test_the_run_begins_after_the_first_frame() -> None:
    async with opened(at=BEGAN_AT + 1.5, prepare_seconds=1.0) as console:
        assert console.run.started
        assert "◌ starting" in console.text("run-line")
        starting = console.text("starting")
        assert "✓ config.toml" in starting
        assert "▸ device" in starting
        await console.at(BEGAN_AT + 2.5)
        assert "▸ base gpt2          loading █████████░░░░░░░ 312/548 MiB" in console.text("starting")


async def test_the_start_says_where_its_settings_are_from() -> None:
    options = {"configuration": "defaults"}
    async with opened(at=BEGAN_AT + 1.5, prepare_seconds=1.0, options=options) as console:
        assert "✓ defaults" in console.text("starting")
        assert "config.toml" not in console.text("starting")


async def test_running_shows_the_drawn_rows() -> None:
    async with opened() as console:
        shown = lines(console)
        assert shown[0].startswith(" ● running   round 7/20   step 40/64   2m 00s left")
        assert shown[0].endswith("1122-1402  14:03:10 ")
        assert "hold-out 2.905 ▼0.038" in shown[2]
        assert shown[3].startswith(" gpu 0 ████▓░░░░░░░ 31.4/80.0 GiB   97%  61 °C   182k tok/s   text sent 0 B")
        assert shown[5].startswith("  organization    state         step  loss trend       hold-out   gain ↑↓ MiB")
        assert shown[6].startswith("› bank-disputes   ▸ training   40/64 2.665 ")
        assert shown[23] == " space pause  a add  d drop  , tune  t try  e export  / filter  ? help  q quit  "


async def test_rows_are_sorted_anew_only_at_a_rounds_end_and_the_cursor_stays() -> None:
    async with opened(size=(120, 40)) as console:
        await console.press("j", "j", "a")
        assert console.app.session.order[-1] == "clinic-9"
        await console.at(SHOWN_AT + 6)
        assert console.app.session.state.round == 8
        assert console.app.session.order[2] == "clinic-9"
        assert console.app.session.selected == "hospital-ward"
        assert "› hospital-ward" in console.text("table")


async def test_dropping_moves_the_selection_to_a_neighbour() -> None:
    async with opened() as console:
        await console.press("j", "d")
        await console.at(SHOWN_AT + 6)
        assert "city-permits" not in console.app.session.state.organizations
        assert console.app.session.selected == "hospital-ward"


async def test_a_run_that_pauses_by_itself_says_why() -> None:
    async with opened(starve_at=4) as console:
        assert "needs 2 organizations, has 1" in console.text("run-line")
        assert console.said == "paused by itself: needs 2 organizations, has 1"


async def test_a_failed_run_keeps_its_table_and_says_what_is_lost() -> None:
    async with opened(fail_at=(7, 20)) as console:
        assert "✗ failed    round 7/20   step 20/64" in console.text("run-line")
        box = console.text("failed")
        assert "gpu 0 is gone: NVML says GPU_IS_LOST (Xid 79)." in box
        assert "Nothing is lost: the checkpoint of round 6 (14:03:04) is whole." in box
        assert "6 more below" in console.text("table")
        await console.press("e", "enter")
        assert console.said.startswith("written:")


async def test_a_done_run_names_its_best_round() -> None:
    async with opened(at=SHOWN_AT + 400) as console:
        assert "✓ done      round 20/20" in console.text("run-line")
        assert "best round 20" in console.text("run-line")
        assert "q quit" in console.text("last-rows")


@pytest.mark.parametrize("size", [(200, 60), (200, 24), (120, 32), (100, 60), (90, 28), (80, 24), (66, 17), (40, 10)])
async def test_every_row_is_filled_at_every_size(size: tuple[int, int]) -> None:
    async with opened(size=size) as console:
        shown = lines(console)
        assert "running" in shown[0]
        assert "quit" in shown[-1]
        assert any("organizations" in line for line in shown)
        assert "bank-" in console.text("table")


async def test_a_wide_table_tells_how_much_text_each_has_and_how_far_it_is_from_everybodys() -> None:
    async with opened(size=(200, 60)) as console:
        shown = lines(console)
        head = next(line for line in shown if "k tok" in line and "skew" in line)
        own = next(line for line in shown if "port-authority" in line)
        assert own[head.index("k tok") :].split()[0] == "90"
        assert own[head.index("skew") :].split()[0] == "0.44"


async def test_resizing_keeps_selection_and_focus() -> None:
    async with opened() as console:
        await console.press("j", "j", "tab")
        for size in ((120, 40), (200, 60), (60, 12), (38, 9), (80, 24)):
            await console.pilot.resize_terminal(*size)
            await console.pilot.pause(0.05)
            assert console.app.session.selected == "hospital-ward"
        assert "› hospital-ward" in console.text("table")


async def test_a_tiny_terminal_gets_one_line() -> None:
    async with opened(size=(70, 8)) as console:
        assert lines(console)[0].startswith("● running round 7/20 hold-out 2.905 (terminal too small)")


async def test_wheel_and_click_select() -> None:
    async with opened() as console:
        await console.pilot.click("#table", offset=(5, 4))
        assert console.app.session.selected == "hospital-ward"
        await console.pilot._post_mouse_events([_wheel()], "#table", offset=(5, 4))
        await console.pilot.pause()
        assert console.app.session.selected == "insurer"


def _wheel() -> type:
    from textual.events import MouseScrollDown

    return MouseScrollDown


async def test_a_paused_run_is_not_painted() -> None:
    async with opened() as console:
        await console.press("space")
        await console.at(SHOWN_AT + 1)
        await console.pilot.pause(2.8)
        painted: list[bool] = []
        console.app.paint = lambda *, slow=True: painted.append(slow)  # type: ignore[method-assign]
        console.clock.now += 30
        await console.pilot.pause(1.5)
        assert painted == []


async def test_without_a_gpu_the_process_stands_in_its_place() -> None:
    async with opened(gpu=False) as console:
        assert "process memory" in console.text("machine-line")
        assert "cpu" in console.text("machine-line")
    async with opened(size=(120, 40), gpu=False) as console:
        assert "GiB process memory" in console.text("digits")
        assert "process memory" in console.text("machine")


async def test_ascii_alone() -> None:
    async with opened(size=(120, 40), options={"ascii": True}) as console:
        await console.press("a")
        assert "".join(lines(console)).isascii()


async def test_help_in_ascii_alone() -> None:
    async with opened(size=(120, 40), options={"ascii": True}) as console:
        await console.press("question_mark")
        assert "^v j k g G" in console.text("dialog")
        assert "".join(lines(console)).isascii()
