"""What goes to a terminal's clipboard, wrapped as tmux and screen want it, and to files."""

from __future__ import annotations

import base64
from pathlib import Path

from fedlora_tui.console.taking_along import LONGEST, SCREEN_PART, clipboard_sequence, place_for, write

TEXT = "pharmacy-1\t2.590"
PLAIN = f"\x1b]52;c;{base64.b64encode(TEXT.encode()).decode()}\x07"


def test_a_text_goes_to_the_clipboard_in_base64() -> None:
    assert clipboard_sequence(TEXT, {}) == PLAIN
    assert clipboard_sequence("gain −0.1", {}) == f"\x1b]52;c;{base64.b64encode('gain −0.1'.encode()).decode()}\x07"


def test_tmux_is_told_to_hand_it_on() -> None:
    assert clipboard_sequence(TEXT, {"TMUX": "/tmp/tmux-0/default,1,0"}) == f"\x1bPtmux;\x1b{PLAIN}\x1b\\"


def test_screen_is_handed_it_in_parts_that_it_takes() -> None:
    wrapped = clipboard_sequence(TEXT * 100, {"STY": "1.pts-0"})
    parts = [part.removeprefix("\x1bP") for part in wrapped.split("\x1b\\")]
    assert parts.pop() == ""
    assert len(parts) > 1
    assert all(len(part) <= SCREEN_PART for part in parts)
    assert "".join(parts) == clipboard_sequence(TEXT * 100, {})


def test_what_terminals_would_not_take_is_not_sent() -> None:
    longest = "x" * (LONGEST // 4 * 3)
    assert len(clipboard_sequence(longest, {})) <= LONGEST + 8
    assert clipboard_sequence(longest, {})
    assert clipboard_sequence(longest + "xxx", {}) == ""


def test_no_file_is_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    paths = [write(text, folder, "copy", ".txt", 1_790_000_000.0).path for text in ("one", "two")]
    assert [Path(path).read_text() for path in paths] == ["one", "two"]
    assert paths[1].endswith("-2.txt")


def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "copies").write_text("a file where a folder belongs")
    written = write("one", tmp_path / "copies", "copy", ".txt", 0.0)
    assert written.path == ""
    assert written.trouble == f"{tmp_path}/copies: cannot be written: File exists"
    gone = write("one", tmp_path / "gone" / "copies", "copy", ".txt", 0.0)
    assert gone.trouble == f"{tmp_path}/gone/copies: cannot be written: No such file or directory"


def test_files_stand_in_the_runs_folder_wherever_the_console_does(tmp_path: Path) -> None:
    (tmp_path / "runs" / "1122-1402").mkdir(parents=True)
    own = tmp_path / "runs" / "1122-1402" / "copies"
    assert place_for("runs/1122-1402", str(tmp_path / "runs")) == own
    assert place_for(str(own.parent), "") == own
    assert place_for("runs/1122-1402", "") == Path()
    assert place_for("", str(tmp_path / "runs")) == Path()
