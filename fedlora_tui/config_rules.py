"""What one key of the configuration may hold, and how a key is declared with its default and its comment."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What a key may hold; `words` are allowed besides numbers ("auto"), or alone where `kind` is str.

    `by_organization`: a number, or a table of numbers by organization that holds "default", too. `texts`: a list of
    texts of one line, which may be empty, like `example`.
    """

    comment: str
    kind: type
    words: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    pattern: str = ""
    listed: bool = False
    texts: bool = False
    table: bool = False
    by_organization: bool = False
    example: str = '["Dear Sir, the charge"]'

    @property
    def is_list(self) -> bool:
        """True where it holds a list, though words may be allowed besides."""
        return self.listed or self.texts

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        parts = [json.dumps(word) for word in self.words]
        if self.listed:
            parts.append('a list of names, like ["q_proj", "v_proj"]')
        elif self.texts:
            parts.append(f"a list of texts, like {self.example}")
        elif self.table and self.kind is str and not self.pattern:
            parts.append('a table of keys by action, like { pause = "space p" }')
        elif self.table and self.kind is str:
            parts.append('a table of places, each "folder:PATH" or "hub:ID", like { clinic = "folder:/data/clinic" }')
        elif self.table:
            parts.append(f'a table of numbers by module{self._bounds()}, like {{ "attn.c_proj" = 2 }}')
        elif self.kind is bool:
            parts.append("true or false")
        elif self.kind is str and not self.words:
            parts.append("letters, digits, '.', '_' and '-', 40 at most" if self.pattern else "text in quotes")
        elif self.kind in (int, float):
            parts.append(("a whole number" if self.kind is int else "a number") + self._bounds())
        if self.by_organization:
            parts.append('such numbers by organization, like { default = 8, "pharmacy-2" = 2 }')
        return " or ".join(parts)

    def _bounds(self) -> str:
        if self.least is not None and self.most is not None:
            return f" from {self.least:,} to {self.most:,}"
        low = f" of {self.least:,} or more" if self.least is not None else ""
        low = f" above {self.above:g}" if self.above is not None else low
        high = f" up to {self.most:,g}" if self.most is not None else ""
        high = f" below {self.below:g}" if self.below is not None else high
        return low + (" and" if low and high else "") + high

    def take(self, value: Any) -> Any:
        """Give the value in its kind, or raise ValueError where it is not allowed."""
        if isinstance(value, str) and value in self.words:
            return value
        if self.listed and isinstance(value, list | tuple) and value and all(isinstance(v, str) and v for v in value):
            return tuple(value)
        if self.texts and isinstance(value, list | tuple) and all(_is_line(text) for text in value):
            return tuple(value)
        if self.by_organization and isinstance(value, Mapping):
            if "default" not in value:
                raise ValueError
            return {name: replace(self, by_organization=False).take(number) for name, number in value.items()}
        if self.table and isinstance(value, Mapping) and all(value):
            return {name: replace(self, table=False).take(number) for name, number in value.items()}
        if isinstance(value, bool) != (self.kind is bool) or self.is_list or self.table:
            raise ValueError
        if self.kind is str and isinstance(value, str) and not self.words:
            value.encode()  # an argument that is no UTF-8 holds halves of characters: UnicodeEncodeError, a ValueError
            if self.pattern and not re.fullmatch(self.pattern, value):
                raise ValueError
            return value
        if self.kind is bool:
            return value
        if self.kind is int and isinstance(value, int) and self._inside(value):
            return value
        if self.kind is float and isinstance(value, int | float) and self._inside(value):
            return float(value)
        raise ValueError

    def _inside(self, value: float) -> bool:
        return (
            (isinstance(value, int) or math.isfinite(value))
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def _is_line(text: Any) -> bool:
    return isinstance(text, str) and text.isprintable() and not text.isspace() and text != ""


def key(default: Any, comment: str, kind: type | None = None, **rules: Any) -> Any:
    """Declare one key: its default, its comment and what it may hold."""
    metadata = {"rule": Rule(comment, kind or type(default), **rules)}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)
