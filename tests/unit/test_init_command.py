"""`fedlora-tui init` without its screen: the file, what is never overwritten, the line that says why not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedlora_tui.cli import main
from fedlora_tui.config import Config, load
from fedlora_tui.console import terminal
from fedlora_tui.console.setup.offer import Chosen
from fedlora_tui.errors import UserError
from fedlora_tui.init_command import write
from fedlora_tui.setup_choice import text_of

CHOSEN = Chosen("embedded", "synthetic", "", 3, 2, 5, "cpu")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults_are_written_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--defaults"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "fedlora-tui: config.toml is written; fedlora-tui starts a run with it\n")
    assert Path("config.toml").read_text(encoding="utf-8") == text_of(None)
    assert load(Path("config.toml")).federation == load(None).federation


def test_another_file_is_named_where_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--defaults", "--out", "mine.toml"]) == 0
    assert capsys.readouterr().err.endswith("mine.toml is written; fedlora-tui -c mine.toml starts a run with it\n")
    assert sorted(os.listdir()) == ["mine.toml"]


def test_defaults_never_go_over_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.toml").write_text("# mine\n")
    assert main(["init", "--defaults"]) == 2
    assert "config.toml: is there already and is not overwritten" in capsys.readouterr().err
    assert Path("config.toml").read_text() == "# mine\n"


def test_without_a_terminal_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "has_terminal", lambda: False)
    assert main(["init"]) == 2
    assert capsys.readouterr().err == (
        "fedlora-tui: no terminal here: init asks on one; fedlora-tui init --defaults writes without asking\n"
    )
    assert os.listdir() == []


def test_a_file_that_is_there_is_overwritten_only_where_that_is_wanted() -> None:
    Path("config.toml").write_text("# mine\n")
    Path("config.toml").chmod(0o640)
    with pytest.raises(FileExistsError):
        write("config.toml", CHOSEN, False)
    assert Path("config.toml").read_text() == "# mine\n"
    write("config.toml", CHOSEN, True)
    assert load(Path("config.toml")).federation.rounds == 5
    assert Path("config.toml").stat().st_mode & 0o777 == 0o640
    assert os.listdir() == ["config.toml"]


def test_a_link_stays_one_and_a_dangling_one_counts_as_a_file() -> None:
    Path("real.toml").write_text("# mine\n")
    Path("config.toml").symlink_to("real.toml")
    write("config.toml", CHOSEN, True)
    assert Path("config.toml").is_symlink()
    assert load(Path("real.toml")).lora.rank == 2
    Path("gone.toml").symlink_to("nowhere.toml")
    with pytest.raises(FileExistsError):
        write("gone.toml", CHOSEN, False)


def test_a_file_that_came_meanwhile_is_not_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    Path("config.toml").write_text("# theirs\n")
    with pytest.raises(FileExistsError):
        write("config.toml", CHOSEN, False)
    assert Path("config.toml").read_text() == "# theirs\n"
    assert os.listdir() == ["config.toml"]


def test_where_there_are_no_links_it_is_written_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    write("config.toml", CHOSEN, False)
    assert Path("config.toml").read_text(encoding="utf-8") == text_of(CHOSEN)
    assert os.listdir() == ["config.toml"]


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("folder", "folder: is a folder; name a file with --out"),
        ("gone/config.toml", "gone/config.toml: cannot be written: No such file or directory"),
        ("~nobody-of-this-name/x", "cannot look there"),
        ("x" * 300, "cannot look there|cannot be written"),
    ],
)
@pytest.mark.parametrize("over", [False, True])
def test_where_nothing_can_be_written_one_line_says_so(out: str, words: str, over: bool) -> None:
    Path("folder").mkdir()
    with pytest.raises(UserError, match=words) as refusal:
        write(out, CHOSEN, over)
    assert "\n" not in str(refusal.value)
    assert os.listdir() == ["folder"]


def test_no_default_depends_on_what_was_chosen_before() -> None:
    text_of(CHOSEN)
    assert Config().federation.rounds != CHOSEN.rounds
    assert text_of(None).count("# rounds = ") == 1
