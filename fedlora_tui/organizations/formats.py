"""How .txt, .md, .jsonl, .csv and .parquet files are read, each also as .gz: one passage at a time, nothing quoted."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import IO

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.parquet import read_parquet
from fedlora_tui.organizations.passages import (
    BROKEN,
    LONGEST_TEXT,
    NO_TEXT,
    RAGGED,
    ROWS_LOOKED_AT,
    TOO_LONG,
    UNCLOSED,
    USUAL_TEXT,
    Fields,
    Passage,
    clean,
    cleaned,
    of_row,
    settled,
)
from fedlora_tui.organizations.streams import LONGEST_LINE, Lines, TooLong, as_text, opened

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
    values = _json_values(Lines(as_text(stream)))
    first = list(islice(values, ROWS_LOOKED_AT))
    asked, fields = fields, settled(fields, (value for _, value, _ in first))
    for number, value, reason in chain(first, values):
        for passage in [Passage(None, reason)] if reason else of_row(value, fields):
            if passage.reason != NO_TEXT:
                usable += 1
            elif isinstance(value, dict) and not reason:
                unnamed += 1
                first_unnamed = first_unnamed or number
            yield passage
    if unnamed and not usable:
        alone = " and not just one other field with text" if not fields.prompt and fields.text == USUAL_TEXT else ""
        raise UserError(
            f"{name!r}: {unnamed} line(s), the first of them line {first_unnamed}, have no text in "
            f"{asked.wanted}{alone}; {asked.remedy}"
        )


def _json_values(lines: Lines) -> Iterator[tuple[int, object, str]]:
    """The number of each line that is not empty, and its value, or the reason why it has none."""
    for number, line in enumerate(_whole(lines), 1):
        bare = "" if line is None else line.strip()
        if line is None:
            yield number, None, TOO_LONG
        elif bare:
            try:
                yield number, json.loads(bare), ""
            except (ValueError, RecursionError):
                yield number, None, BROKEN


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
        yield from _named_columns(name, names, chain(sample, rows), fields, sample, separator)
        return
    column = text_column(name, names, sample, fields)
    labels = names.index(fields.label) if fields.label in names else len(names)
    joined = separator if column == len(names) - 1 else ""
    for row in _fitted(chain(sample, rows), len(names), joined):
        if isinstance(row, str) or len(row) <= column:
            yield Passage(None, row if isinstance(row, str) else NO_TEXT)
        else:
            yield from cleaned(row[column], row[labels].strip() if labels < len(row) else "")


def _fitted(rows: Iterable[Row], width: int, joined: str) -> Iterator[Row]:
    """The rows with no more values than the header has.

    A surplus comes from separators in a text that nobody put in quotes. Where the text is in the last column, they are
    `joined` to it again; elsewhere nobody can tell which value belongs to which column, and the row is of no use.
    """
    for row in rows:
        if isinstance(row, str) or len(row) <= width or not any(map(str.strip, row[width:])):
            yield row if isinstance(row, str) else row[:width]
        else:
            yield [*row[: width - 1], joined.join(row[width - 1 :])] if joined else RAGGED


def _named_columns(
    name: str, header: list[str], rows: Iterable[Row], fields: Fields, sample: Sequence[Row], separator: str
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
    last_is_text = header[-1] in (wanted[:2] if fields.prompt else wanted[:1])
    for row in _fitted(rows, len(header), separator if last_is_text else ""):
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
        of_row = 0
        ended = False

        def __iter__(self) -> Headed:
            return self

        def __next__(self) -> str:
            first, self.first = self.first, None
            line = next(lines, None) if first is None else first
            self.ended = line is None
            if line is None:
                raise StopIteration
            self.of_row += 1
            return line

    headed = Headed()
    reader = csv.reader(headed, delimiter=separator)
    while True:
        lines.begin_row()
        headed.of_row = 0
        try:
            row = next(reader)
        except StopIteration:
            return
        except TooLong:
            yield TOO_LONG
        except csv.Error:
            yield BROKEN
        else:
            if headed.ended:
                # The file ended inside the row: all lines from its quote on were taken for one value.
                yield from [UNCLOSED] * headed.of_row
            elif row:
                yield row


def text_column(name: str, header: list[str], sample: Iterable[Row], fields: Fields) -> int:
    """Which column holds the text; a table where that is not clear is a UserError."""
    if fields.text in header:
        return header.index(fields.text)
    if len(header) == 1:
        return 0
    if fields.text != USUAL_TEXT:
        raise UserError(
            f"{name!r}, line 1: none of the {len(header)} columns is called {fields.text!r}; set data.text_field to "
            "the column's name"
        )
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
