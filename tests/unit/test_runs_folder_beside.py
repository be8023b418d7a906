"""A runs folder that is named by way of another is told and found as the folder that it is."""

from __future__ import annotations

from pathlib import Path

from fedlora_tui.engine import folder as run_folder
from fedlora_tui.engine import journal


def test_a_run_in_the_folder_beside_is_told_by_a_path_without_detours(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "operator").mkdir()
    (tmp_path / "server" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "operator")
    made = run_folder.create(Path("../server/runs"), "harbour", 0.0)
    assert made.parent == tmp_path / "server" / "runs"
    (made / journal.NAME).touch()
    assert run_folder.find(Path("../server/runs"), None) == made
    assert run_folder.find(Path("runs"), f"../server/runs/{made.name}") == made
    assert run_folder.find(Path("../server/runs"), made.name) == made
