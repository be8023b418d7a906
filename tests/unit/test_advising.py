"""What is found out for the setup screen: bases, texts, figures, and why a run would not take a choice."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fedlora_tui import advising
from fedlora_tui.advising import Judge, devices_here
from fedlora_tui.console.setup.offer import Chosen, Judged
from tests.tiny_models import documents, write_base, write_texts

ROOT = Path(__file__).parents[2]
USUAL = Chosen("embedded", "synthetic", "", 8, 4, 60, "cpu")


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Judge:
    monkeypatch.setattr(advising, "_measured", lambda config: 2e9)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    return Judge()


def told(judge: Judge, chosen: Chosen) -> Judged:
    found = list(judge.judge(chosen))
    assert [one.settled for one in found] == [False] * (len(found) - 1) + [True]
    assert {one.chosen for one in found} == {chosen}
    return found[-1]


def test_the_usual_run_has_figures_at_first_without_a_speed(judge: Judge) -> None:
    first, last = judge.judge(USUAL)
    assert first.figures is not None
    assert first.figures.seconds is None
    assert first.doing == "this machine"
    assert last.figures is not None
    assert last.figures.seconds is not None
    assert (last.figures.rate, last.complaints) == (2e9, {})
    assert last.figures.memory == first.figures.memory
    assert "1.9M parameters" in last.remarks["base"]
    assert "adapters of 10,240 numbers" in last.remarks["rank"]
    assert len(list(judge.judge(replace(USUAL, rank=8)))) == 1, "the machine is measured once"


def test_more_of_everything_takes_more(judge: Judge) -> None:
    usual = told(judge, USUAL).figures
    for more in ({"rank": 64}, {"organizations": 80}, {"rounds": 600}):
        figures = told(judge, replace(USUAL, **more)).figures  # type: ignore[arg-type]
        assert figures is not None
        assert usual is not None
        assert (figures.seconds or 0) > (usual.seconds or 0), more
        assert figures.memory >= usual.memory


def test_a_folder_of_texts_is_counted_as_doctor_counts_it(judge: Judge, tmp_path: Path) -> None:
    write_texts(tmp_path / "texts", ("a", "b", "c"))
    found = told(judge, replace(USUAL, source="folder", path="texts", organizations=None))
    assert found.complaints == {}
    assert found.remarks["path"].startswith("3 organizations, 120 documents, ")
    assert found.remarks["organizations"] == "all 3 that there are"
    assert found.figures is not None
    assert found.figures.trained == 3 * 4 * 2 * 128
    assert 0 < found.figures.measured < 3 * 512


def test_a_table_is_counted_too(judge: Judge, tmp_path: Path) -> None:
    rows = [f"{name},{text}" for name in ("a", "b") for text in documents(name, 40)]
    (tmp_path / "all.csv").write_text("\n".join(["organization,text", *rows]), encoding="utf-8")
    table = replace(USUAL, source="table", path="all.csv", organizations=None)
    found = told(judge, table)
    assert found.complaints == {}
    assert found.remarks["path"].startswith("2 organizations, 80 documents, ")
    (tmp_path / "all.csv").write_text("text\nwords\n", encoding="utf-8")
    assert list(told(Judge(), table).complaints) == ["path"]


def test_a_protection_that_so_many_organizations_cannot_have_is_a_complaint(judge: Judge) -> None:
    few = told(judge, replace(USUAL, organizations=2, protection="secure sum"))
    assert "needs 3 organizations in a round, this one has 2" in few.complaints["protection"]
    for protection, epsilon in (("secure sum", ""), ("epsilon", "8"), ("none", "")):
        assert told(judge, replace(USUAL, protection=protection, epsilon=epsilon)).complaints == {}


def test_progress_is_told_while_texts_are_read(judge: Judge, tmp_path: Path) -> None:
    write_texts(tmp_path / "texts", ("a", "b"))
    found = list(judge.judge(replace(USUAL, source="folder", path="texts", organizations=None)))
    said = [one.remarks.get("path") for one in found]
    assert "1 of 2 organizations read" in said
    assert found[0].doing == "texts"


@pytest.mark.parametrize(
    ("write", "words"),
    [((), "no such|not here|no file"), (("a",), "1 organization"), (("a", "b", "short"), "short")],
)
def test_texts_that_a_run_would_not_take_are_a_complaint(
    judge: Judge, tmp_path: Path, write: tuple[str, ...], words: str
) -> None:
    if write:
        write_texts(tmp_path / "texts", tuple(name for name in write if name != "short"))
    if "short" in write:
        (tmp_path / "texts" / "short.txt").write_text("one line\n")
    found = told(judge, replace(USUAL, source="folder", path="texts", organizations=None))
    assert list(found.complaints) == ["path"]
    assert any(word in found.complaints["path"] for word in words.split("|"))
    assert found.figures is None


def test_a_base_that_is_a_folder_has_a_size_and_one_that_is_none_a_complaint(judge: Judge, tmp_path: Path) -> None:
    write_base(tmp_path / "tiny")
    short = told(judge, replace(USUAL, base="./tiny"))
    assert "takes 64 tokens at most" in short.complaints["base"]
    for name in ("./gone", "gone.gguf", "no such name"):
        assert list(told(judge, replace(USUAL, base=name)).complaints) == ["base"], name


def test_a_base_that_is_put_right_is_looked_at_anew(judge: Judge, tmp_path: Path) -> None:
    chosen = replace(USUAL, base="./tiny")
    assert told(judge, chosen).complaints
    write_base(tmp_path / "tiny")
    config = tmp_path / "tiny" / "config.json"
    config.write_text(config.read_text().replace('"n_positions": 64', '"n_positions": 256'))
    found = told(judge, chosen)
    assert found.complaints == {}
    assert found.figures is not None


def test_a_hub_id_that_is_not_here_is_no_complaint_and_has_no_figures(judge: Judge, tmp_path: Path) -> None:
    write_texts(tmp_path / "texts", ("a", "b"))
    away = replace(USUAL, base="nobody/nothing-of-this-name")
    found = told(judge, away)
    assert (found.complaints, found.figures) == ({}, None)
    assert "downloaded when a run first uses it" in found.remarks["base"]
    with_texts = told(judge, replace(away, source="folder", path="texts", organizations=None))
    assert with_texts.remarks["path"] == "2 organizations; counted when the base is here"


def test_a_dataset_is_only_named(judge: Judge) -> None:
    found = told(judge, replace(USUAL, source="hub", path="someone/texts", organizations=None))
    assert (found.complaints, found.figures) == ({}, None)
    assert told(judge, replace(USUAL, source="hub", path="someone/texts", organizations=4)).figures is not None


def test_a_device_that_is_not_here_is_a_complaint(judge: Judge) -> None:
    found = told(judge, replace(USUAL, device="cuda:77"))
    assert "this machine has no such device" in found.complaints["device"]


def test_devices_begin_with_auto_and_processors() -> None:
    auto, processors, *_ = devices_here()
    assert (auto.name, processors.name) == ("auto", "cpu")
    assert "thread" in processors.remark


def alone(tmp_path: Path, code: str) -> list[str]:
    """Run code where torch is not loaded, as the screen's own process is when it forks; give what it prints."""
    head = (
        "import time\n"
        "from fedlora_tui.advising import AdvisingProcess\n"
        "from fedlora_tui.console.setup.offer import Chosen, Found, Judged, Lost\n"
        f"chosen = {USUAL!r}\n"
        "def wait(process, enough):\n"
        "    found = []\n"
        "    while not any(enough(one) for one in found):\n"
        "        found += process.told()\n"
        "        time.sleep(0.02)\n"
        "    return found\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", head + code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    return done.stdout.splitlines()


def test_the_process_tells_what_is_here_and_what_was_asked_and_ends_with_its_screen(tmp_path: Path) -> None:
    said = alone(
        tmp_path,
        "import sys\n"
        "with AdvisingProcess() as process:\n"
        "    process.ask(chosen)\n"
        "    found = wait(process, lambda one: isinstance(one, Judged) and one.settled)\n"
        "    own = process._process\n"
        "print([(bool(one.bases), bool(one.devices)) for one in found if isinstance(one, Found)])\n"
        "print(found[-1].figures.seconds > 0, own.is_alive(), 'torch' in sys.modules)\n",
    )
    assert said == ["[(True, False), (False, True)]", "True False False"]


def test_a_process_that_is_gone_is_told_once(tmp_path: Path) -> None:
    said = alone(
        tmp_path,
        "with AdvisingProcess() as process:\n"
        "    process._process.kill()\n"
        "    process._process.join()\n"
        "    print(wait(process, lambda one: isinstance(one, Lost))[-1].reason)\n"
        "    process.ask(chosen)\n"
        "    print(process.told())\n",
    )
    assert said == ["unknown: the process that looks at this machine has ended", "[]"]
