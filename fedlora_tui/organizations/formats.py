"""How .txt, .md, .jsonl, .csv and .parquet files are read, each also as .gz: one passage at a time, nothing quoted."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.parquet import read_parquet
from fedlora_tui.organizations.passages import (
    BROKEN,
    LONGEST_TEXT,
    NO_TEXT,
    TOO_LONG,
    Fields,
    Passage,
    clean,
    cleaned,
    of_row,
)
from fedlora_tui.organizations.streams import LONGEST_LINE, Lines, TooLong, as_text, opened

ROWS_LOOKED_AT = 50
CHARACTERS_LOOKED_AT = 1 << 20
TWO_WORDS = re.compile(r"[^\W\d_]{2,}\W+(?:\w+\W+)*?[^\W\d_]{2,}")
HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")
FENCE = re.compile(r" {0,3}(```|~~~)")
BLANK = " \t\r\n\v\f\0"


def kind_of(file: Path) -> str | None:
    """The suffix that says how a file is read, without .gz; None where nothing here reads it."""
    suffix = Path(_bare(file.name)).suffix.lower()
    return suffix if suffix in READERS else None


def stem_of(file: Path) -> str:
    """The file's name without what says how it is read."""
    return Path(_bare(file.name)).stem


def _bare(name: str) -> str:
    return name[:-3] if name.lower().endswith(".gz") else name


def read_file(file: Path, fields: Fields) -> Iterator[Passage]:
    """The file's passages one by one; a file that cannot be read is a UserError, a damaged .gz ends in a drop."""
    reader = READERS[kind_of(file) or ".txt"]
    try:
        with opened(file) as (stream, inflated):
            yield from reader(file.name, stream, fields)
            if inflated is not None and inflated.fault:
                yield Passage(None, inflated.fault)
    except OSError as error:
        raise UserError(
            f"cannot read {file.name!r} in {str(file.parent)!r} ({error.strerror or type(error).__name__}); make it "
            "readable or take it out"
        ) from None


def read_txt(name: str, stream: IO[bytes], fields: Fields) -> Iterator[Passage]:
    """Documents with blank lines between them."""
    yield from _blocks(as_text(stream).readline, lambda line: False)


def read_md(name: str, stream: IO[bytes], fields: Fields) -> Iterator[Passage]:
    """Documents between blank lines up to the first heading, from there on one a heading with all that is under it."""
    fence = ""

    def heads(line: str) -> bool:
        nonlocal fence
        mark = FENCE.match(line)
        if mark and fence in ("", mark.group(1)):
            fence = "" if fence else mark.group(1)
        return not fence and HEADING.match(line) is not None

    yield from _blocks(as_text(stream).readline, heads)


def _blocks(readline: Callable[[int], str], heads: Callable[[str], bool]) -> Iterator[Passage]:
    """Blocks of lines: each ends at a blank line, or after the first heading at the next one, or where it is too long.

    A block too long to be held is cut between two lines where it has any.
    """
    block: list[str] = []
    held = 0
    headed = cut = False
    for line in chain(iter(lambda: readline(LONGEST_TEXT), ""), ("",)):
        heading = heads(line)
        blank = not line.strip(BLANK)
        over = held + len(line) > LONGEST_TEXT
        if block and (heading or over or not line or (blank and not headed)):
            yield clean("".join(block), cut)
            block, held = [], 0
            cut = over and not heading and not blank
        headed = headed or heading
        if not blank or (headed and block):
            block.append(line)
            held += len(line)


def read_jsonl(name: str, stream: IO[bytes], fields: Fields) -> Iterator[Passage]:
    """One JSON value a line: an object with the text in a field, or the text itself.

    Where no line has a usable field though some are objects, the file is a UserError: its field has another name.
    """
    usable = unnamed = first_unnamed = 0
    for number, line in enumerate(_whole(Lines(as_text(stream))), 1):
        bare = "" if line is None else line.strip()
        if line is None or not bare:
            if line is None:
                yield Passage(None, TOO_LONG)
            continue
        try:
            value = json.loads(bare)
        except (ValueError, RecursionError):
            yield Passage(None, BROKEN)
            continue
        for passage in of_row(value, fields):
            if passage.reason != NO_TEXT:
                usable += 1
            elif isinstance(value, dict):
                unnamed += 1
                first_unnamed = first_unnamed or number
            yield passage
    if unnamed and not usable:
        alone = "" if fields.prompt else " and not just one other field with text"
        raise UserError(
            f"{name!r}: {unnamed} line(s), the first of them line {first_unnamed}, have no text in "
            f"{fields.wanted}{alone}; {fields.remedy}"
        )


def _whole(lines: Lines) -> Iterator[str | None]:
    """The lines, None for one that is too long."""
    while True:
        lines.begin_row()
        try:
            yield next(lines)
        except StopIteration:
            return
        except TooLong:
            yield None


Row = list[str] | str
"""A row's values, or the reason why it has none."""


def read_csv(name: str, stream: IO[bytes], fields: Fields) -> Iterator[Passage]:
    """The rows of a table, the text in the column that is named so or in the only column that reads like text."""
    csv.field_size_limit(LONGEST_LINE)
    lines = Lines(as_text(stream, newline=""))
    head = next((line for line in _whole(lines) if line is None or line.strip()), "")
    if head is None:
        yield Passage(None, TOO_LONG)
        return
    separator = max(",;\t", key=head.count)
    rows = _rows(lines, head, separator)
    header = next(rows, [])
    if isinstance(header, str):
        yield Passage(None, header)
        return
    names = [column.strip() for column in header]
    sample = _sample(rows)
    if not sample:
        return
    if fields.prompt or fields.organization:
        yield from _named_columns(name, names, chain(sample, rows), fields, sample)
        return
    column = text_column(name, names, sample, fields)
    labels = names.index(fields.label) if fields.label in names else len(names)
    last = column == len(names) - 1
    for row in chain(sample, rows):
        if isinstance(row, str) or len(row) <= column:
            yield Passage(None, row if isinstance(row, str) else NO_TEXT)
        else:
            # A surplus in the last column comes from separators in a text that nobody put in quotes.
            label = row[labels].strip() if labels < len(row) else ""
            yield from cleaned(separator.join(row[column:]) if last else row[column], label)


def _named_columns(
    name: str, header: list[str], rows: Iterable[Row], fields: Fields, sample: Sequence[Row]
) -> Iterator[Passage]:
    """The rows of a table of which more than one column is used."""
    wanted = [fields.prompt, fields.response] if fields.prompt else []
    if not fields.prompt:
        others = [column for column in header if column != fields.organization]
        rest = [
            [v for c, v in zip(header, row, strict=False) if c != fields.organization] for row in _whole_rows(sample)
        ]
        text = fields.text if fields.text in others else others[text_column(name, others, rest, fields)]
        fields = replace(fields, text=text)
        wanted = [text]
    wanted += [fields.organization] if fields.organization else []
    missing = [column for column in wanted if column not in header]
    if missing:
        raise UserError(
            f"{name!r}, line 1: none of the {len(header)} columns is called {' or '.join(map(repr, missing))}; "
            "set data.prompt_field, data.response_field and data.organization_field to the columns' names"
        )
    for row in rows:
        if isinstance(row, str):
            yield Passage(None, row)
        else:
            yield from of_row({column: row[i] for i, column in enumerate(header) if i < len(row)}, fields)


def _whole_rows(rows: Iterable[Row]) -> list[list[str]]:
    return [row for row in rows if not isinstance(row, str)]


def _sample(rows: Iterator[Row]) -> list[Row]:
    """The first rows, enough to tell which column holds text."""
    sample: list[Row] = []
    characters = 0
    while len(sample) < ROWS_LOOKED_AT and characters < CHARACTERS_LOOKED_AT:
        row = next(rows, None)
        if row is None:
            break
        sample.append(row)
        characters += sum(map(len, row))
    return sample


def _rows(lines: Lines, head: str, separator: str) -> Iterator[Row]:
    """The rows that are not empty, and the reason for each that cannot be used."""

    # Not a generator: one that raised would be at its end, and reading goes on after a row that is too long.
    class Headed:
        first: str | None = head

        def __iter__(self) -> Headed:
            return self

        def __next__(self) -> str:
            first, self.first = self.first, None
            return next(lines) if first is None else first

    reader = csv.reader(Headed(), delimiter=separator)
    while True:
        lines.begin_row()
        try:
            row = next(reader)
        except StopIteration:
            return
        except TooLong:
            yield TOO_LONG
        except csv.Error:
            yield BROKEN
        else:
            if row:
                yield row


def text_column(name: str, header: list[str], sample: Iterable[Row], fields: Fields) -> int:
    """Which column holds the text; a table where that is not clear is a UserError."""
    if fields.text in header:
        return header.index(fields.text)
    if len(header) == 1:
        return 0
    rows = _whole_rows(sample)
    like_text = []
    for column, title in enumerate(header):
        if title == fields.label:
            continue
        values = [row[column] for row in rows if len(row) > column and row[column].strip()]
        if values and 2 * sum(bool(TWO_WORDS.search(value[:1000])) for value in values) > len(values):
            like_text.append(column)
    if len(like_text) != 1:
        raise UserError(
            f"{name!r}, line 1: {len(header)} columns, none of them called {fields.text!r}, and {len(like_text)} "
            "read like text; set data.text_field to the column's name"
        )
    return like_text[0]


READERS: dict[str, Callable[[str, IO[bytes], Fields], Iterator[Passage]]] = {
    ".txt": read_txt,
    ".md": read_md,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
