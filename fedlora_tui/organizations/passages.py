"""What a reader finds, one `Passage` at a time: a document or the reason why there is none; and how much is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fedlora_tui.organizations.text import EMPTY, Document, Documents

UNDECODABLE = "\ufffd"
MOST_UNDECODABLE = 1 / 3
"""A document with a greater share of undecodable characters is not text in any encoding read here, and is dropped."""

LONGEST_TEXT = 1 << 20
"""Characters: a longer document is read as several, a longer prompt or response is dropped."""

BROKEN, NO_TEXT, NO_ORGANIZATION = "broken", "without the field", "without an organization"
RAGGED, UNCLOSED = "with more columns than the header", "in a quote that is not closed"
NOT_TEXT, TOO_LONG, DAMAGED, BOMB = "undecodable", "too long", "in a damaged file", "in a file that expands too far"

OVERHEAD = 128
"""Bytes that a document costs beside its text, so that millions of empty words cannot fill the memory either."""

LONGEST_NAME = 100

USUAL_TEXT = "text"
"""The text's field where nobody names one; where no row has it, it may be the only other field with text."""

ROWS_LOOKED_AT = 50


@dataclass(frozen=True)
class Fields:
    """Where a row has its text: in one field, or as a prompt and a response; and, where asked, whose it is and of what.

    Nothing here is private: the names come from the configuration.
    """

    text: str = USUAL_TEXT
    prompt: str = ""
    response: str = ""
    organization: str = ""
    label: str = ""

    @property
    def wanted(self) -> str:
        """The fields that a row must have, in words."""
        return f"the fields {self.prompt!r} and {self.response!r}" if self.prompt else f"a field {self.text!r}"

    @property
    def remedy(self) -> str:
        """What to set where they have other names."""
        if self.prompt:
            return "set data.prompt_field and data.response_field to the fields' names"
        return "set data.text_field to the field's name"


@dataclass(frozen=True, slots=True)
class Passage:
    """One document as a file gives it, or none and the reason.

    `repaired`: some of its bytes could not be decoded. `cut`: it goes on where the passage before it ended.
    """

    document: Document | None
    reason: str = ""
    repaired: bool = False
    cut: bool = False
    organization: str = ""


def clean(raw: str, cut: bool = False, label: str = "") -> Passage:
    """The document without NULs, with half surrogates replaced and the space around it taken off."""
    text = raw.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    if not text:
        return Passage(None, EMPTY)
    undecodable = text.count(UNDECODABLE)
    if undecodable and undecodable > MOST_UNDECODABLE * len("".join(text.split())):
        return Passage(None, NOT_TEXT)
    return Passage(Document(text, label=label), repaired=undecodable > 0, cut=cut)


def cleaned(raw: str, label: str = "") -> Iterator[Passage]:
    """The document, in pieces where it is longer than may be held as one."""
    for at in range(0, max(len(raw), 1), LONGEST_TEXT):
        yield clean(raw[at : at + LONGEST_TEXT], at > 0, label)


def answered(prompt: str, response: str, label: str = "") -> Passage:
    """A prompt and its response as one document; a pair that lacks one of them is none."""
    if max(len(prompt), len(response)) > LONGEST_TEXT:
        return Passage(None, TOO_LONG)
    asked, told = clean(prompt), clean(response)
    if asked.document is None or told.document is None:
        return Passage(None, asked.reason or told.reason)
    pair = Document(told.document.text, asked.document.text, label)
    return Passage(pair, repaired=asked.repaired or told.repaired)


def of_row(row: object, fields: Fields) -> Iterator[Passage]:
    """What a row of a table or a JSON value holds: text by its field, a bare string, or a prompt and its response."""
    organization, label = organization_of(row, fields), label_of(row, fields)
    if organization is None:
        yield Passage(None, NO_ORGANIZATION)
    elif fields.prompt:
        pair = [row.get(name) if isinstance(row, Mapping) else None for name in (fields.prompt, fields.response)]
        prompt, response = (as_text(value) for value in pair)
        found = Passage(None, NO_TEXT) if prompt is None or response is None else answered(prompt, response, label)
        yield replace(found, organization=organization)
    else:
        raw = text_of(row, fields)
        for passage in [Passage(None, NO_TEXT)] if raw is None else cleaned(raw, label):
            yield replace(passage, organization=organization) if organization else passage


def text_of(value: object, fields: Fields) -> str | None:
    """The text in a value, None where there is none."""
    return as_text(value.get(fields.text) if isinstance(value, Mapping) else value)


def settled(fields: Fields, first: Iterable[object]) -> Fields:
    """Find out from the first rows which field holds the text.

    It has the configured name. Where nobody named one and no row has the usual one, it is the only one with strings:
    found once for all rows, so that no row's other fields are ever taken for its text.
    """
    rows = [row for row in first if isinstance(row, Mapping)]
    if fields.prompt or fields.text != USUAL_TEXT or any(fields.text in row for row in rows):
        return fields
    told = (fields.organization, fields.label)
    strings = {name for row in rows for name, value in row.items() if isinstance(value, str) and name not in told}
    return replace(fields, text=str(strings.pop())) if len(strings) == 1 else fields


def as_text(value: object) -> str | None:
    """A string as it is, bytes as UTF-8, anything else not."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def organization_of(row: object, fields: Fields) -> str | None:
    """Whose row it is: "" where nobody asks, None where the row does not say it in a way that can be shown."""
    if not fields.organization:
        return ""
    value = row.get(fields.organization) if isinstance(row, Mapping) else None
    name = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return name if name.isprintable() and 0 < len(name) <= LONGEST_NAME else None


def label_of(row: object, fields: Fields) -> str:
    """What the row is of, a name or a number; empty where nobody asks or the row does not say it."""
    label = row.get(fields.label) if fields.label and isinstance(row, Mapping) else None
    return str(label).strip() if isinstance(label, str | int | float) else ""


class Gathering:
    """One organization's documents as they come in, up to `most` bytes of them."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._texts: list[Document] = []
        self._dropped: Counter[str] = Counter()
        self._repaired = self._cut = 0
        self.full = False

    def take(self, passage: Passage) -> None:
        """Keep a document, or count why there is none; the one that does not fit any more makes it full."""
        if passage.document is None:
            self._dropped[passage.reason] += 1
            return
        self._left -= weight(passage.document)
        self.full = self.full or self._left < 0
        if not self.full:
            self._texts.append(passage.document)
            self._repaired += passage.repaired
            self._cut += passage.cut

    def documents(self) -> Documents:
        """All that was kept and counted."""
        return Documents(tuple(self._texts), dict(self._dropped), self._repaired, self._cut, self.full)


def weight(document: Document) -> int:
    """About how many bytes of memory a document takes: a character of 1, 2 or 4 bytes, and its share of the rest."""
    return sum(len(text) * width(text) for text in (document.text, document.prompt) if text) + OVERHEAD


def width(text: str) -> int:
    """Bytes that Python takes for each of a text's characters."""
    widest = max(text)
    return 1 if widest < "\u0100" else 2 if widest < "\U00010000" else 4


def gather(passages: Iterable[Passage], most: int) -> Documents:
    """Read one organization's passages until it is full."""
    gathering = Gathering(most)
    for passage in passages:
        gathering.take(passage)
        if gathering.full:
            break
    return gathering.documents()
