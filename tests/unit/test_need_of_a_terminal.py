"""What is refused before a screen is drawn, and the ready texts of the operator's own that a console here has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedlora_tui import cli, console_run
from fedlora_tui.config import Config, load, resolved
from fedlora_tui.console import terminal
from fedlora_tui.engine import folder as folders


def test_a_terminal_that_draws_nothing_is_refused_in_one_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    for words, instead in (
        ([], "the console needs one that draws; fedlora-tui run does the same run without"),
        (["init"], "init asks on one that draws; fedlora-tui init --defaults writes without asking"),
    ):
        assert cli.main(words) == 2
        said = capsys.readouterr().err
        assert said == f"fedlora-tui: TERM=dumb: nothing can be drawn on this terminal: {instead}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_console_that_attaches_has_the_ready_texts_of_the_configuration_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    mine, seen = tmp_path / "config.toml", list[Config]()
    mine.write_text('[console]\nprompts = ["Invoice 7 is"]\n')
    kept = resolved(load(mine), 8)
    assert kept.console.prompts == ()
    monkeypatch.setattr(folders, "find", lambda runs, run: tmp_path)
    monkeypatch.setattr(folders, "read_config", lambda folder: replace(kept))
    monkeypatch.setattr(console_run, "attach_console", lambda folder, config, *more: seen.append(config) or 0)
    arguments = SimpleNamespace(runs_dir=str(tmp_path), run="1122-1402", ascii=False, readonly=False)
    for text, prompts in ((None, ("Invoice 7 is",)), ("[console\n", ())):
        if text is not None:
            mine.write_text(text)
        assert cli._attach(arguments) == 0  # type: ignore[arg-type]
        assert seen[-1].console.prompts == prompts
