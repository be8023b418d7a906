"""From the files of Debian packages to English prose: the stripping of markup and code, and a reader a source.

Here live the test of what is prose, the cutting of prose into documents, and one reader for each form in
which the packages hold their text: web pages, manual sources, a game's dialogues, a Bible, a dictionary.
Used by ``pretrain_corpus.py``, which says what each reader is for.
"""

from __future__ import annotations

import gzip
import re
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

DOCUMENT_WORDS = 200
SHORTEST_DOCUMENT_WORDS = 25
SHORTEST_PARAGRAPH_WORDS = 8
SHORTEST_SPEECH_WORDS = 4
SHORTEST_DEFINITION_WORDS = 15

Reader = Callable[[list[Path]], Iterator[str]]

_VERSION_NOTE = re.compile(r"^(New|Changed|Deprecated|Removed)\b.{0,20}\b(version|in|since)\b")
_CODE_MARK = re.compile(r"[_=<>{}\\|~^@#$*]|::|\w\(|\.\w+\.\w|--\w")
_SENTENCE = re.compile(r"^[\"'\u201c\u2018(]?[A-Z0-9].*[.!?:;,][\"'\u201d\u2019)]*$", re.DOTALL)


def is_speech(line: str) -> bool:
    """Whether a line of a dialogue or a story reads as English; such lines may be short."""
    return is_prose(line, SHORTEST_SPEECH_WORDS)


def is_prose(paragraph: str, shortest: int = SHORTEST_PARAGRAPH_WORDS) -> bool:
    """Whether a paragraph reads as English sentences rather than as code, a symbol table or a heading."""
    words = paragraph.split()
    if len(words) < shortest or _VERSION_NOTE.match(paragraph) or not _SENTENCE.match(paragraph):
        return False
    letters = sum(character.isalpha() or character in " ,.'\"\u201c\u201d\u2019" for character in paragraph)
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


def pages(wanted: Callable[[Path], bool]) -> Reader:
    """A reader of the web pages among a package's files that are wanted."""

    def read(files: list[Path]) -> Iterator[str]:
        yield from html_prose(path for path in files if path.suffix in (".html", ".page") and wanted(path))

    return read


def pages_except(*beginnings: str) -> Reader:
    """A reader of all web pages but those whose names begin so: indexes, licences, release notes."""
    return pages(lambda path: not path.name.startswith(beginnings))


def pages_below(*folders: str, without: tuple[str, ...] = ()) -> Reader:
    """A reader of the web pages in folders of these names, without those whose names begin with one of ``without``."""
    return pages(lambda path: not set(folders).isdisjoint(path.parts) and not path.name.startswith(without))


def pages_ending(ending: str) -> Reader:
    """A reader of the web pages whose names end so."""
    return pages(lambda path: path.name.endswith(ending))


# --- plain text and manual sources ------------------------------------------------------------------

_POD_MARKUP = re.compile(r"[A-Z]<+\s?([^<>|]*?)(?:\|[^<>]*)?\s?>+")


def read_perl_manual(files: list[Path]) -> Iterator[str]:
    """Perl's manual pages without the changes from version to version."""
    for path in files:
        if path.suffix == ".pod" and not re.match(r"perl(\d+delta|delta|hist|toc|artistic|gpl)", path.name):
            blocks = text_blocks(path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True))
            texts = (block for block in blocks if not block[0].isspace() and block[0] != "=")
            yield from grouped(filter(is_prose, (on_one_line(_POD_MARKUP.sub(r"\1", text)) for text in texts)))


def read_jargon_file(files: list[Path]) -> Iterator[str]:
    """The Jargon File's paragraphs, without pronunciations and lists of words."""
    path = next(path for path in files if path.name == "jargon.txt.gz")
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
        yield from grouped(filter(is_prose, map(on_one_line, text_blocks(lines))))


def on_one_line(text: str) -> str:
    """The text with every stretch of white space made one space."""
    return " ".join(text.split())


# --- stories told in games --------------------------------------------------------------------------

_WESNOTH_TEXT = re.compile(r'_ ?"((?:[^"]|"")+)"')
_ENDLESS_SKY_TEXT = re.compile(r'^\s*(?:`(.*)`|(?:description|dialog|spaceport|message) "(.*)")\s*$', re.MULTILINE)
_GAME_MARKUP = re.compile(r"</?[a-z][^<>]{0,40}>")


def read_wesnoth_campaign(files: list[Path]) -> Iterator[str]:
    """The stories and dialogues of a campaign, scenario after scenario."""
    for path in files:
        if path.suffix == ".cfg":
            texts = _WESNOTH_TEXT.findall(path.read_text(encoding="utf-8", errors="replace"))
            lines = (on_one_line(_GAME_MARKUP.sub("", text.replace('""', '"'))) for text in texts)
            yield from grouped(filter(is_speech, lines))


def read_endless_sky(files: list[Path]) -> Iterator[str]:
    """The conversations and descriptions of the game; a text with a gap for a name is left out."""
    for path in files:
        if path.suffix == ".txt" and path.parent.name == "data":
            found = _ENDLESS_SKY_TEXT.findall(path.read_text(encoding="utf-8", errors="replace"))
            lines = (on_one_line(spoken or described) for spoken, described in found)
            yield from grouped(line for line in dict.fromkeys(lines) if "<" not in line and is_speech(line))


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
