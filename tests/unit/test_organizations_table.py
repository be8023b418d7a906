"""One table with a column of organizations: who is in it, what each has, how often it is read, what is refused."""

from __future__ import annotations

import json

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fedlora_tui.config import DataConfig
from fedlora_tui.errors import UserError
from fedlora_tui.organizations import table
from fedlora_tui.organizations.source import open_source

PLANTED = "marmalade"
ROWS = [("port", "ship one"), ("bank", "loan one"), ("port", "ship two"), ("bank", "loan two"), ("zoo", "bear one")]


def write(folder, suffix, rows=ROWS, names=("organization", "text")):
    file = folder / f"all.{suffix}"
    if suffix == "jsonl":
        file.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    elif suffix == "csv":
        file.write_text("\n".join(",".join(map(str, row)) for row in [names, *rows]))
    else:
        parquet.write_table(pyarrow.table({name: [row[i] for row in rows] for i, name in enumerate(names)}), file)
    return file


def opened(file, **more):
    return open_source(DataConfig(source="table", path=str(file), **more), 7)


def texts(source, name):
    return [document.text for document in source.documents(name).texts]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_organizations_are_the_values_of_the_column_by_name(tmp_path, suffix):
    source = opened(write(tmp_path, suffix))
    assert source.first(None) == ("bank", "port", "zoo")
    assert source.first(2) == ("bank", "port")
    assert [texts(source, name) for name in ("port", "zoo", "bank")] == [
        ["ship one", "ship two"],
        ["bear one"],
        ["loan one", "loan two"],
    ]
    assert texts(source, "port") == ["ship one", "ship two"]
    assert source.another(["bank", "port"]) == "zoo"
    assert source.another(source.names) is None
    assert source.names_left_reason() == f"all 3 of 'all.{suffix}' are here"
    assert source.passed_over == {}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_columns_may_have_other_names_and_organizations_numbers(tmp_path, suffix):
    rows = [(1, "first of one", 7), (2, "first of two", 7), (1, "second of one", 7)]
    file = write(tmp_path, suffix, rows, ("branch", "note", "page"))
    source = opened(file, organization_field="branch")
    assert source.first(None) == ("1", "2")
    assert texts(source, "1") == ["first of one", "second of one"]


def test_prompts_and_responses_of_a_table(tmp_path):
    file = write(tmp_path, "csv", [("a", "why?", "so"), ("b", "when?", "now")], ("organization", "q", "r"))
    source = opened(file, prompt_field="q", response_field="r")
    assert [(d.prompt, d.text) for d in source.documents("b").texts] == [("when?", "now")]


def test_rows_of_nobody_and_drops_of_somebody_are_counted_apart(tmp_path):
    rows = [*ROWS, (None, "nobody's"), ("", "nobody's"), ("a\nb", "nobody's"), ("x" * 101, "nobody's"), ("port", " ")]
    source = opened(write(tmp_path, "jsonl", [*rows, (["list"], "nobody's"), (True, "nobody's")]))
    assert source.passed_over == {"rows of 'all.jsonl'": {"without an organization": 6}}
    assert source.documents("port").dropped == {"empty": 1}


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_drops_of_somebody_without_any_text_are_told_under_his_name(tmp_path, suffix):
    source = opened(write(tmp_path, suffix, [*ROWS, ("ghost", " "), ("ghost", ""), ("other ghost", "")]))
    assert source.passed_over == {"ghost": {"empty": 2}, "other ghost": {"empty": 1}}
    assert not {"ghost", "other ghost"} & set(source.first(None))


def test_a_table_joins_a_last_column_of_text_that_nobody_quoted(tmp_path):
    (tmp_path / "t.csv").write_text("organization,text\nport,a ship, and then two\nbank,a loan\n")
    assert [d.text for d in opened(tmp_path / "t.csv").documents("port").texts] == ["a ship, and then two"]
    (tmp_path / "t.csv").write_text("text,organization\na ship, and then two,port\na loan,bank\n")
    source = opened(tmp_path / "t.csv")
    assert source.first(None) == ("bank",)
    assert source.passed_over == {"rows of 't.csv'": {"with more columns than the header": 1}}


def test_a_table_is_passed_once_to_count_and_once_for_all_that_fit(tmp_path, monkeypatch):
    source = opened(write(tmp_path, "csv"))
    passes = []
    rows = source._rows
    monkeypatch.setattr(source, "_rows", lambda: passes.append(1) or rows())
    for name in source.first(None):
        assert texts(source, name)
    assert len(passes) == 2
    assert source._held == {}
    monkeypatch.setattr(table, "HELD", 1)
    for name in source.first(None):
        assert texts(source, name)
    assert len(passes) == 5


def test_what_an_organization_keeps_is_bounded_and_said(tmp_path):
    rows = [("big", f"{number} " + "word " * 2000) for number in range(300)]
    source = opened(write(tmp_path, "jsonl", [*rows, ("small", "one")]), max_megabytes=1)
    assert source.documents("big").full
    assert 90 < len(source.documents("big").texts) < 110
    assert not source.documents("small").full


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_table_without_the_column_is_refused_without_quoting_it(tmp_path, suffix):
    file = write(tmp_path, suffix, [(PLANTED, f"the {PLANTED} was here")], (PLANTED, "text"))
    with pytest.raises(UserError, match=r"data\.organization_field") as refused:
        opened(file).first(None)
    assert PLANTED not in str(refused.value)


def test_a_column_of_far_too_many_values_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "MOST_ORGANIZATIONS", 3)
    file = write(tmp_path, "csv", [(number, f"text {number}") for number in range(9)])
    with pytest.raises(UserError, match="more than 3 different values"):
        opened(file).first(None)


def test_fewer_organizations_than_asked_for_and_nobody_of_that_name(tmp_path):
    source = opened(write(tmp_path, "csv"))
    with pytest.raises(UserError, match="has 3 in 'organization'"):
        source.first(4)
    with pytest.raises(UserError, match="nobody"):
        source.documents("nobody")


@pytest.mark.parametrize("path", ["gone.csv", "", "a.txt", "~nobody-of-that-name/a.csv", "x" * 5000, "a\0b"])
def test_what_is_no_table_is_refused(tmp_path, path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(UserError, match=r"data\.path"):
        opened(path)


PLAIN = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cf", "Co", "Cn"]), min_size=1, max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=20), suffix=st.sampled_from(["jsonl", "parquet"]))
def test_every_row_lands_with_its_own_organization(tmp_path, rows, suffix):
    source = opened(write(tmp_path, suffix, rows))
    assert source.first(None) == tuple(sorted({name for name, _ in rows}))
    for name in source.names:
        assert texts(source, name) == [text for owner, text in rows if owner == name]
