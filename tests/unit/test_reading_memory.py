"""Large and hostile files in a process of their own: what the readers take of memory stays small, whatever comes."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest

MEASURE = """
import json, resource, sys
from pathlib import Path
from fedlora_tui.config import DataConfig
from fedlora_tui.organizations.source import open_source

def peak():
    # Of this process's own pages: ru_maxrss begins with what the parent had.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = peak()
source = open_source(DataConfig(source=sys.argv[1], path=sys.argv[2], max_megabytes=int(sys.argv[3])), 7)
name, = source.first(None)
found = source.documents(name)
print(json.dumps([len(found.texts), found.dropped, found.full, (peak() - before) / 1024]))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def measured(path, source="folder", megabytes=16):
    """Documents, drops, whether more was there than may be kept, and MiB that reading took at most."""
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE, source, str(path), str(megabytes)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


def words(count):
    return "".join(f"{number:x}\n" for number in range(count))


def write(file, head, piece, times, tail=""):
    packed = file.suffix == ".gz"
    parts = [gzip.compress(part.encode(), 1) if packed else part.encode() for part in (head, piece, tail)]
    with file.open("wb") as stream:
        for part in (parts[0], *[parts[1]] * times, parts[2]):
            stream.write(part)


def test_200_megabytes_of_one_word_lines(tmp_path):
    write(tmp_path / "a.txt.gz", "", words(1_000_000), 30)
    documents, dropped, full, grown = measured(tmp_path)
    assert (dropped, full) == ({}, True)
    assert documents == 15
    assert grown < 60


def test_a_million_one_word_documents_fill_an_organization_and_no_more(tmp_path):
    write(tmp_path / "a.jsonl", "", "".join(f'"{number:x}"\n' for number in range(500_000)), 4)
    documents, dropped, full, grown = measured(tmp_path, megabytes=64)
    assert (dropped, full) == ({}, True)
    assert 300_000 < documents < 700_000
    assert grown < 130


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.csv"])
def test_one_line_of_200_megabytes_is_read_past(tmp_path, name):
    head = "text\none\n" if "csv" in name else '"one"\n'
    write(tmp_path / name, head, words(1_000_000).replace("\n", " "), 30, "\ntwo\n" if "csv" in name else '\n"two"\n')
    documents, dropped, full, grown = measured(tmp_path)
    assert (documents, dropped, full) == (2, {"too long": 1}, False)
    assert grown < 60


def test_a_gz_of_half_a_gigabyte_of_nothing(tmp_path):
    (tmp_path / "b.txt").write_text("one")
    block = gzip.compress(b"\0" * (1 << 24))
    (tmp_path / "a.txt.gz").write_bytes(block * 32)
    documents, _, _, grown = measured(tmp_path)
    assert documents == 1
    assert grown < 60


def test_a_parquet_of_one_group_of_rows(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    schema = pyarrow.schema([("text", pyarrow.string())])
    with parquet.ParquetWriter(tmp_path / "a.parquet", schema, use_dictionary=False) as writer:
        rows = [f"{number} " * 400 for number in range(20_000)]
        writer.write_table(pyarrow.table({"text": rows * 3}), row_group_size=10**9)
    documents, dropped, full, grown = measured(tmp_path)
    assert (dropped, full) == ({}, True)
    assert documents > 1000
    assert grown < 160


def test_a_table_of_many_organizations(tmp_path):
    rows = "".join(json.dumps({"organization": "a", "text": f"{number:x}"}) + "\n" for number in range(140_000))
    write(tmp_path / "a.jsonl.gz", "", rows, 1)
    documents, _, full, grown = measured(tmp_path / "a.jsonl.gz", "table")
    assert full
    assert documents < 130_000
    assert grown < 60
