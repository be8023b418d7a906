"""The command line as scripts meet it: exit statuses, JSON lines alone on stdout, one line for each mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from fedlora_tui.cli import main
from fedlora_tui.engine import journal
from tests.tiny_models import write_texts
from tests.tiny_runs import tiny_base

GUARD = 240
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
PROGRAM = [sys.executable, "-m", "fedlora_tui"]


def ran(home: Path, *words: str, program: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(program or PROGRAM), *words],
        cwd=home,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=GUARD,
        check=False,
    )


def small(home: Path, rounds: int = 2) -> list[str]:
    """The words of a quick run over a tiny base and two small files."""
    write_texts(home / "texts", ("alpha", "beta"))
    values = {
        "model.base": tiny_base(),
        "model.max_length": 24,
        "data.source": "folder",
        "data.path": "texts",
        "federation.local_steps": 2,
        "federation.batch_size": 2,
        "federation.rounds": rounds,
    }
    return ["run", *(word for name, value in values.items() for word in ("--set", f"{name}={value}"))]


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def losses(told: list[dict], last: int) -> list[tuple]:
    """Every loss up to a round, to the last digit."""
    kinds = ("train_step", "org_evaluated", "update_received")
    return [
        (event["type"], event["org"], event["round"], event["loss"])
        for event in told
        if event["type"] in kinds and event["round"] <= last
    ]


@pytest.fixture(scope="module")
def contract(tmp_path_factory):
    """The run that the README promises, on the embedded base."""
    home = tmp_path_factory.mktemp("cli")
    return home, ran(home, "run", "--rounds", "3", "--orgs", "4", "--seed", "7", "--json")


def test_the_hold_out_loss_of_the_embedded_base_falls_every_round(contract):
    _, done = contract
    assert done.returncode == 0, done.stderr
    told = events(done.stdout)
    finished = [event for event in told if event["type"] == "round_finished"]
    base = [event for event in told if event["type"] == "org_evaluated" and event["round"] == 0]
    first = sum(event["loss"] * event["tokens"] for event in base) / sum(event["tokens"] for event in base)
    seen = [first, *(event["eval_loss"] for event in finished)]
    assert len(seen) == 4
    assert all(later < earlier for earlier, later in pairwise(seen))
    assert told[-1]["type"] == "run_finished"
    assert told[-1]["eval_loss"] == seen[-1]


def test_stdout_is_the_journal_line_by_line_and_seq_has_no_holes(contract):
    home, done = contract
    (folder,) = (home / "runs").iterdir()
    assert done.stdout == (folder / journal.NAME).read_text(encoding="utf-8")
    assert [event["seq"] for event in events(done.stdout)] == list(range(1, len(done.stdout.splitlines()) + 1))
    assert all(event["v"] == 1 for event in events(done.stdout))
    assert "is done: round 3/3" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_same_seed_in_another_process_gives_the_same_losses_to_the_last_digit(contract, tmp_path):
    again = ran(tmp_path, "run", "--rounds", "1", "--orgs", "4", "--seed", "7", "--json")
    assert again.returncode == 0, again.stderr
    first = losses(events(contract[1].stdout), last=1)
    assert len(first) > 20
    assert losses(events(again.stdout), last=1) == first


def test_a_run_without_json_leaves_stdout_empty_and_tells_each_round_on_stderr(tmp_path):
    done = ran(tmp_path, *small(tmp_path))
    assert (done.returncode, done.stdout) == (0, "")
    assert "round 1/2" in done.stderr
    assert "round 2/2" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("sent", "status", "reason"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_a_run_cleanly_and_at_once(tmp_path, sent, status, reason):
    output, narration = tmp_path / "out.jsonl", tmp_path / "err.txt"
    with (
        output.open("w") as out,
        narration.open("w") as err,
        subprocess.Popen(
            [*PROGRAM, *small(tmp_path, rounds=100_000), "--json"],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            until = time.monotonic() + GUARD
            while '"train_step"' not in output.read_text() and time.monotonic() < until and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(sent)
            process.wait(GUARD)
        finally:
            process.kill()
    told = events(output.read_text())
    assert process.returncode == status
    assert (told[-1]["type"], told[-1]["reason"]) == ("run_stopped", reason)
    assert [event["by"] for event in told if event["type"] == "command_acknowledged"] == [sent.name]
    assert "Traceback" not in narration.read_text()
    (folder,) = (tmp_path / "runs").iterdir()
    assert [record.seq for record in journal.read(folder)] == [event["seq"] for event in told]


FAILING = """
import sys
from fedlora_tui.cli import main
from fedlora_tui.federation import client_app

def broken(*arguments):
    raise RuntimeError("the accelerator fell over")

client_app.train_cohort = broken
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_that_fails_exits_with_1_and_its_reason_is_the_last_event(tmp_path):
    done = ran(tmp_path, *small(tmp_path), "--json", program=[sys.executable, "-c", FAILING])
    assert done.returncode == 1
    last = events(done.stdout)[-1]
    assert (last["type"], last["reason"]) == ("run_failed", "RuntimeError: the accelerator fell over")
    assert "fell over" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_is_not_here_exits_with_2_and_leaves_no_run(tmp_path):
    done = ran(tmp_path, *small(tmp_path), "--model", "nobody/nothing", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such model" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


# --- in this process: mistakes that are found before anything heavy is loaded


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--rank", "0"], "--rank 0: lora.rank = 0: allowed is a whole number from 1 to 1,024"),
        (["run", "--rank", "0", "--rank", "4"], "--rank 0: lora.rank = 0"),
        (["run", "--set", "lora.rnak=4"], "nearest is lora.rank"),
        (["run", "--set", "lora.rank"], "section.key=value"),
        (["run", "--set", "federation.learning_rate=nan"], "learning_rate = nan"),
        (["run", "-c", "none.toml"], "none.toml: no such file"),
        (["run", "--orgs", "1"], "fewer than federation.min_organizations"),
        (["run", "--nonsense"], "--nonsense: no such option of fedlora-tui run; see fedlora-tui run --help"),
        (["run", "--ranks=3"], "--ranks: no such option of fedlora-tui run; nearest is --rank; see fedlora-tui run"),
        (["run", "stray"], "stray: nothing is expected there; see fedlora-tui run --help"),
        (["replay", "--speed", "0"], "--speed 0: allowed is a number above 0, like 4, or max for as fast as it goes"),
        (["replay", "--speed"], "--speed: nothing stands behind it; write --speed N, how many times as fast, or max"),
        (["fork", "--round", "x"], "--round x: allowed is a whole number from 1, like 5"),
        (["fork"], "--round is missing; write --round N, the round to begin with"),
        (["export", "--round", "x"], "--round x: allowed is latest, best, or the number of a finished round, like 5"),
        (["audit", "--round", "-1"], "--round -1: allowed is latest, best, or the number of a finished round"),
        (["audit", "--round"], "--round: nothing stands behind it; write --round latest|best|N, which round"),
        (["audit", "--documents", "0"], "--documents 0: allowed is a whole number from 1"),
        (["audit", "--samples", "none"], "--samples none: allowed is a whole number from 0"),
        (["audit", "--runs", "9" * 5000], ": allowed is a whole number from 1"),
        (["bench", "quality", "--seeds", "0"], "--seeds 0: allowed is a whole number from 1"),
        (["bench", "quality", "--rates", "11"], "--rates 11: allowed are learning rates with commas between them"),
        (["bench", "quality", "--methods", "x"], "--methods x: allowed are all, or fedit, "),
        (["bench", "quality", "--partitions", "x"], "--partitions x: allowed are natural, iid, dirichlet, quantity"),
        (["bench", "speed", "--batches", "0"], "--batches 0: allowed are whole numbers from 1 with commas between"),
        (["bench", "rounds", "--cohorts", ","], "--cohorts ,: allowed are whole numbers from 1"),
        (["bench", "faster"], "bench faster: allowed are quality, robust, speed"),
        (["bench"], "NAME is missing; write fedlora-tui bench NAME, quality: how near"),
        (["run", "--json=1"], "--json=1: nothing may stand behind it; write --json, put every event on stdout"),
        (["run", "-c"], "--config: nothing stands behind it; write --config FILE, configuration"),
        (["runs", "--runs-dir"], "--runs-dir: nothing stands behind it; write --runs-dir DIR, folder of run folders"),
        (["nonsense"], "no such command"),
        (["--rounds", "3", "run"], "run: a command goes before all options, like fedlora-tui run --help"),
        (["run", "--set", "foo.bar=1"], "foo.bar is not a key; known are model, lora, federation, superlink, data"),
        (["run", "--set", "foo.bar=1"], "runs, faults"),
        (["export", "nothing", "--runs-dir", "none"], "no such run"),
        (["export", "--runs-dir", "none"], "no run here yet"),
        (["run", "--detach", "--json"], "--detach, --json: one of them"),
        (["resume", "--detach", "--json"], "--detach, --json: one of them"),
        (["resume", "--console", "--json"], "--console, --json: one of them"),
        (["fork", "--round", "1", "--console", "--detach"], "--detach, --console: one of them"),
        (["runs", "--runs-dir", __file__, "--json"], "is no folder"),
        (["runs", "--runs-dir", "x" * 300], "File name too long"),
        (["resume", "--runs-dir", __file__], "is no folder"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_2(here, capsys, words, told):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert err.count("\n") == 1
    assert not (here / "runs").exists()


def test_a_mistake_in_the_file_names_its_line(here, capsys):
    (here / "config.toml").write_text("# mine\n[lora]\n\nrank = -3\n")
    assert main(["run"]) == 2
    assert "config.toml:4: lora.rank = -3" in capsys.readouterr().err


def test_flags_and_set_win_in_the_order_given(here, monkeypatch):
    import fedlora_tui.headless as headless

    seen = []
    monkeypatch.setattr(headless, "run_headless", lambda given, **more: seen.append(given[0].config) or 0)
    (here / "config.toml").write_text("[lora]\nrank = 2\n[federation]\nrounds = 9\n")
    assert main(["run", "--rank", "3", "--set", "lora.rank=5", "--seed", "11", "--name", "x"]) == 0
    assert main(["run", "--set", "lora.rank=5", "--rank", "3"]) == 0
    assert [config.lora.rank for config in seen] == [5, 3]
    assert (seen[0].federation.rounds, seen[0].federation.seed, seen[0].runs.name) == (9, 11, "x")


def test_the_console_without_a_terminal_says_so(here, capsys):
    assert main([]) == 2
    assert "no terminal here" in capsys.readouterr().err


def test_an_export_from_the_command_line_prints_its_folder(contract, tmp_path, capsys):
    home, _ = contract
    (folder,) = (home / "runs").iterdir()
    words = ["export", folder.name, "--runs-dir", str(home / "runs")]
    assert main([*words, "--round", "best", "--out", str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "adapter_model.safetensors").is_file()
    assert main([*words, "--round", "9"]) == 2
    assert "allowed is latest, best, or one of 1 to 3" in capsys.readouterr().err
    assert main([*words, "--org", "school"]) == 2
