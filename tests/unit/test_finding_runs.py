"""How a RUN on the command line is found, whatever is written there."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlora_tui.engine import journal
from fedlora_tui.engine.folder import find
from fedlora_tui.errors import UserError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "1126-0645-abc"
    folder.mkdir(parents=True)
    (folder / journal.NAME).touch()
    return folder


@pytest.mark.parametrize("written", ["x" * 300, "~nosuchuser/run", "nope", "a/b"])
def test_what_names_no_run_is_refused_in_one_line(run: Path, written: str) -> None:
    with pytest.raises(UserError, match="no such run") as refused:
        find(run.parent, written)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("where", "written"), [(".", "."), ("exports", "..")])
def test_a_run_named_from_inside_has_its_own_name(run: Path, monkeypatch, where: str, written: str) -> None:
    (run / "exports").mkdir()
    monkeypatch.chdir(run / where)
    assert find(run.parent, written).name == run.name


def test_an_id_and_a_path_name_the_same_run(run: Path) -> None:
    assert find(run.parent, run.name) == find(Path("elsewhere"), str(run)) == run
