"""`doctor --data`: counts that agree with a run's, statistics that reveal no text, and the exit status."""

from __future__ import annotations

import io
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fedlora_tui.cli import main
from fedlora_tui.config import load
from fedlora_tui.data_report import counted, entropy, print_data_report
from fedlora_tui.engine.prepare import Texts
from fedlora_tui.errors import UserError
from fedlora_tui.lora.base_model import load as load_base
from fedlora_tui.organizations.roster import call_roster
from tests.tiny_runs import configured, small_settings, tiny_base

PLANTED = "marmalade"


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


def printed(config, encoding="utf-8", width=80):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    try:
        print_data_report(Console(file=file, width=width), config)
    except UserError as refused:
        return decoded(file, raw, encoding), str(refused)
    return decoded(file, raw, encoding), ""


def decoded(file, raw, encoding):
    file.flush()
    return raw.getvalue().decode(encoding)


def test_counts_are_those_of_a_run(settings, tmp_path):
    (tmp_path / "texts" / "alpha.txt").write_text(
        "amber barrel\n\n" * 3 + "\n\n".join(f"{PLANTED} {n}" for n in range(30))
    )
    config = configured(settings)
    roster = call_roster(config)
    texts = Texts(roster.source, load_base(config.model, config.lora), config)
    found = list(counted(config, roster))
    for counts in found:
        run = texts.read(counts.organization)
        assert (run.documents, run.tokens, run.holdout_tokens, run.notice) == (
            counts.documents,
            counts.tokens,
            counts.holdout,
            counts.notice,
        )
        assert 0 < counts.distinct <= 1
        assert 0 < counts.entropy <= math.log2(400)
        assert counts.mean < counts.longest
    assert found[0].dropped == {"duplicate": 2}


def test_the_table_fits_80_columns_and_quotes_nothing(settings, tmp_path):
    folder = tmp_path / "texts"
    (folder / "lines.jsonl").write_text("".join(f'"{PLANTED} {n}"\n' for n in range(30)) + "{broken\n" * 1200)
    (folder / "[red]none.txt").write_bytes(b"\xff\xfe\xfd" * 50)
    text, refusal = printed(configured(settings))
    assert refusal == ""
    assert PLANTED not in text
    assert max(map(len, text.splitlines())) <= 80
    (line,) = [line.split() for line in text.splitlines() if line.startswith("lines ")]
    assert (line[1], line[4]) == ("30", "1,200")
    assert "documents of lines: 1,200 dropped (1,200 broken)" in text
    assert "[red]none gave no text: 1 undecodable" in text
    assert text.splitlines()[0].split() == [
        *("organization", "documents", "tokens", "hold-out", "dropped", "longest", "mean", "distinct", "entropy")
    ]
    assert printed(configured(settings), "ascii")[0].isascii()


def test_names_stay_whole_where_leaving_out_columns_can_keep_them_so(settings, tmp_path):
    folder = tmp_path / "texts"
    name = "telecom-support-of-the-north"
    (folder / f"{name}.txt").write_text("\n\n".join(f"{PLANTED} {n}" for n in range(30)))
    text, _ = printed(configured(settings))
    (line,) = [line.split() for line in text.splitlines() if line.startswith(f"{name} ")]
    assert text.splitlines()[0].split() == [
        *("organization", "documents", "tokens", "hold-out", "dropped", "longest", "entropy")
    ]
    assert (line[1], len(line)) == ("30", 7)
    assert text.splitlines()[0].split() != printed(configured(settings), width=200)[0].splitlines()[0].split()
    (folder / f"{'long' * 30}.txt").write_text("\n\n".join(f"{PLANTED} {n}" for n in range(30)))
    text, _ = printed(configured(settings))
    assert "entropy" in text.splitlines()[0]
    assert max(map(len, text.splitlines())) <= 80


def test_what_a_run_would_refuse_is_shown_beside_the_others_and_refused(settings, tmp_path):
    for name in ("little", "less"):
        (tmp_path / "texts" / f"{name}.txt").write_text(PLANTED)
    text, refusal = printed(configured(settings))
    assert "'less' has 1 distinct document(s)" in refusal
    assert refusal.endswith("(1 more like it)")
    assert [line.split()[1:3] for line in text.splitlines() if line.startswith("less")] == [["1", "-"]]
    assert "alpha" in text


@given(st.dictionaries(st.integers(), st.integers(1, 10**6), min_size=1))
def test_entropy_lies_between_none_and_that_of_equal_shares(seen):
    assert -1e-9 <= entropy(Counter(seen)) <= math.log2(len(seen)) + 1e-9
    assert entropy(Counter(dict.fromkeys(seen, 5))) == pytest.approx(math.log2(len(seen)))


def test_the_command_reads_the_configuration_as_run_does(settings, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = settings["data.path"]
    (tmp_path / "mine.toml").write_text(
        f'[data]\nsource = "folder"\npath = "{folder}"\n[model]\nbase = "{tiny_base()}"\n'
    )
    shared = ["doctor", "--data", "-c", "mine.toml", "--set", "model.max_length=24"]
    assert main(shared) == 0
    assert "alpha" in capsys.readouterr().out
    assert main([*shared, "--orgs", "9"]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert "federation.organizations = 9" in told.err
    assert main([*shared, "--set", "data.path=gone"]) == 2
    assert main([*shared, "--set", "data.max_megabytes=0"]) == 2
    assert main(["doctor", "--data", "-c", "gone.toml"]) == 2
    assert load(None).data.source == "synthetic"
