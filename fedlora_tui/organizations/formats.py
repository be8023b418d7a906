"""How .txt, .jsonl and .csv files are read: streaming, one passage at a time, broken ones counted and never quoted."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from fedlora_tui.errors import UserError

UNDECODABLE = "\ufffd"
MOST_UNDECODABLE = 1 / 3
"""A document with a greater share of undecodable characters is not text in any encoding read here, and is dropped."""

ROWS_LOOKED_AT = 50
LARGEST_FIELD = 1 << 24
TWO_WORDS = re.compile(r"[^\W\d_]{2,}\W+(?:\w+\W+)*?[^\W\d_]{2,}")


@dataclass(frozen=True)
class Passage:
    """One document as a file gives it; `text` is None where it was empty, broken or undecodable."""

    text: str | None
    repaired: bool = False
    label: str = ""


def clean(raw: str, label: str = "") -> Passage:
    """The document without NULs, with half surrogates replaced and the space around it taken off."""
    text = raw.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    undecodable = text.count(UNDECODABLE)
    if not text or undecodable > MOST_UNDECODABLE * len("".join(text.split())):
        return Passage(None)
    return Passage(text, repaired=undecodable > 0, label=label)


def open_text(file: Path, newline: str | None = None) -> TextIO:
    """The file as UTF-8, or as UTF-16 where its byte order mark says so; bytes that cannot be decoded are replaced."""
    with file.open("rb") as raw:
        mark = raw.read(2)
    encoding = "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return file.open(encoding=encoding, errors="replace", newline=newline)


def read_txt(file: Path, text_field: str, label_field: str = "") -> Iterator[Passage]:
    """Documents with blank lines between them."""
    with open_text(file) as stream:
        block: list[str] = []
        for line in chain(stream, ("",)):
            if line.strip(" \t\r\n\v\f\0"):
                block.append(line)
            elif block:
                yield clean("".join(block))
                block = []


def read_jsonl(file: Path, text_field: str, label_field: str = "") -> Iterator[Passage]:
    """One JSON value a line: an object with the text in a field, or the text itself.

    Where no line has a usable field though some are objects, the file is a UserError: its field has another name.
    """
    usable = unnamed = first_unnamed = 0
    with open_text(file) as stream:
        for number, line in enumerate(stream, 1):
            bare = line.replace("\0", "").strip()
            if not bare:
                continue
            try:
                value = json.loads(bare)
            except (ValueError, RecursionError):
                yield Passage(None)
                continue
            raw = text_of(value, text_field)
            if raw is None and isinstance(value, dict):
                unnamed += 1
                first_unnamed = first_unnamed or number
            passage = Passage(None) if raw is None else clean(raw, label_of(value, label_field))
            usable += raw is not None
            yield passage
    if unnamed and not usable:
        raise UserError(
            f"{file.name!r}: {unnamed} line(s), the first of them line {first_unnamed}, have no text in a field "
            f"{text_field!r} and not just one other field with text; set data.text_field to the field's name"
        )


def text_of(value: object, text_field: str) -> str | None:
    """The text in a JSON value, None where there is none or where it could be in more than one field."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return None
    if text_field in value:
        named = value[text_field]
        return named if isinstance(named, str) else None
    strings = [field for field in value.values() if isinstance(field, str)]
    return strings[0] if len(strings) == 1 else None


def label_of(value: object, label_field: str) -> str:
    """The label in a JSON value, a name or a number; empty where there is none."""
    label = value.get(label_field) if isinstance(value, dict) else None
    return str(label).strip() if isinstance(label, str | int | float) else ""


def read_csv(file: Path, text_field: str, label_field: str = "") -> Iterator[Passage]:
    """The rows of a table, the text in the column that is named so or in the only column that reads like text."""
    csv.field_size_limit(max(csv.field_size_limit(), LARGEST_FIELD))
    with open_text(file, newline="") as stream:
        yield from _rows_of_text(file, stream, text_field, label_field)


def _rows_of_text(file: Path, stream: TextIO, text_field: str, label_field: str) -> Iterator[Passage]:
    bare = (line.replace("\0", "") for line in stream)
    head = next((line for line in bare if line.strip()), "")
    separator = max(",;\t", key=head.count)
    rows = _rows(csv.reader(chain((head,), bare), delimiter=separator))
    header = next(rows, None) or []
    sample = list(islice(rows, ROWS_LOOKED_AT))
    if not any(sample):
        return
    names = [name.strip() for name in header]
    column = text_column(file, names, sample, text_field)
    labels = names.index(label_field) if label_field in names else len(header)
    last = column == len(header) - 1
    for row in chain(sample, rows):
        if row is None or len(row) <= column:
            yield Passage(None)
        else:
            # A surplus in the last column comes from separators in a text that nobody put in quotes.
            label = row[labels].strip() if labels < len(row) else ""
            yield clean(separator.join(row[column:]) if last else row[column], label)


def _rows(reader: Iterator[list[str]]) -> Iterator[list[str] | None]:
    """The rows that are not empty; None for one that the csv module refuses."""
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        if row:
            yield row


def text_column(file: Path, header: list[str], sample: Iterable[list[str] | None], text_field: str) -> int:
    """Which column holds the text; a table where that is not clear is a UserError."""
    if text_field in header:
        return header.index(text_field)
    if len(header) == 1:
        return 0
    rows = [row for row in sample if row is not None]
    like_text = []
    for column in range(len(header)):
        values = [row[column] for row in rows if len(row) > column and row[column].strip()]
        if values and 2 * sum(bool(TWO_WORDS.search(value)) for value in values) > len(values):
            like_text.append(column)
    if len(like_text) != 1:
        raise UserError(
            f"{file.name!r}, line 1: {len(header)} columns, none of them called {text_field!r}, and {len(like_text)} "
            "read like text; set data.text_field to the column's name"
        )
    return like_text[0]


READERS: dict[str, Callable[[Path, str, str], Iterator[Passage]]] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
}
