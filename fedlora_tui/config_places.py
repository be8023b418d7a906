"""What messages about a file of keys need: the line of a key, the name that may be meant, a value as TOML."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any


def line_of(text: str, section: str, name: str | None) -> int:
    """Give the line of a key, or of its section when the key is inside an inline table; 1 where neither is found."""
    table, at = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        head = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if head:
            table = head.group(1).strip("\"' ")
            if table == section or table.startswith(f"{section}."):
                at = number
                if name is None:
                    return at
            continue
        entry = re.match(r"\s*([A-Za-z0-9_\"'. -]+?)\s*=", line)
        if not entry:
            continue
        full = ".".join(part.strip("\"' ") for part in f"{table}.{entry.group(1)}".strip(".").split("."))
        if name is None and (full == section or full.startswith(f"{section}.")):
            at = number
        if name is not None and (full == f"{section}.{name}" or full.startswith(f"{section}.{name}.")):
            return number
    return at


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name may be meant, or which there are; `known` are written section.key."""
    last = {full.rsplit(".", 1)[-1]: full for full in known}
    word = name.rsplit(".", 1)[-1]
    close = [last[word]] if word in last else difflib.get_close_matches(name, list(known), 1, 0.6)
    if not close:
        close = [last[other] for other in difflib.get_close_matches(word, list(last), 1, 0.6)]
    if close:
        return f"; nearest is {close[0]}"
    section = name.split(".")[0]
    keys = [full for full in known if full.startswith(f"{section}.")]
    return f"; known are {', '.join(keys or dict.fromkeys(full.split('.')[0] for full in known))}"


def shown(value: Any) -> str:
    """Give a value as a message shows it: as TOML, cut to 60 characters."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = to_literal(value) if isinstance(value, str | bool | int | float | list | tuple | dict) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def to_literal(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(to_literal(item) for item in value)}]"
    if isinstance(value, Mapping):
        entries = ", ".join(f"{to_literal(str(name))} = {to_literal(item)}" for name, item in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, float):
        return repr(value)
    return str(value)
