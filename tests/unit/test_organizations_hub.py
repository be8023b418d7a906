"""A Hugging Face dataset as the source: local ones are read in place, an id without a network is one line."""

from __future__ import annotations

import gzip
import json
import sys

import pytest

from fedlora_tui.config import DataConfig
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.source import open_source

datasets = pytest.importorskip("datasets")

PLANTED = "marmalade"
ROWS = {"text": ["ship one", "loan one", "ship two", " "], "organization": ["port", "bank", "port", "bank"]}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, which stays empty where nothing is downloaded."""
    place = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", place)
    return place


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "set"
    place.mkdir()
    datasets.Dataset.from_dict(ROWS).to_parquet(str(place / "train.parquet"))
    return place


def opened(path, **more):
    return open_source(DataConfig(source="hub", path=str(path), **more), 7)


def refusal(path, **more):
    with pytest.raises(UserError) as refused:
        opened(path, **more).first(None)
    assert PLANTED not in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def check(source):
    assert source.first(None) == ("bank", "port")
    assert [document.text for document in source.documents("port").texts] == ["ship one", "ship two"]
    assert source.documents("bank").dropped == {"empty": 1}


def test_a_local_dataset_is_read_in_place_and_leaves_no_copy(folder, cache):
    check(opened(folder))
    check(opened(folder / "train.parquet"))
    assert not [file for file in cache.rglob("*") if file.is_file() and file.stat().st_size]


def test_a_local_file_of_lines(tmp_path):
    rows = [dict(zip(ROWS, values, strict=True)) for values in zip(*ROWS.values(), strict=True)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    check(opened(tmp_path / "a.jsonl"))


def test_labels_become_organizations_by_their_names(tmp_path):
    label = datasets.ClassLabel(names=["port", "bank"])
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    rows = {"text": ROWS["text"], "label": [0, 1, 0, 1]}
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_dict(rows, features).to_parquet(str(tmp_path / "set" / "train.parquet"))
    check(opened(tmp_path / "set", organization_field="label"))


def test_prompts_and_responses(tmp_path):
    (tmp_path / "set").mkdir()
    rows = {"q": ["why?"], "a": ["so"], "organization": ["port"]}
    datasets.Dataset.from_dict(rows).to_parquet(str(tmp_path / "set" / "train.parquet"))
    found = opened(tmp_path / "set", prompt_field="q", response_field="a").documents("port")
    assert [(document.prompt, document.text) for document in found.texts] == [("why?", "so")]


def test_what_it_does_not_have_is_said(folder):
    assert "data.organization_field" in refusal(folder, organization_field="branch")
    assert "data.split" in refusal(folder, split="validation")
    assert "data.path" in refusal("")


def test_a_folder_without_data_and_one_that_is_damaged(tmp_path):
    (tmp_path / "set").mkdir()
    assert "data.path" in refusal(tmp_path / "set")
    (tmp_path / "set" / "train.parquet").write_bytes(f"the {PLANTED} was here".encode() * 9)
    assert refusal(tmp_path / "set")


def test_an_id_without_a_network_says_so_at_once_and_what_to_do(monkeypatch, capfd):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it tries again"))
    said = refusal("somebody/some-set")
    assert "somebody/some-set" in said
    assert "cannot be reached" in said
    assert "local folder" in said
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.txt", "a.xlsx", "a", "a.parquet.gz"])
def test_a_file_without_rows_is_refused_without_asking_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.setattr(datasets, "load_dataset", lambda *given, **named: pytest.fail("it asks"))
    (tmp_path / name).write_text(f"the {PLANTED} was late")
    assert "not a file of rows" in refusal(tmp_path / name)


def test_a_compressed_file_of_lines(tmp_path):
    rows = [dict(zip(ROWS, values, strict=True)) for values in zip(*ROWS.values(), strict=True)]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    check(opened(tmp_path / "a.jsonl.gz"))


@pytest.mark.parametrize("path", ["~nobody-of-that-name/set", "x" * 300])
def test_a_path_that_cannot_be_looked_at_is_refused(path):
    assert "cannot look at" in refusal(path)


def test_no_other_column_is_taken_for_the_text_that_is_named(folder):
    assert "'nope'" in refusal(folder, text_field="nope")


def test_the_only_other_column_with_strings_is_the_text(tmp_path):
    (tmp_path / "set").mkdir()
    rows = {"note": ROWS["text"], "organization": ROWS["organization"], "number": [1, 2, 3, 4]}
    datasets.Dataset.from_dict(rows).to_parquet(str(tmp_path / "set" / "train.parquet"))
    check(opened(tmp_path / "set"))


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'fedlora-tui[hub]'" in refusal("somebody/some-set")
