"""A folder of the user's text: what is read, counted as dropped or refused, and that nothing is quoted."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedlora_tui.config import DataConfig
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.folder import MOST_FAULTS
from fedlora_tui.organizations.source import open_source

PLANTED = "marmalade"


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "data"
    place.mkdir()
    return place


def opened(folder, text_field="text", **more):
    return open_source(DataConfig(source="folder", path=str(folder), text_field=text_field, **more), 7)


def refusal(folder, text_field="text", count=None):
    with pytest.raises(UserError) as refused:
        opened(folder, text_field).first(count)
    assert PLANTED not in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def read(folder, name, content, text_field="text"):
    """What one file gives, as (texts, dropped, repaired)."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    documents = opened(folder, text_field).documents(name.rpartition(".")[0])
    return [document.text for document in documents.texts], sum(documents.dropped.values()), documents.repaired


def test_txt_has_documents_between_blank_lines(folder):
    assert read(folder, "a.txt", "one\nstill one\n\n \t\n\ntwo\n") == (["one\nstill one", "two"], 0, 0)


def test_txt_with_byte_order_mark_crlf_and_nuls(folder):
    assert read(folder, "a.txt", b"\xef\xbb\xbfone\r\nmore\r\n\r\nt\0wo\r\n\0\r\nthree") == (
        ["one\nmore", "two", "three"],
        0,
        0,
    )
    assert read(folder, "b.txt", "one\r\rtwo") == (["one", "two"], 0, 0)


def test_txt_in_utf_16(folder):
    assert read(folder, "a.txt", "größer\r\n\r\nkleiner".encode("utf-16")) == (["größer", "kleiner"], 0, 0)


def test_undecodable_bytes_are_replaced_and_what_is_no_text_is_dropped(folder):
    content = "a café by the road".encode("latin-1") + b"\n\n" + bytes(range(128, 255)) + b"\n\nplain"
    assert read(folder, "a.txt", content) == (["a caf\ufffd by the road", "plain"], 1, 1)


def test_jsonl_with_objects_strings_and_broken_lines(folder):
    rows = [
        json.dumps({"text": "named", "other": "not this"}),
        json.dumps({"id": 3, "note": "a field of another name"}),
        json.dumps("bare"),
        '{"text": "cut of',
        json.dumps({"text": None}),
        json.dumps({"text": "  "}),
        json.dumps({"one": "a", "two": "b"}),
        json.dumps(["text"]),
        "[" * 100_000,
        "1" * 5000,
        "",
        '"half a pair \\ud800 here"',
    ]
    assert read(folder, "a.jsonl", b"\xef\xbb\xbf" + "\r\n".join(rows).encode()) == (
        ["named", "bare", "half a pair \ufffd here"],
        8,
        1,
    )


def test_jsonl_takes_one_field_for_all_its_rows(folder):
    named = [{"text": "one", "id": "u1"}, {"id": "u2"}, {"text": "two", "id": "u3"}, {"id": "u4"}]
    assert read(folder, "a.jsonl", "\n".join(map(json.dumps, named))) == (["one", "two"], 2, 0)
    other = [{"id": 1, "note": "three"}, {"id": 2, "note": "four"}, {"id": 3, "by": 4}]
    assert read(folder, "b.jsonl", "\n".join(map(json.dumps, other))) == (["three", "four"], 1, 0)


def test_jsonl_takes_the_field_it_is_told(folder):
    content = json.dumps({"text": "not this", "body": "this"})
    assert read(folder, "a.jsonl", content, text_field="body") == (["this"], 0, 0)


def test_jsonl_without_a_field_to_read_says_where(folder):
    (folder / "a.jsonl").write_text("\n" + json.dumps({"one": PLANTED, "two": PLANTED}))
    message = refusal(folder)
    assert "a.jsonl" in message
    assert "line 2" in message
    assert "data.text_field" in message


def test_csv_with_quotes_newlines_and_ragged_rows(folder):
    content = 'id,text,day\n1,"one, and\r\nmore",Mon\n2\n\n3,three\n4,,Tue\n5,"say ""five""",Wed,extra\n'
    assert read(folder, "a.csv", b"\xef\xbb\xbf" + content.encode()) == (["one, and\nmore", "three"], 3, 0)


def test_csv_joins_a_last_column_of_text_that_nobody_quoted_and_drops_what_is_ambiguous(folder):
    content = "label,text\npos,he came in, was seen, and went home\nneg,she stayed\nneg,and then,,\n"
    assert read(folder, "a.csv", content) == (["he came in, was seen, and went home", "she stayed", "and then"], 0, 0)
    ambiguous = "text,label\nhe came in, was seen,pos\nshe stayed,neg\n"
    assert read(folder, "b.csv", ambiguous) == (["she stayed"], 1, 0)
    assert opened(folder).documents("b").dropped == {"with more columns than the header": 1}


def test_csv_counts_every_line_after_a_quote_that_is_never_closed(folder):
    lines = ["id,text", "1,one", '2,"two', *(f"{number},line {number}" for number in range(3, 40))]
    (folder / "a.csv").write_text("\n".join(lines) + "\n")
    documents = opened(folder).documents("a")
    assert [document.text for document in documents.texts] == ["one"]
    assert documents.dropped == {"in a quote that is not closed": 38}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_field_that_is_named_and_not_there_is_refused_and_no_other_is_taken(folder, name):
    rows = [{"id": number, "note": f"the {PLANTED} was late"} for number in range(4)]
    if name == "a.csv":
        (folder / name).write_text("id,note\n" + "".join(f"{row['id']},{row['note']}\n" for row in rows))
    elif name == "a.jsonl":
        (folder / name).write_text("\n".join(map(json.dumps, rows)))
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pytest.importorskip("pyarrow").Table.from_pylist(rows), folder / name)
    assert "'nope'" in refusal(folder, text_field="nope")


def test_csv_takes_the_only_column_that_reads_like_text(folder):
    content = "id;note;day\n1;the pump was replaced;2024-01-02\n2;no fault was found;2024-01-03\n"
    assert read(folder, "a.csv", content) == (["the pump was replaced", "no fault was found"], 0, 0)


def test_csv_of_one_column_keeps_commas_that_are_not_quoted(folder):
    assert read(folder, "a.csv", "note\nhello, world\nbye\n") == (["hello, world", "bye"], 0, 0)


def test_csv_with_a_long_field_and_nuls(folder):
    long = "word " * 60_000
    assert read(folder, "a.csv", f'id,text\n1,"{long}"\n2,t\0wo\n') == ([long.strip(), "two"], 0, 0)


def test_csv_without_a_header_is_refused_without_quoting_it(folder):
    (folder / "a.csv").write_text(f"the {PLANTED} was late,we sent the {PLANTED} back\nit is here,all is well\n")
    message = refusal(folder)
    assert "a.csv" in message
    assert "data.text_field" in message


def test_organizations_are_the_files_with_text_by_name(folder):
    for name in ("b.txt", "a.jsonl", "C.TXT", ".hidden.txt", "notes.pdf"):
        (folder / name).write_text('"some text"')
    (folder / "empty.txt").write_text("\n\n")
    (folder / "only_a_header.csv").write_text("text\n")
    source = opened(folder)
    assert source.first(None) == ("C", "a", "b")
    assert source.first(2) == ("C", "a")
    assert source.another(["a", "C"]) == "b"
    assert source.another(["a", "b", "C"]) is None
    assert source.names_left_reason() == "all 3 files are here"
    with pytest.raises(UserError):
        source.documents("nobody")


def test_equal_stems_become_full_names(folder):
    for name in ("a.txt", "a.csv", "a.txt.csv", "b.txt"):
        (folder / name).write_text("text\nsome text\n")
    assert opened(folder).first(None) == ("a.csv", "a.txt", "a.txt.csv", "b")


def test_fewer_files_than_asked_for_says_how_many_there_are(folder):
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(PLANTED)
    message = refusal(folder, count=5)
    assert "federation.organizations = 5" in message
    assert "2 file(s)" in message


def test_what_is_not_a_file_is_passed_over(folder):
    (folder / "x.txt").mkdir()
    (folder / "dangling.txt").symlink_to(folder / "gone.txt")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    os.mkfifo(folder / "pipe.txt")
    (folder / "a.txt").write_text("text")
    (folder / "within.txt").symlink_to("a.txt")
    (folder / "notes.docx").write_text("not read")
    source = opened(folder)
    assert source.first(None) == ("a", "within")
    assert source.passed_over == {
        f"the rest of {folder.name!r}": {"links that lead nowhere": 2, "no files": 1, "of kinds that are not read": 1}
    }


def test_sub_folders_are_organizations_with_their_files_together(folder):
    for name in ("bank/b.txt", "bank/a.jsonl", "bank/deep/er/c.md", "port/a.txt", ".hidden/a.txt", "none/a.pdf"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'"{Path(name).stem} of it"')
    (folder / "bank" / "again").symlink_to(folder / "bank")
    (folder / "alone.txt").write_text("by itself")
    (folder / "port.txt").write_text("not the folder")
    source = opened(folder)
    assert source.first(None) == ("alone", "bank", "port", "port.txt")
    found = [document.text for document in source.documents("bank").texts]
    assert found == ["a of it", '"b of it"', '"c of it"']
    assert source.names_left_reason() == "all 4 folders are here"


def test_a_link_out_of_a_sub_folder_is_refused(folder):
    (folder.parent / "outside.txt").write_text(PLANTED)
    (folder / "bank").mkdir()
    (folder / "bank" / "x.txt").symlink_to(folder.parent / "outside.txt")
    assert "leads out of the folder" in refusal(folder)
    (folder / "bank" / "x.txt").unlink()
    (folder / "bank" / "a.txt").write_text("text")
    (folder / "port.txt").symlink_to(folder / "bank" / "a.txt")
    assert opened(folder).first(None) == ("bank", "port")


def test_a_sub_folder_with_a_name_that_cannot_be_shown_is_refused(folder):
    (folder / "a\x1b[31m").mkdir()
    (folder / "a\x1b[31m" / "a.txt").write_text(PLANTED)
    assert "\x1b" not in refusal(folder)


def test_files_without_text_are_told_apart_by_reason(folder):
    (folder / "a.txt").write_text("text")
    (folder / "empty.txt").write_text("")
    (folder / "broken.jsonl").write_text(f"{{{PLANTED}\n{PLANTED}\n")
    (folder / "cut.txt.gz").write_bytes(b"\x1f\x8b")
    assert opened(folder).passed_over == {
        "broken": {"broken": 2},
        "cut": {"in a damaged file": 1},
        "empty": {"empty": 1},
    }


@pytest.mark.parametrize("target", ["outside.txt", "outside"])
def test_a_link_that_leads_out_of_the_folder_is_refused(folder, target):
    (folder.parent / "outside.txt").write_text(PLANTED)
    (folder.parent / "outside").mkdir()
    (folder / "x.txt").symlink_to(folder.parent / target)
    assert "x.txt" in refusal(folder)


def test_a_folder_may_be_a_link_itself(folder):
    (folder / "a.txt").write_text("text")
    (folder.parent / "link").symlink_to(folder)
    assert opened(folder.parent / "link").first(None) == ("a",)


def test_a_name_that_cannot_be_shown_is_refused(folder):
    (folder / "a\x1b[31m.txt").write_text(PLANTED)
    assert "\x1b" not in refusal(folder)


def test_a_file_that_cannot_be_read_is_named(folder, monkeypatch):
    (folder / "a.txt").write_text(PLANTED)

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    source = opened(folder)
    monkeypatch.setattr("pathlib.Path.open", denied)
    with pytest.raises(UserError, match=r"'a\.txt'.*Permission denied"):
        source.first(None)


def test_no_folder_no_files_and_no_text_each_say_what_to_do(folder):
    assert "no such folder" in refusal(folder / "gone")
    assert "holds no .txt" in refusal(folder)
    (folder / "a.txt").write_bytes(b"\xff\xfe\xfd" * 50)
    assert "no usable text in the 1 file(s)" in refusal(folder)
    assert "not a folder" in refusal(folder / "a.txt")
    with pytest.raises(UserError, match=r"data\.path is empty"):
        open_source(DataConfig(source="folder"), 7)


@pytest.mark.parametrize("path", ["~nobody-of-that-name/data", "x" * 5000, "a\0b"])
def test_a_path_that_cannot_be_looked_at_is_refused(path):
    with pytest.raises(UserError, match=r"data\.path"):
        open_source(DataConfig(source="folder", path=path), 7)


def test_an_unknown_source_names_the_known_ones():
    with pytest.raises(UserError, match='"synthetic", "folder"'):
        open_source(DataConfig(source="database"), 7)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(content=st.binary(max_size=200), suffix=st.sampled_from(["txt", "jsonl", "csv"]))
def test_any_bytes_are_read_or_refused_in_one_line_without_a_quote(folder, content, suffix):
    for old in folder.iterdir():
        old.unlink()
    planted = f"the {PLANTED} was here\n".encode()
    (folder / f"x.{suffix}").write_bytes(planted + content + b"\n" + planted)
    message, texts = "", []
    try:
        texts = [document.text for document in opened(folder).documents("x").texts]
    except UserError as refused:
        message = str(refused)
    assert PLANTED not in message
    assert all(text.strip() == text != "" and "\0" not in text for text in texts)
    "".join(texts).encode()


@given(rows=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_what_a_table_was_written_with_is_read_back(folder, rows):
    with (folder / "x.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["id", "text"], *([number, row] for number, row in enumerate(rows))])
    assert [document.text for document in opened(folder).documents("x").texts] == [
        row.strip() for row in rows if row.strip()
    ]


def test_all_that_has_to_be_put_right_is_said_at_once(folder):
    (folder.parent / "outside.txt").write_text(PLANTED)
    for name in ("bank", "port"):
        (folder / name).mkdir()
        (folder / name / "x.txt").symlink_to(folder.parent / "outside.txt")
    (folder / "a\x07.txt").write_text("a text")
    said = refusal(folder)
    assert said.count("leads out of the folder") == 2
    assert "'bank'" not in said
    assert all(f"{name!r}" in said for name in (str(folder / "bank"), str(folder / "port")))
    assert said.count("has a name that cannot be shown") == 1
    assert "\n" not in said


def test_of_many_faults_the_first_few_are_said(folder):
    for number in range(9):
        (folder / f"{number}\x07.txt").write_text("a text")
    said = refusal(folder)
    assert said.count("cannot be shown") == MOST_FAULTS
    assert said.endswith("and 5 more like these")
