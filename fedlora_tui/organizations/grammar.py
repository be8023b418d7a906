"""The small grammar in which a trade is written down: sentences with slots and choices, and lists of words.

`{slot}` is filled with a name, a number or a word of a list; `[one|another]` is a choice within the sentence, and
either may stand inside a choice. A slot named in the trade's `cast` keeps its value for a whole document.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Slot:
    """A place to fill: `{name}`, `{name argument}`, or `{name.part}`, the `first` or `last` word or `upper` case."""

    name: str
    argument: str = ""
    part: str = ""


@dataclass(frozen=True)
class Choice:
    """Alternatives within a sentence; `key` is their source, under which an organization keeps its preference."""

    key: str
    options: tuple[Nodes, ...]


Node: TypeAlias = str | Slot | Choice
Nodes: TypeAlias = tuple[Node, ...]


@dataclass(frozen=True)
class Form:
    """One kind of record: a sentence to open it, some in the middle, one to close it unless `closing` is empty.

    `length` is this form's own where it is not the trade's; `joint` stands between its sentences.
    """

    opening: tuple[str, ...]
    middle: tuple[str, ...]
    closing: tuple[str, ...] = ()
    length: tuple[int, int] | None = None
    joint: str = " "


@dataclass(frozen=True)
class Trade:
    """What the organizations of one trade write.

    `documents` is how many an organization has, at least and at most. `length` is the least words that a document aims
    at, and the most that it has unless its first sentences are longer already. `cast` gives the slots that keep their
    value in a document, with what fills them. `own` says of which word lists an organization uses only a part, and how
    many words of it.
    """

    name: str
    documents: tuple[int, int]
    length: tuple[int, int]
    forms: tuple[Form, ...]
    words: Mapping[str, tuple[str, ...]]
    cast: Mapping[str, str]
    own: Mapping[str, int]


def lines(block: str) -> tuple[str, ...]:
    """The entries of a block, one a line; a line that is indented further goes on with the entry before it."""
    entries: list[str] = []
    for line in textwrap.dedent(block).strip("\n").splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
        elif line.strip():
            entries.append(line.strip())
    return tuple(entries)


def table(block: str) -> dict[str, tuple[str, ...]]:
    """Word lists from a block with entries such as `colour: red | dark green | blue`."""
    lists = {}
    for entry in lines(block):
        name, _, words = entry.partition(":")
        lists[name] = tuple(word.strip() for word in words.split("|"))
    return lists


@functools.cache
def parse(template: str) -> Nodes:
    """A sentence as nodes; brackets that do not match are a ValueError."""
    options, end = _options(template, 0, "")
    if end != len(template) or len(options) != 1:
        raise ValueError(f"brackets do not match in {template!r}")
    return options[0]


def _options(template: str, start: int, closing: str) -> tuple[list[Nodes], int]:
    """Alternatives from `start` up to `closing`, and where they end."""
    options: list[Nodes] = []
    nodes: list[Node] = []
    position = literal = start
    while position < len(template) and template[position] != closing:
        mark = template[position]
        if mark not in "{[" and not (mark == "|" and closing):
            position += 1
            continue
        if position > literal:
            nodes.append(template[literal:position])
        if mark == "|":
            options.append(tuple(nodes))
            nodes = []
            position += 1
        elif mark == "{":
            end = template.index("}", position)
            nodes.append(_slot(template[position + 1 : end]))
            position = end + 1
        else:
            inner, end = _options(template, position + 1, "]")
            if end >= len(template):
                raise ValueError(f"brackets do not match in {template!r}")
            nodes.append(Choice(template[position + 1 : end], tuple(inner)))
            position = end + 1
        literal = position
    if position > literal:
        nodes.append(template[literal:position])
    options.append(tuple(nodes))
    return options, position


def _slot(source: str) -> Slot:
    name, _, argument = source.partition(" ")
    name, _, part = name.partition(".")
    return Slot(name, argument, part)
