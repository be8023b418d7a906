"""The page of an audit: its figures, how to make one where there is none, and what is said of a broken one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fedlora_tui.protocol.audits import NEWEST
from tests.flows.opened import opened
from tests.one_audit import AUDIT, written


async def test_the_figures_of_the_newest_audit_stand_with_their_verdicts(tmp_path: Path) -> None:
    async with opened(size=(120, 40), options={"runs_folder": str(written(tmp_path))}) as console:
        await console.press("v")
        page = console.text("audit-figures")
        lines = page.splitlines()
        assert "round 6" in lines[0]
        assert "audit-round-0006.md" in lines[0]
        for words in (
            *("1 of 2 exposed, from 7.6 of 13.3 bits on", "! exposed", "control, not planted"),
            *("0.540 to 0.723", "! above", "in 64 continuations", "3,955", "ε at least 0.81 (95%)", "claimed 7.91"),
            *("12 of 3,955", "0.500 to 0.700"),
        ):
            assert words in page
        assert page.count("! exposed") == page.count("! above") == 1
        await console.press("enter")
        assert console.said == "the whole report: audit-round-0006.md in the run's folder"


async def test_what_does_not_fit_is_scrolled_to_and_stays_when_the_terminal_grows(tmp_path: Path) -> None:
    many = replace(AUDIT, secrets=AUDIT.secrets * 3)
    async with opened(options={"runs_folder": str(written(tmp_path, many))}) as console:
        await console.press("v")
        assert "who took part" not in console.text("audit-figures")
        await console.press("G")
        assert "hospital-ward    0.600" in console.text("audit-figures").splitlines()[-1]
        await console.press("k", "g")
        assert "3 of 6 exposed" in console.text("audit-figures").splitlines()[1]
        await console.pilot.resize_terminal(120, 40)
        await console.pilot.pause(0.1)
        assert "ε at least 0.81" in console.text("audit-figures")


async def test_without_an_audit_the_page_says_how_one_is_made_and_shows_it_once_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "1122-1402").mkdir()
    options = {"runs_folder": str(tmp_path), "ascii": True}
    async with opened(size=(160, 40), options=options) as console:
        await console.press("v")
        assert f"fedlora-tui audit {tmp_path / '1122-1402'}" in console.text("audit-figures")
        await console.press("enter", "tab")
        assert console.said == "the figures are the only rows here"
        (tmp_path / "1122-1402" / NEWEST).write_text("{}")
        console.app.paint()
        assert "it is no audit; make another" in console.text("audit-figures")
        written(tmp_path)
        console.app.paint()
        assert "1 of 2 exposed" in console.text("audit-figures")
