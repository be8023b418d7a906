"""How .parquet files are read: a few rows at a time, through pyarrow, which is imported when the first one comes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.passages import BOMB, DAMAGED, USUAL_TEXT, Fields, Passage, of_row

MOST_ROWS = 64
UNPACKED = 1 << 28
"""Bytes that the rows held at once may take."""

BUFFER = 1 << 16
IN_MEMORY = 1 << 24
EXPANDS_AT_LEAST = 1 << 26
MOST_EXPANSION = 400
"""Of a column's pages, against the file's size; beyond it the file holds no text that anybody wrote."""


def read_parquet(name: str, stream: IO[bytes], fields: Fields) -> Iterator[Passage]:
    """The rows of a table; without the wanted columns it is a UserError, a damaged file ends in a drop."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            f"{name!r}: reading .parquet needs one more package: pip install 'fedlora-tui[parquet]'"
        ) from None
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as spooled:
        source: Any = stream
        if name.lower().endswith(".gz"):
            # A parquet file is read from its end, so what a .gz holds has to lie somewhere first.
            shutil.copyfileobj(stream, spooled)
            source = spooled
        size = source.seek(0, 2)
        source.seek(0)
        if not size:
            return
        try:
            yield from _rows(name, parquet, source, size, fields)
        except (pyarrow.ArrowException, OSError, ValueError, MemoryError):
            # pyarrow's own words may quote what is in the file.
            yield Passage(None, DAMAGED)


def _rows(name: str, parquet: Any, source: Any, size: int, fields: Fields) -> Iterator[Passage]:
    # Not with read_dictionary: pyarrow then keeps every value of a group of rows until its end.
    file = parquet.ParquetFile(source, buffer_size=BUFFER, pre_buffer=False)
    columns = _columns(name, file.schema_arrow, fields)
    fields = fields if fields.prompt else replace(fields, text=columns[0])
    chunks = list(_chunks(file.metadata, columns))
    if sum(chunk.total_uncompressed_size for chunk in chunks) > max(EXPANDS_AT_LEAST, MOST_EXPANSION * size):
        yield Passage(None, BOMB)
        return
    for batch in file.iter_batches(_rows_at_once(chunks), columns=columns, use_threads=False):
        values = {column: batch.column(column) for column in columns}
        for row in range(batch.num_rows):
            yield from of_row({column: _value(value[row]) for column, value in values.items()}, fields)


def _chunks(metadata: Any, columns: list[str]) -> Iterator[Any]:
    """What the file says of each piece of the columns that are read."""
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            if chunk.path_in_schema.split(".")[0] in columns:
                yield chunk


def _rows_at_once(chunks: list[Any]) -> int:
    """Fewer rows where a dictionary could repeat one huge value in each of them."""
    largest = max((chunk.total_uncompressed_size for chunk in chunks if chunk.has_dictionary_page), default=0)
    return max(1, min(MOST_ROWS, UNPACKED // max(largest, 1)))


def _value(scalar: Any) -> object:
    """A string, bytes or a number in Python; anything else is no text, name or label, and stays where it is."""
    try:
        value = scalar.as_py()
    except (UnicodeDecodeError, ArithmeticError, ValueError):
        return bytes(scalar.as_buffer()) if hasattr(scalar, "as_buffer") else None
    return value if isinstance(value, str | bytes | int | float) else None


def _columns(name: str, schema: Any, fields: Fields) -> list[str]:
    """The columns to read; a table that lacks one is a UserError."""
    wanted = [fields.prompt, fields.response] if fields.prompt else [fields.text]
    if not fields.prompt and fields.text == USUAL_TEXT and fields.text not in schema.names:
        told = (fields.organization, fields.label)
        kinds = {column: _kind(schema.field(i).type) for i, column in enumerate(schema.names)}
        wanted = [column for column, kind in kinds.items() if kind == "text" and column not in told]
        if len(wanted) != 1:
            raise UserError(
                f"{name!r}: {len(schema.names)} columns, none of them called {fields.text!r}, and {len(wanted)} hold "
                f"text; {fields.remedy}"
            )
    wanted += [fields.organization] if fields.organization else []
    missing = [column for column in wanted if schema.names.count(column) != 1]
    if missing:
        raise UserError(
            f"{name!r}: not one of the {len(schema.names)} columns is called {' or '.join(map(repr, missing))}; "
            "set data.text_field, data.prompt_field, data.response_field, data.organization_field to the columns' names"
        )
    return wanted + ([fields.label] if schema.names.count(fields.label) == 1 and fields.label not in wanted else [])


def _kind(type_: Any) -> str:
    """Whether a column holds text, as far as its type says."""
    named = str(type_)
    return "text" if named in ("string", "large_string", "string_view") or "values=string" in named else "other"
