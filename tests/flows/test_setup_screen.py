"""The setup screen by its keys: fields, what is found out meanwhile, writing, overwriting, leaving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual import events

from fedlora_tui.config import load
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.setup.app import INTERRUPTED, LEFT, WRITTEN
from fedlora_tui.console.setup.offer import Chosen, Found, Lost
from fedlora_tui.console.setup.overwrite import OverwriteDialog
from tests.flows.set_up import BASES, DEVICES, FIGURES, REMARKS, set_up

USUAL = Chosen("embedded", "synthetic", "", 8, 4, 60, "auto")


async def test_enter_writes_the_usual_run_at_once(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press("enter")
        assert screen.app.return_value == WRITTEN
    config = load(tmp_path / "config.toml")
    assert (config.model.base, config.federation.rounds, config.organizations) == ("embedded", 60, 8)


@pytest.mark.parametrize(
    ("keys", "how"), [(("escape",), LEFT), (("ctrl+c",), INTERRUPTED), (("ctrl+q",), LEFT)], ids=["esc", "^c", "^q"]
)
async def test_who_leaves_leaves_nothing_behind(tmp_path: Path, keys: tuple[str, ...], how: str) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press("tab", "tab", "5", *keys)
        assert screen.app.return_value == how
    assert list(tmp_path.iterdir()) == []


async def test_what_is_chosen_by_keys_is_what_is_written(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.tell(Found(bases=BASES, devices=DEVICES))
        await screen.press(
            "right", "right", "down", "down", "1", "2", "tab", "right", "tab", "tab", "7", "down", "left"
        )
        await screen.judge()
        await screen.press("enter")
        assert screen.app.return_value == WRITTEN
    config = load(tmp_path / "config.toml")
    assert (config.model.base, config.model.device) == ("gpt2", "cuda:0")
    assert (config.organizations, config.lora.rank, config.federation.rounds) == (12, 8, 7)


async def test_each_choice_is_asked_about_once_and_none_that_is_not_allowed(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press("down", "up", "shift+tab", "left")
        assert screen.adviser.asked == [USUAL, replace(USUAL, device="cpu")]
        await screen.press("down", "down", "down", "0")
        assert screen.app.fields.cursor == "organizations"
        assert len(screen.adviser.asked) == 2
        assert "allowed is a whole number from 1" in screen.text
        await screen.press("enter")
        assert "allowed is a whole number from 1" in screen.answer
        assert screen.app.return_value is None
    assert list(tmp_path.iterdir()) == []


async def test_what_is_found_out_is_shown_and_belongs_to_its_choice(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        assert "looking" in screen.text
        await screen.judge(figures=FIGURES, remarks=REMARKS)
        assert "2.8 GiB" in screen.text
        assert "5.6 s" in screen.text
        assert "124.4M parameters, 50,257 tokens" in screen.text
        await screen.press("down", "down", "down", "right")
        assert "5.6 s" not in screen.text
        await screen.judge(figures=replace(FIGURES, rate=None, speed=None, seconds=None), settled=False, doing="it")
        assert "2.8 GiB" in screen.text
        assert "looking at   it…" in screen.text
        assert "5.6 s" not in screen.text


async def test_more_memory_than_is_free_is_said_first(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.judge(figures=replace(FIGURES, free=1 << 30))
        assert "more than the 1.0 GiB that are free: libraries 600M" in screen.text


async def test_nobody_who_looks_is_no_reason_not_to_write(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press(*"gpt2")
        await screen.press("enter")
        assert screen.app.return_value is None
        await screen.tell(Lost("unknown: it has ended"))
        assert screen.app.return_value == WRITTEN
    assert load(tmp_path / "config.toml").model.base == "gpt2"


async def test_texts_are_looked_at_before_they_are_written_down(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press("down", "right", *"./offices")
        assert screen.app.fields.chosen == Chosen("embedded", "folder", "./offices", None, 4, 60, "auto")
        await screen.press("enter")
        assert screen.answer == "./offices is looked at first; then it is written"
        await screen.judge(settled=False, doing="./offices", remarks={"path": "1 of 3 organizations read"})
        assert "1 of 3 organizations read" in screen.text
        assert screen.app.return_value is None
        await screen.judge(remarks={"path": "3 organizations"})
        assert screen.app.return_value == WRITTEN
    config = load(tmp_path / "config.toml")
    assert (config.data.source, config.data.path, config.organizations) == ("folder", "./offices", None)


async def test_what_a_run_would_not_take_is_not_written(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press("down", "right", *"./offices", "enter")
        await screen.judge(complaints={"path": "./offices: no such folder"})
        assert screen.answer == "folder: ./offices: no such folder"
        await screen.press("enter")
        assert screen.app.return_value is None
        assert "✗ ./offices: no such folder" in screen.text


async def test_why_a_run_would_not_take_it_is_said_to_its_end_where_there_is_a_line_more(tmp_path: Path) -> None:
    reason = "data.path: the file 'north.txt' in './offices' has a name that no organization of a run can have"
    async with set_up(tmp_path, size=(80, 24)) as screen:
        await screen.press("down", "right", *"./offices")
        await screen.judge(complaints={"path": reason})
        first, second = (line.strip() for line in screen.text.splitlines()[14:16])
        assert f"{first} {second}" == f"✗ {reason}"
    async with set_up(tmp_path, size=(80, 16)) as screen:
        await screen.press("down", "right", *"./offices")
        await screen.judge(complaints={"path": reason})
        assert any(line.startswith("  ✗ data.path") and "…" in line for line in screen.text.splitlines())


async def test_a_change_takes_back_that_it_is_to_be_written(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press("down", "right", *"./office", "enter", "s")
        assert screen.answer == ""
        await screen.judge()
        assert screen.app.return_value is None


async def test_a_table_is_looked_at_before_it_is_written_down(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press("down", "right", "right", "down")
        assert "› table" in screen.text
        await screen.press(*"all.csv", "enter")
        assert screen.answer == "all.csv is looked at first; then it is written"
        await screen.judge()
        assert screen.app.return_value == WRITTEN
    config = load(tmp_path / "config.toml")
    assert (config.data.source, config.data.path) == ("table", "all.csv")


async def test_a_protection_is_chosen_with_what_it_costs_and_looked_at_before_it_is_written(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press("down", "down", "down", "down")
        assert "‹ none ›   epsilon 8   secure sum" in screen.text
        assert "whoever has the adapter can probe it for text" in screen.text
        await screen.press("left")
        assert "‹ secure sum ›" in screen.text
        assert "costs a few KiB a round; the sum itself is seen" in screen.text
        await screen.judge(complaints={"protection": "needs 3 organizations in a round"})
        await screen.press("enter")
        assert screen.answer == "protection: needs 3 organizations in a round"
        await screen.press(*"2.5")
        assert "‹ epsilon 2.5▏ ›" in screen.text
        assert "costs learning: 32 organizations are too few" in screen.text
        assert "target_epsilon = 2.5" in screen.text
        await screen.press("enter")
        assert screen.app.return_value is None
        await screen.judge()
        assert screen.app.return_value == WRITTEN
    privacy = load(tmp_path / "config.toml").privacy
    assert (privacy.mechanism, privacy.target_epsilon, privacy.secure_sum) == ("gaussian", 2.5, False)


async def test_a_dataset_needs_its_name_alone(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press("down", "left", "enter")
        assert screen.answer == "dataset: type the dataset's id"
        await screen.press(*"someone/texts", "enter")
        assert screen.app.return_value == WRITTEN
    assert load(tmp_path / "config.toml").data.path == "someone/texts"


async def test_a_file_that_is_there_stays_unless_it_is_said_twice(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    async with set_up(tmp_path) as screen:
        for keys in (("enter",), ("escape",), ("down", "up", "enter")):
            await screen.press("enter")
            assert isinstance(screen.app.screen, OverwriteDialog)
            assert "config.toml is there already" in screen.dialog
            assert "› esc  keep it" in screen.dialog
            await screen.press(*keys)
            assert screen.answer == "config.toml stays as it was"
            assert screen.app.return_value is None
    assert (tmp_path / "config.toml").read_text() == "# mine\n"


@pytest.mark.parametrize("keys", [("o",), ("down", "enter"), ("tab", "enter")])
async def test_said_twice_it_is_overwritten(tmp_path: Path, keys: tuple[str, ...]) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    async with set_up(tmp_path) as screen:
        await screen.press("enter", *keys)
        assert screen.app.return_value == WRITTEN
    assert load(tmp_path / "config.toml").federation.rounds == 60


async def test_keys_that_say_nothing_to_the_dialog_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    async with set_up(tmp_path) as screen:
        await screen.press("enter", "y", "space", "5")
        assert isinstance(screen.app.screen, OverwriteDialog)
        await screen.press("ctrl+c")
        assert screen.app.return_value == INTERRUPTED
    assert (tmp_path / "config.toml").read_text() == "# mine\n"


async def test_where_it_cannot_be_written_the_screen_stays_and_says_so(tmp_path: Path) -> None:
    async with set_up(tmp_path / "gone") as screen:
        await screen.press("enter")
        assert "cannot be written: No such file or directory" in screen.answer
        assert screen.app.return_value is None


async def test_every_key_is_answered(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        await screen.press("f5")
        assert screen.answer == "f5 does nothing here"
        await screen.press("down", "x")
        assert screen.answer == "left and right choose here"
        await screen.press("down", "x")
        assert screen.answer == "a number belongs here: digits, or left and right"
        await screen.press("ctrl+u")
        assert screen.answer == ""


async def test_what_is_pasted_is_typed(tmp_path: Path) -> None:
    async with set_up(tmp_path) as screen:
        screen.app.post_message(events.Paste("./models/\ntiny "))
        await screen.pilot.pause()
        assert screen.app.fields.chosen.base == "./models/ tiny"
        await screen.press("ctrl+u", *"x", "backspace")
        assert screen.app.fields.chosen.base == ""
        assert "type a Hugging Face id, a folder or a .gguf file" in screen.text


@pytest.mark.parametrize("size", [(200, 60), (120, 40), (80, 24), (80, 22), (60, 20), (50, 18), (40, 14), (40, 10)])
async def test_at_every_size_the_first_row_the_last_rows_and_the_field_under_the_cursor_are_there(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with set_up(tmp_path, size) as screen:
        await screen.tell(Found(bases=BASES, devices=DEVICES))
        await screen.press("up")
        await screen.judge(figures=FIGURES)
        lines = screen.text.splitlines()
        assert lines[0].startswith(" ◌ setup     writes config.toml")
        assert any(line.startswith("› device") for line in lines)
        assert any(line.startswith("  memory    2.8 GiB") for line in lines)
        assert any(line.startswith("  time      5.6 s") for line in lines)
        assert lines[size[1] - 1].startswith(" ↑ ↓ field")
        assert len(lines) == size[1]


async def test_under_40_columns_or_10_rows_there_is_one_line(tmp_path: Path) -> None:
    async with set_up(tmp_path, (39, 24)) as screen:
        assert screen.text.strip() == "◌ setup (terminal too small)"
        await screen.press("down", "right")
        await screen.pilot.resize_terminal(80, 24)
        await screen.pilot.pause()
        assert "‹ folder ›" in screen.text
        await screen.pilot.resize_terminal(80, 9)
        await screen.pilot.pause()
        assert screen.text.strip() == "◌ setup (terminal too small)"


async def test_many_bases_keep_the_chosen_one_in_sight(tmp_path: Path) -> None:
    many = tuple(replace(BASES[2], name=f"someone/model-{number:02}") for number in range(20))
    async with set_up(tmp_path, (80, 24)) as screen:
        await screen.tell(Found(bases=(BASES[0], *many)))
        for number in range(20):
            await screen.press("right")
            line = next(line for line in screen.text.splitlines() if line.startswith("› base"))
            assert f"‹ someone/model-{number:02} ›" in line
            assert len(line) <= 80


async def test_in_ascii_every_sign_is(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    async with set_up(tmp_path, ascii=True) as screen:
        await screen.judge(figures=FIGURES, remarks=REMARKS, doing="this", settled=False)
        await screen.press("right", "x", "f5")
        assert screen.text.isascii()
        await screen.press("left", "left", "enter")
        assert screen.dialog.isascii()


async def test_without_colours_no_line_has_one(tmp_path: Path) -> None:
    look = look_for(ConsoleOptions(), {"NO_COLOR": "1", "LANG": "C.UTF-8"}, "utf-8")
    async with set_up(tmp_path, look=look) as screen:
        await screen.judge(figures=replace(FIGURES, free=1))
        strips = screen.app.screen.query_one("#setup").render_lines(screen.app.screen.region)
        assert screen.app.ansi_color
        styles = [segment.style for strip in strips for segment in strip if segment.style is not None]
        assert {style.color for style in styles if style.color is not None and not style.color.is_default} == set()
