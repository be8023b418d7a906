"""What each kind of file is read as, and what a damaged, endless or hostile one does: counted drops, never a quote."""

from __future__ import annotations

import gzip
import json
import zlib

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fedlora_tui.errors import UserError
from fedlora_tui.organizations import passages, streams
from fedlora_tui.organizations.formats import kind_of, read_file, stem_of
from fedlora_tui.organizations.passages import LONGEST_TEXT, Fields, gather
from fedlora_tui.organizations.streams import LONGEST_LINE
from fedlora_tui.organizations.text import Documents

PLANTED = "marmalade"
PAIRS = Fields(prompt="question", response="answer")


def read(file, content=None, fields=Fields(), most=1 << 30):  # noqa: B008, frozen
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return gather(read_file(file, fields), most)


def texts(documents):
    return [document.text for document in documents.texts]


def write_parquet(file, columns, types=None):
    arrays = [pyarrow.array(values, (types or {}).get(name)) for name, values in columns.items()]
    parquet.write_table(pyarrow.Table.from_arrays(arrays, list(columns)), file)
    return file


def test_kinds_and_stems(tmp_path):
    names = ("a.txt", "a.TXT.GZ", "a.b.jsonl.gz", "a.gz", "a.json", "a", "a.parquet.gz")
    assert [kind_of(tmp_path / name) for name in names] == [".txt", ".txt", ".jsonl", None, None, None, ".parquet"]
    assert [stem_of(tmp_path / name) for name in names[:3]] == ["a", "a", "a.b"]


def test_md_has_blocks_up_to_the_first_heading_and_then_sections(tmp_path):
    content = "one\n\ntwo\n\n# Three\n\nmore\n\n```\n# no heading\n```\n## Four\r\ntext #5\n\n#hash\n"
    assert texts(read(tmp_path / "a.md", content)) == [
        "one",
        "two",
        "# Three\n\nmore\n\n```\n# no heading\n```",
        "## Four\ntext #5\n\n#hash",
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt.gz", "one\n\ntwo"),
        ("a.md.gz", "one\n\ntwo"),
        ("a.jsonl.gz", '"one"\n{"text": "two"}'),
        ("a.csv.gz", "text\none\ntwo\n"),
    ],
)
def test_each_kind_is_read_as_gz(tmp_path, name, content):
    assert texts(read(tmp_path / name, content)) == ["one", "two"]


def test_parquet_plain_and_as_gz(tmp_path):
    file = write_parquet(tmp_path / "a.parquet", {"id": [1, 2, 3, 4], "text": ["one", None, " ", "two"]})
    found = read(file)
    assert (texts(found), found.dropped) == (["one", "two"], {"empty": 1, "without the field": 1})
    packed = tmp_path / "a.parquet.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert read(packed) == found


def test_parquet_takes_the_only_column_of_text_and_reads_bytes_and_dictionaries(tmp_path):
    assert texts(read(write_parquet(tmp_path / "a.parquet", {"id": [1], "note": ["one"]}))) == ["one"]
    binary = read(write_parquet(tmp_path / "b.parquet", {"text": [b"one", b"caf\xe9 there"]}))
    assert texts(binary) == ["one", "caf\ufffd there"]
    assert binary.repaired == 1
    words = pyarrow.array(["one", "two", "one"]).dictionary_encode()
    parquet.write_table(pyarrow.Table.from_arrays([words], ["text"]), tmp_path / "c.parquet")
    assert texts(read(tmp_path / "c.parquet")) == ["one", "two", "one"]


@pytest.mark.parametrize(
    "values",
    [[1, 2], [1.5, None], [True, False], [["one"], ["two"]], [{"text": PLANTED}, {"text": PLANTED}], [None, None]],
)
def test_parquet_with_a_text_column_of_another_type_is_all_drops(tmp_path, values):
    found = read(write_parquet(tmp_path / "a.parquet", {"text": values}))
    assert (found.texts, found.dropped) == ((), {"without the field": 2})


@pytest.mark.parametrize(
    "columns", [{PLANTED: ["a"], "b": ["b"]}, {PLANTED: [1]}, {PLANTED: ["a"], "x": [1], "y": ["b"]}]
)
def test_parquet_without_a_clear_column_is_refused_without_quoting_its_columns(tmp_path, columns):
    file = write_parquet(tmp_path / "a.parquet", columns)
    with pytest.raises(UserError, match=r"a\.parquet.*data\.text_field") as refused:
        read(file)
    assert PLANTED not in str(refused.value)


@pytest.mark.parametrize("keep", [0, 3, 40, -20])
def test_a_damaged_parquet_is_a_drop_and_an_empty_one_nothing(tmp_path, keep):
    file = write_parquet(tmp_path / "a.parquet", {"text": [PLANTED] * 100})
    file.write_bytes(file.read_bytes()[:keep])
    assert read(file).dropped == ({"in a damaged file": 1} if keep else {})


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    file = write_parquet(tmp_path / "a.parquet", {"text": ["one"]})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'fedlora-tui\[parquet\]'"):
        read(file)


def test_prompts_and_responses_are_pairs_in_every_kind_of_table(tmp_path):
    rows = [("How many?", "Four."), ("", "Five."), ("Why?", " "), ("When?", "Now.")]
    content = "".join(json.dumps({"question": q, "answer": a, "text": "not this"}) + "\n" for q, a in rows)
    lines = read(tmp_path / "a.jsonl", content + '{"question": "alone"}\n"bare"\n', PAIRS)
    table = read(tmp_path / "a.csv", "question,id,answer\n" + "".join(f'"{q}",1,{a}\n' for q, a in rows), PAIRS)
    columns = read(
        write_parquet(tmp_path / "a.parquet", {"question": [q for q, _ in rows], "answer": [a for _, a in rows]}),
        None,
        PAIRS,
    )
    pairs = [(document.prompt, document.text) for document in lines.texts]
    assert pairs == [("How many?", "Four."), ("When?", "Now.")]
    assert table.texts == columns.texts == lines.texts
    assert table.dropped == columns.dropped == {"empty": 2}
    assert lines.dropped == {"empty": 2, "without the field": 2}
    assert texts(read(tmp_path / "a.txt", "plain text\n\nstays plain", PAIRS)) == ["plain text", "stays plain"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_table_without_prompts_names_the_settings_and_quotes_nothing(tmp_path, name):
    file = tmp_path / name
    if name == "a.parquet":
        write_parquet(file, {PLANTED: [PLANTED], "answer": ["yes"]})
    else:
        file.write_text(f'{{"{PLANTED}": "{PLANTED}"}}' if name == "a.jsonl" else f"{PLANTED},answer\n{PLANTED},yes\n")
    with pytest.raises(UserError, match=r"data\.prompt_field") as refused:
        read(file, None, PAIRS)
    assert PLANTED not in str(refused.value)


# what is damaged, endless or hostile


def test_an_empty_gz_holds_nothing_and_a_broken_one_is_a_drop(tmp_path):
    file = tmp_path / "a.txt.gz"
    file.write_bytes(b"")
    assert read(file).dropped == {}
    assert read(file, b"").dropped == {}
    file.write_bytes(b"plain text, not packed")
    assert read(file).dropped == {"in a damaged file": 1}


def test_of_a_truncated_gz_the_text_before_the_end_is_kept(tmp_path):
    file = tmp_path / "a.txt.gz"
    whole = gzip.compress("\n\n".join(f"document {number}" for number in range(50_000)).encode())
    file.write_bytes(whole[: len(whole) // 2])
    found = read(file)
    assert found.dropped == {"in a damaged file": 1}
    assert 10_000 < len(found.texts) < 40_000
    file.write_bytes(whole[:-3])
    assert len(read(file).texts) == 50_000
    file.write_bytes(whole[: len(whole) // 2] + b"\xff" * 999 + whole[len(whole) // 2 + 999 :])
    assert read(file).dropped["in a damaged file"] == 1


@pytest.mark.parametrize("content", [b"\n", b"\0", b"a"])
def test_a_gz_that_expands_without_end_is_left(tmp_path, content, monkeypatch):
    monkeypatch.setattr(streams, "EXPANDS_AT_LEAST", 1 << 20)
    monkeypatch.setattr(streams, "MOST_EXPANSION", 100)
    file = tmp_path / "a.txt.gz"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    file.write_bytes(b"".join([*(packer.compress(content * (1 << 20)) for _ in range(8)), packer.flush()]))
    found = read(file)
    assert found.dropped["in a file that expands too far"] == 1
    assert sum(len(document.text) for document in found.texts) <= max(1 << 20, 100 * file.stat().st_size)


def test_a_parquet_that_expands_without_end_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("fedlora_tui.organizations.parquet.EXPANDS_AT_LEAST", 1 << 20)
    table = pyarrow.table({"text": ["a" * (1 << 20)] * 16})
    parquet.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    assert read(tmp_path / "a.parquet").dropped == {"in a file that expands too far": 1}


@pytest.mark.parametrize(
    ("name", "content", "dropped"),
    [
        ("a.jsonl", '"one"\n"{long}"\n"two"\n', {"too long": 1}),
        ("a.csv", "id,text\n1,one\n2,{long}\n3,two\n", {"too long": 1}),
        ("a.csv", "{long}\none\n", {"too long": 1}),
        ("a.csv", 'text,id\none,1\n"{long}",2\ntwo,3\n', {"too long": 1}),
    ],
)
def test_a_line_too_long_to_hold_is_one_drop_and_the_next_is_read(tmp_path, name, content, dropped):
    found = read(tmp_path / name, content.replace("{long}", "x" * (LONGEST_LINE + 5)))
    assert found.dropped == dropped
    assert texts(found) in (["one", "two"], [])


def test_a_row_of_endless_lines_in_quotes_is_dropped_in_bounded_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "LONGEST_LINE", 1 << 12)
    content = "text\none\n" + '"\n",' * (1 << 12) + "end\ntwo\n"
    found = read(tmp_path / "a.csv", content)
    assert texts(found)[0] == "one"
    assert found.dropped["too long"] >= 1


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet"])
def test_a_document_too_long_for_one_is_cut(tmp_path, name):
    long = "word " * (LONGEST_TEXT // 4)
    if name == "a.parquet":
        found = read(write_parquet(tmp_path / name, {"text": [long, "end"]}))
    else:
        found = read(tmp_path / name, long + "\n\nend" if name == "a.txt" else json.dumps(long) + '\n"end"\n')
    assert [len(text) <= LONGEST_TEXT for text in texts(found)] == [True] * 3
    assert found.cut == 1
    assert "".join(texts(found)).replace(" ", "") == long.replace(" ", "") + "end"


def test_a_block_too_long_is_cut_between_lines(tmp_path):
    found = read(tmp_path / "a.txt", "one word a line\n" * 100_000)
    assert (len(found.texts), found.cut) == (2, 1)
    assert all(text.startswith("one word") and text.endswith("a line") for text in texts(found))


def test_a_prompt_or_response_too_long_is_a_drop(tmp_path):
    row = json.dumps({"question": "?", "answer": "x" * (LONGEST_TEXT + 1)})
    assert read(tmp_path / "a.jsonl", row, PAIRS).dropped == {"too long": 1}


def test_an_organization_keeps_no_more_than_it_may(tmp_path):
    found = read(tmp_path / "a.jsonl", '"1234567890"\n' * 1000, most=10 * (10 + passages.OVERHEAD))
    assert (len(found.texts), found.full) == (10, True)
    assert not read(tmp_path / "a.jsonl", '"one"\n').full
    wide = read(tmp_path / "a.jsonl", '"\\u4e2d\\u4e2d"\n' * 3, most=2 * (4 + passages.OVERHEAD))
    assert (len(wide.texts), wide.full) == (2, True)


def attempt(file, fields):
    """What a file gives, and the message where it is refused; any other exception fails the test."""
    try:
        return read(file, None, fields), ""
    except UserError as refused:
        return Documents(()), str(refused)


MARKS = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff"]
PARTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([*MARKS, b"\0", b"\r\n", b"\r", b"\n\n", b'"', b'""', b"'", b",", b";;", b"\t", b"# ", b"```\n"]),
    st.sampled_from(
        [b"[" * 2000, b'{"text": ', b'{"text": {"text": "a"}}\n', b"1e999\n", b"NaN\n", b"\xed\xa0\x80", b"\x1a"]
    ),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(max_size=20).map(lambda text: text.encode("utf-16", "surrogatepass")),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode() + b"\n"),
)
FIELDS = st.sampled_from([Fields(), PAIRS, Fields(organization="organization"), Fields("", organization="text")])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(
    parts=st.lists(PARTS, max_size=12),
    kind=st.sampled_from([".txt", ".md", ".jsonl", ".csv", ".parquet"]),
    packed=st.booleans(),
    end=st.integers(0, 30),
    fields=FIELDS,
)
def test_any_bytes_end_in_documents_counted_drops_or_one_line(tmp_path, parts, kind, packed, end, fields):
    file = tmp_path / f"x{kind}{'.gz' if packed else ''}"
    content = f"the {PLANTED} was here\n".encode() + b"".join(parts)
    data = gzip.compress(content) if packed else content
    file.write_bytes(data[: len(data) - end])
    found, message = attempt(file, fields)
    assert PLANTED not in message
    assert message.isprintable()
    assert all(document.text.strip() == document.text != "" and "\0" not in document.text for document in found.texts)
    "".join(texts(found)).encode()
    assert not any(PLANTED in reason for reason in found.dropped)


VALUES = st.one_of(
    st.lists(st.one_of(st.none(), st.text(max_size=9)), min_size=1, max_size=4),
    st.lists(st.binary(max_size=9), min_size=1, max_size=4),
    st.lists(st.integers(-9, 9), min_size=1, max_size=4),
    st.lists(st.floats(), min_size=1, max_size=4),
    st.lists(st.datetimes(), min_size=1, max_size=4),
    st.lists(st.decimals(0, 9, places=2), min_size=1, max_size=4),
    st.lists(st.lists(st.text(max_size=3)), min_size=1, max_size=4),
    st.lists(st.dictionaries(st.sampled_from("ab"), st.text(max_size=3), min_size=1), min_size=1, max_size=4),
)
COLUMNS = st.dictionaries(st.sampled_from(["text", "question", "answer", "organization", PLANTED]), VALUES, min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(columns=COLUMNS, fields=FIELDS)
def test_parquet_of_any_types_ends_in_documents_counted_drops_or_one_line(tmp_path, columns, fields):
    rows = min(map(len, columns.values()))
    file = write_parquet(tmp_path / "x.parquet", {name: values[:rows] for name, values in columns.items()})
    found, message = attempt(file, fields)
    assert PLANTED not in message
    assert message or len(found.texts) + sum(found.dropped.values()) == rows
