"""y copies what is selected, P keeps a picture: what is taken, where it goes, and what is said when it cannot."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.flows.opened import Opened, opened
from tests.flows.scripted_run import SHOWN_AT
from tests.flows.test_replaying import journal_until, replayed

NORMAL = (120, 40)
RACE: dict[str, Any] = {"rank 2": 0.7, "rank 4": 1.0}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which the run's folder is."""
    monkeypatch.chdir(tmp_path)
    for name in ("TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "runs" / "1122-1402").mkdir(parents=True)
    return tmp_path


def sent(console: Opened) -> list[str]:
    """What goes to the terminal beside what is painted, from now on."""
    written: list[str] = []
    assert console.app._driver is not None
    console.app._driver.write = written.append  # type: ignore[method-assign]
    return written


def clipboard(sequence: str) -> str:
    return base64.b64decode(sequence.removeprefix("\x1b]52;c;").removesuffix("\x07")).decode()


def only_file(folder: Path) -> Path:
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


async def test_the_selected_row_goes_to_the_clipboard_and_to_a_file_in_the_runs_folder(folder: Path) -> None:
    async with opened() as console:
        written = sent(console)
        await console.press("G", "y")
        path = only_file(folder)
        assert path.parent == folder / "runs" / "1122-1402" / "copies"
        assert console.said == f"copied, and {path.relative_to(folder)}"
        heads, row = (line.split("\t") for line in path.read_text().splitlines())
        cells = dict(zip(heads, row, strict=True))
        assert cells["organization"] == "telecom-support"
        assert cells["state"] == "▸ training"
        assert cells["k tok"] == "195"
        assert clipboard(written[0]) + "\n" == path.read_text()


async def test_marked_rows_are_copied_together(folder: Path) -> None:
    async with opened() as console:
        await console.press("m", "j", "m", "G", "y")
        names = [line.split("\t")[0] for line in only_file(folder).read_text().splitlines()]
        assert names == ["organization", "bank-disputes", "city-permits"]


async def test_the_pane_with_the_focus_is_copied(folder: Path) -> None:
    async with opened(size=NORMAL) as console:
        await console.press("4", "y")
        assert only_file(folder).read_text().startswith("━ 4 log ━")


async def test_within_tmux_it_is_wrapped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "somewhere")
    async with opened() as console:
        written = sent(console)
        await console.press("y")
        assert written[0].startswith("\x1bPtmux;\x1b\x1b]52;c;")


async def test_a_dialog_and_a_failure_are_copied_whole(folder: Path) -> None:
    async with opened(fail_at=(7, 20)) as console:
        await console.press("y")
        failure = only_file(folder)
        assert failure.read_text().startswith("1122-1402 failed in round 7, step 20, 14:03:")
        assert "GPU_IS_LOST" in failure.read_text()
        failure.unlink()
        await console.press("question_mark", "y")
        assert "keys on this screen" in console.text("dialog"), "it stays open"
        words = only_file(folder).read_text()
        assert words.startswith("keys on this screen\n")
        assert "copy, picture" in words
        assert "text sent must read 0 B" in words, "what is out of sight too"


async def test_y_is_a_letter_in_a_field(folder: Path) -> None:
    async with opened() as console:
        await console.press("slash", "y", "P")
        assert console.app.session.arrangement.typed == "yP"
        assert not [path for path in folder.rglob("*") if path.is_file()]


async def test_a_picture_of_the_screen_is_kept(folder: Path) -> None:
    async with opened() as console:
        await console.press("P")
        picture = only_file(folder)
        assert console.said == f"picture {picture.relative_to(folder)}"
        words = picture.read_text().replace("&#160;", " ")
        assert words.startswith("<svg")
        assert "telecom-support" in words


async def test_the_run_in_front_is_copied_where_runs_are_compared(folder: Path) -> None:
    async with opened(size=NORMAL, race=RACE) as console:
        await console.press("c", "j", "y")
        heads, row = (line.split("\t") for line in only_file(folder).read_text().splitlines())
        assert dict(zip(heads, row, strict=True))["differs in"] == "rank 4"


async def test_what_is_too_long_for_a_clipboard_is_in_the_file_alone(folder: Path) -> None:
    async with opened() as console:
        written = sent(console)
        console.app.page.selection = lambda view: "x" * 60_000  # type: ignore[method-assign]
        await console.press("y")
        assert console.said == f"too long for a clipboard: {only_file(folder).relative_to(folder)}"
        assert "52;c" not in "".join(written)


async def test_a_folder_that_cannot_be_written_is_named_in_one_line(folder: Path) -> None:
    (folder / "runs" / "1122-1402" / "copies").write_text("in the way")
    async with opened() as console:
        await console.press("y")
        where = "runs/1122-1402/copies: cannot be written: File exists"
        assert console.said == f"copied, but no file: {where}"
        await console.press("P")
        assert console.said == f"no picture: {where}"


async def test_a_replay_leaves_its_run_alone_and_writes_into_the_working_directory(folder: Path) -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records, len(records)) as console:
        await console.until(lambda: console.said.startswith("the recording ends here"))
        await console.press("y")
        assert only_file(folder).parent == folder
        assert console.said == f"copied, and {only_file(folder).name}"


async def test_without_a_selection_there_is_nothing_to_copy(folder: Path) -> None:
    async with opened(at=SHOWN_AT) as console:
        await console.press("slash", "z", "z", "z", "enter", "y")
        assert console.said == "nothing is selected: there is nothing to copy"
