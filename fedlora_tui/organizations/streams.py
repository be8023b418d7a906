"""Files as streams of text that never need more memory than one line may take, whatever the file holds."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TextIO

from fedlora_tui.organizations.passages import BOMB, DAMAGED

LONGEST_LINE = 1 << 22
"""Characters; what is longer is read past, not held."""

EXPANDS_AT_LEAST = 1 << 26
MOST_EXPANSION = 400
"""A .gz that gives more than 64 MiB and more than 400 times its own size holds no text that anybody wrote."""

ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class TooLong(Exception):
    """A line, or a row of several lines, was longer than may be held; the stream stands behind it."""


class Inflated(io.RawIOBase):
    """What a .gz holds, up to where it is damaged or expands too far; `fault` then says which.

    The end comes as the end of a file and not as an error, so that all text before it is read.
    """

    def __init__(self, file: Path) -> None:
        self.fault = ""
        self._most = max(EXPANDS_AT_LEAST, MOST_EXPANSION * file.stat().st_size)
        self._given = 0
        self._inner = gzip.open(file, "rb")  # noqa: SIM115, closed with this stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.fault:
            return 0
        try:
            piece = self._inner.read1(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.fault = DAMAGED
            return 0
        self._given += len(piece)
        if self._given > self._most:
            self.fault = BOMB
            return 0
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._inner.close()
        super().close()


@contextlib.contextmanager
def opened(file: Path) -> Iterator[tuple[IO[bytes], Inflated | None]]:
    """The file's bytes, those that it holds where it is a .gz, and the inflating stream that knows of faults."""
    if file.suffix.lower() != ".gz":
        with file.open("rb") as plain:
            yield plain, None
        return
    inflated = Inflated(file)
    with io.BufferedReader(inflated) as stream:
        yield stream, inflated


def as_text(stream: IO[bytes], newline: str | None = None) -> TextIO:
    """Bytes as UTF-8, or as what their byte order mark says; bytes that cannot be decoded are replaced."""
    assert isinstance(stream, io.BufferedReader)
    start = stream.peek(4)
    encoding = next((name for mark, name in ENCODINGS.items() if start.startswith(mark)), "utf-8-sig")
    return io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline=newline)


class Lines:
    """A stream's lines without NULs, each bounded; a longer one raises TooLong once, and reading can go on after it.

    `begin_row` sets to zero what a row of several lines may still take.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._row = 0

    def begin_row(self) -> None:
        """A new row begins: it may take as much as one line."""
        self._row = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
            while (rest := self._stream.readline(LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
                pass
            raise TooLong
        self._row += len(line)
        if self._row > LONGEST_LINE:
            raise TooLong
        return line.replace("\0", "") if "\0" in line else line
