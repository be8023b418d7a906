"""The text that the embedded base model is trained on, read from Debian distribution packages.

Here live the five sources (package, licence, reader), the stripping of their markup and code down to
English prose, and the cutting of that prose into documents. Nothing is downloaded: the packages have to
be installed, and none of their text enters the repository. Used by ``pretrain_base.py``.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

DOCUMENT_WORDS = 200
SHORTEST_DOCUMENT_WORDS = 25
SHORTEST_PARAGRAPH_WORDS = 8
SHORTEST_DEFINITION_WORDS = 15
HELD_OUT_ONE_IN = 50


@dataclass(frozen=True)
class Document:
    """A stretch of prose from one source, the unit that is trained on or held out as a whole."""

    source: str
    text: str

    @property
    def digest(self) -> int:
        """A number that depends on the text alone, so that order and machine do not matter."""
        return int.from_bytes(hashlib.sha256(self.text.encode("utf-8")).digest()[:8], "big")

    @property
    def held_out(self) -> bool:
        """Whether the document is kept out of training, for about one document in fifty."""
        return self.digest % HELD_OUT_ONE_IN == 0


@dataclass(frozen=True)
class Source:
    """One Debian package to read: what it is, under which licence, and how much of it to use."""

    package: str
    describes: str
    licence: str
    read: Callable[[list[Path]], Iterator[str]]
    most_words: int

    def documents(self) -> list[Document]:
        """The package's documents, thinned evenly to at most ``most_words`` words."""
        texts = dict.fromkeys(self.read(package_files(self.package)))
        return thinned([Document(self.package, text) for text in texts], self.most_words)


def installed_version(package: str) -> str | None:
    """The version of an installed Debian package, or None where it is not installed."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", package]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    except FileNotFoundError:
        return None
    return answer[1] if len(answer) == 2 and answer[0] == "installed" else None


def package_files(package: str) -> list[Path]:
    """Every regular file that an installed Debian package brought, in a fixed order."""
    listing = subprocess.run(["dpkg", "--listfiles", package], capture_output=True, text=True, check=True).stdout
    return sorted(path for path in map(Path, listing.splitlines()) if path.is_file())


def thinned(documents: list[Document], most_words: int) -> list[Document]:
    """A sample of at most ``most_words`` words, drawn by digest and returned in the order of the input."""
    kept: set[Document] = set()
    words = 0
    for document in sorted(documents, key=lambda document: document.digest):
        words += len(document.text.split())
        if words > most_words:
            break
        kept.add(document)
    return [document for document in documents if document in kept]


# --- prose and documents ---------------------------------------------------------------------------

_VERSION_NOTE = re.compile(r"^(New|Changed|Deprecated|Removed)\b.{0,20}\b(version|in|since)\b")
_CODE_MARK = re.compile(r"[_=<>{}\\|~^@#$*]|::|\w\(|\.\w+\.\w|--\w")
_SENTENCE = re.compile(r"^[\"'\u201c\u2018(]?[A-Z0-9].*[.!?:;,][\"'\u201d\u2019)]*$", re.DOTALL)


def is_prose(paragraph: str) -> bool:
    """Whether a paragraph reads as English sentences rather than as code, a symbol table or a heading."""
    words = paragraph.split()
    if len(words) < SHORTEST_PARAGRAPH_WORDS or _VERSION_NOTE.match(paragraph) or not _SENTENCE.match(paragraph):
        return False
    letters = sum(character.isalpha() or character in " ,.'" for character in paragraph)
    marks = len(_CODE_MARK.findall(paragraph))
    return letters >= 0.93 * len(paragraph) and marks <= len(words) / 25


def grouped(paragraphs: Iterable[str]) -> Iterator[str]:
    """Consecutive paragraphs joined into documents of up to about ``DOCUMENT_WORDS`` words."""
    group: list[str] = []
    words = 0
    for paragraph in paragraphs:
        length = len(paragraph.split())
        if group and words + length > DOCUMENT_WORDS:
            yield from long_enough(group)
            group, words = [], 0
        group.append(paragraph)
        words += length
    yield from long_enough(group)


def long_enough(group: list[str]) -> Iterator[str]:
    """The joined group, unless it is too short to be worth a document."""
    text = "\n\n".join(group)
    if len(text.split()) >= SHORTEST_DOCUMENT_WORDS:
        yield text


# --- HTML ------------------------------------------------------------------------------------------

_BLOCK_TAGS = frozenset(
    {
        "p",
        "div",
        "li",
        "dd",
        "dt",
        "dl",
        "ul",
        "ol",
        "td",
        "th",
        "tr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "section",
        "article",
        "blockquote",
        "body",
    }
)
_SKIPPED_TAGS = frozenset(
    {"script", "style", "pre", "table", "nav", "head", "footer", "dt", "h1", "h2", "h3", "h4", "h5", "h6"}
)
_SKIPPED_CLASSES = frozenset(
    {"related", "sphinxsidebar", "navheader", "navfooter", "footer", "toc", "titlepage", "docnav", "sig"}
)


class ProseParser(HTMLParser):
    """Collects the text blocks of a page outside code, tables, headings and navigation."""

    def __init__(self) -> None:
        """Start with no blocks, outside every element."""
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self._text: list[str] = []
        self._skipped_tag = ""
        self._skipped_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a block, or begin to skip an element that holds no prose."""
        if self._skipped_tag:
            self._skipped_depth += tag == self._skipped_tag
            return
        if tag in _BLOCK_TAGS or tag in _SKIPPED_TAGS:
            self._flush()
        classes = (dict(attrs).get("class") or "").split()
        if tag in _SKIPPED_TAGS or not _SKIPPED_CLASSES.isdisjoint(classes):
            self._skipped_tag, self._skipped_depth = tag, 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Let an element without content change nothing."""

    def handle_endtag(self, tag: str) -> None:
        """End a block, or end the skipping of an element."""
        if self._skipped_tag:
            self._skipped_depth -= tag == self._skipped_tag
            if self._skipped_depth == 0:
                self._skipped_tag = ""
        elif tag in _BLOCK_TAGS:
            self._flush()

    def handle_data(self, data: str) -> None:
        """Add text to the block that is open."""
        if not self._skipped_tag:
            self._text.append(data)

    def _flush(self) -> None:
        block = " ".join("".join(self._text).split())
        self._text.clear()
        if block:
            self.blocks.append(block)


def html_prose(pages: Iterable[Path]) -> Iterator[str]:
    """Documents of prose from HTML pages; a paragraph that recurs is used once."""
    seen: set[str] = set()
    for page in pages:
        parser = ProseParser()
        parser.feed(page.read_text(encoding="utf-8", errors="replace"))
        fresh = [block for block in parser.blocks if is_prose(block) and block not in seen]
        seen.update(fresh)
        yield from grouped(fresh)


def read_python_documentation(files: list[Path]) -> Iterator[str]:
    """Python's manual without its indexes, its licence texts and its change log."""
    left_out = ("genindex", "changelog", "license", "copyright", "search", "py-modindex", "contents")
    yield from html_prose(page for page in files if page.suffix == ".html" and not page.name.startswith(left_out))


def read_postgresql_documentation(files: list[Path]) -> Iterator[str]:
    """PostgreSQL's manual without its release notes, index and licence texts."""
    left_out = ("release", "bookindex", "biblio", "legalnotice", "features", "sql-keywords", "errcodes")
    yield from html_prose(page for page in files if page.suffix == ".html" and not page.name.startswith(left_out))


def read_debian_handbook(files: list[Path]) -> Iterator[str]:
    """The Debian Administrator's Handbook, its English edition only."""
    yield from html_prose(page for page in files if page.suffix == ".html" and page.parent.name == "en-US")


# --- the King James Bible ---------------------------------------------------------------------------

_VERSE = re.compile(r"^(\w+?)(\d+):(\d+) (.*)$")
_WINDOW_TABLE = 0x58
_COMPRESS_HEADER = b"\x1f\x9d\x90"


def read_king_james_bible(files: list[Path]) -> Iterator[str]:
    """Consecutive verses of a chapter as one paragraph, without book names and numbers."""
    data = next(path for path in files if path.name == "bible.data").read_bytes()
    chapter, verses = "", list[str]()
    for line in uncompressed_windows(data).decode("ascii", errors="replace").splitlines():
        match = _VERSE.match(line)
        if match is None:
            continue
        if match[1] + match[2] != chapter:
            yield from verse_documents(verses)
            chapter, verses = match[1] + match[2], []
        verses.append(match[4].strip())
    yield from verse_documents(verses)


def verse_documents(verses: list[str]) -> Iterator[str]:
    """One chapter's verses as documents, each a single paragraph."""
    for text in grouped(verses):
        yield text.replace("\n\n", " ")


def uncompressed_windows(data: bytes) -> bytes:
    """The text inside ``bible.data``: a table of offsets, then windows of Unix ``compress`` data without header."""
    (count,) = struct.unpack_from(">I", data, _WINDOW_TABLE)
    offsets = struct.unpack_from(f">{count + 1}I", data, _WINDOW_TABLE + 4)
    windows = []
    for start, end in pairwise(offsets):
        # Python's gzip module does not know this older format; the gzip program, present on every Debian, does.
        packed = _COMPRESS_HEADER + data[start:end]
        windows.append(subprocess.run(["gzip", "-dc"], input=packed, capture_output=True, check=True).stdout)
    return b"".join(windows)


# --- the dictionary ---------------------------------------------------------------------------------

_BRACKETED = re.compile(r"\[[^\[\]]*\]")
_PRONUNCIATION = re.compile(r"\\[^\\\n]*\\")
_ATTRIBUTION = re.compile(r"\s*--\s?[A-Z(][^\"]{0,40}?(?=[\"]|$)")
_LABEL = re.compile(
    r"\((?:[A-Z][A-Za-z]*\.?[ &]*){1,3}\)\s*|\(\w\)\s*|^\d+\.\s*|^(?:Note|Hence|Specifically|pl)[:.,]\s*"
)
_DICTIONARY_DEBRIS = re.compile(r"[\[\]\\`?]|\b[A-Z]{2,3}\.|\bSee [A-Z]|\bCf\.|\bi\. e\.|\be\. g\.|\bobs\b|--")


def read_dictionary(files: list[Path]) -> Iterator[str]:
    """Definitions, notes and quotations of the Collaborative International Dictionary, entry after entry."""
    path = next(path for path in files if path.name == "gcide.dict.dz")
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
        yield from grouped(dictionary_paragraphs(text_blocks(lines)))


def text_blocks(lines: Iterable[str]) -> Iterator[str]:
    """Stretches of lines between blank lines."""
    block: list[str] = []
    for line in lines:
        if line.strip():
            block.append(line)
        elif block:
            yield "".join(block)
            block = []
    if block:
        yield "".join(block)


def dictionary_paragraphs(blocks: Iterable[str]) -> Iterator[str]:
    """The prose among the dictionary's blocks, a definition led by the word that it defines."""
    word = ""
    for block in blocks:
        if not block[0].isspace():
            word = block.split("\\")[0].split(",")[0].strip()
        text = dictionary_prose(block)
        if not text:
            continue
        quotation = block.startswith(" " * 9)
        paragraph = text if quotation or not word else f"{word}: {text}"
        if len(paragraph.split()) < SHORTEST_DEFINITION_WORDS:  # the longer ones read more like running prose
            continue
        if is_prose(paragraph) and not _DICTIONARY_DEBRIS.search(paragraph):
            yield paragraph


def dictionary_prose(block: str) -> str:
    """One block without pronunciation, origin, labels and attribution."""
    text = _PRONUNCIATION.sub("", block)
    for _ in range(3):  # brackets are nested up to three deep
        text = _BRACKETED.sub("", text)
    body = " ".join(line for line in text.splitlines() if line[:1].isspace())
    body = " ".join(body.replace("{", "").replace("}", "").split())
    return _LABEL.sub("", _ATTRIBUTION.sub("", body)).strip()


SOURCES = (
    Source(
        "python3.11-doc",
        "Python manual",
        "Python Software Foundation License Version 2",
        read_python_documentation,
        700_000,
    ),
    Source(
        "postgresql-doc-15",
        "PostgreSQL manual",
        "PostgreSQL License",
        read_postgresql_documentation,
        700_000,
    ),
    Source(
        "debian-handbook",
        "The Debian Administrator's Handbook, English edition",
        "GPL-2.0+ or CC-BY-SA-3.0",
        read_debian_handbook,
        700_000,
    ),
    Source(
        "bible-kjv-text",
        "King James Bible",
        "copyright of the text expired (translation of 1611)",
        read_king_james_bible,
        700_000,
    ),
    Source(
        "dict-gcide",
        "The Collaborative International Dictionary of English",
        "GPL version 2 or later",
        read_dictionary,
        900_000,
    ),
)
