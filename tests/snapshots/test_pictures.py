"""The pictures and texts of the console in the docs are what it draws now from what was recorded."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import make_pictures
import scenes
import terminal_recording
from cells import Ink, Painted, text_of
from svg import moving, still

MOST_BYTES = {".svg": 600_000, ".cast": 1_000_000}


@pytest.fixture(scope="module")
def drawn() -> dict[Path, str]:
    return dict(make_pictures.files(make_pictures.all_captures()))


def test_everything_that_shows_the_console_shows_it_as_it_is(drawn: dict[Path, str]) -> None:
    stale = [file.name for file, text in drawn.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    assert stale == [], "draw them anew with make pictures, and look at them"


def test_the_pictures_are_those_that_are_drawn_and_small(drawn: dict[Path, str]) -> None:
    files = {file for file in make_pictures.PICTURES.iterdir() if file.is_file()}
    assert files == {file for file in drawn if file.suffix == ".svg"} | {make_pictures.CAST}
    assert [file.name for file in files if file.stat().st_size > MOST_BYTES[file.suffix]] == []
    assert [file.name for file in files if re.search(r"/(tmp|home|root|work)/", file.read_text(encoding="utf-8"))] == []


def test_the_walk_through_points_to_what_is_there() -> None:
    docs = make_pictures.ROOT / "docs"
    for page in ("console.md", "screens.md"):
        links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (docs / page).read_text(encoding="utf-8"))
        assert links
        assert [link for link in links if not (docs / link).exists()] == []


def test_the_terminal_recording_is_an_asciicast_that_ends_as_the_demo_does() -> None:
    lines = [json.loads(line) for line in make_pictures.CAST.read_text(encoding="utf-8").splitlines()]
    assert lines[0].items() >= {"version": 2, "width": 100, "height": 32}.items()
    moments = [line[0] for line in lines[1:]]
    assert moments == sorted(moments)
    assert {line[1] for line in lines[1:]} == {"o", "m"}
    *_, (_, last) = terminal_recording.frames(make_pictures.CAST)
    ended = scenes.Scene(of="replay", speed=float("inf"), ready=lambda app: app.session.state.over)
    now = scenes.captured(ended, {"recorded": terminal_recording.SIZE})["recorded"]
    # The cursor is where the recording's keys put it, and the answer row is about the last of them.
    assert without_cursor(text_of(last)[:-2]) == without_cursor(text_of(now)[:-2])


def without_cursor(rows: list[str]) -> list[str]:
    return [row.replace("›", " ").rstrip() for row in rows]


def test_a_moving_picture_draws_a_row_once_however_often_it_comes_and_moves_only_what_changes() -> None:
    red = Ink("#d55e00", bold=True)
    stays, one, two = (("ab ━█", Ink()),), (("one  ", red),), (("two  ", Ink()),)
    frames = [(0.0, (stays, one)), (1.0, (stays, two)), (2.0, (stays, one))]
    picture = moving(frames, 4.0, "a label")
    assert [picture.count(f">{word}<") for word in ("ab", "one", "two")] == [1, 1, 1]
    assert "0%{transform:translateX(0px)}25%{transform:translateX(-50px)}50%{transform:translateX(0px)}" in picture
    assert "@keyframes k1" in picture
    assert "@keyframes k0" not in picture
    assert 'aria-label="a label"' in still([stays], "a label")


def test_a_terminals_colours_are_read_from_what_a_program_wrote() -> None:
    screen = Painted(6, 2)
    screen.feed(b"\x1b[1;38;2;213;94;0;48;2;13;16;20mab\x1b[0mc\x1b[2;1H\x1b[38;2;1;2;3mx\x1b[1;2H\x1b[K")
    ink = Ink("#d55e00", "#0d1014", bold=True)
    assert screen.painted() == ((("a", ink), ("     ", Ink())), (("x", Ink("#010203")), ("     ", Ink())))
