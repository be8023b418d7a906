"""Whether the fields of an event hold what they can hold: a line of a journal may say anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

MOST = 2**63
"""A whole number is smaller than this: bytes, parameters, tokens are."""

LAST_TIME = 253_402_300_800.0

_PLAIN: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    # Numbers that are not finite are null in a line.
    "float": (float, int, type(None)),
}


def misfit(kind: type, values: Mapping[str, Any]) -> str | None:
    """Name the first field of a frozen dataclass for which a value is of no use, None where all of them are."""
    rules = _rules(kind)
    for name, value in values.items():
        own, items = rules[name]
        if not _fits(value, own):
            return name
        if items and value:
            inner = value.values() if isinstance(value, Mapping) else value
            if not all(_fits(item, items) for item in inner):
                return name
    return None


def built(part: Any, kind: str, found: Mapping[str, Any]) -> Any:
    """Build an event of a kind, or a part of one, from those of its fields that are known. Raises ValueError."""
    values = {known.name: found[known.name] for known in fields(part) if known.name in found}
    if (wrong := misfit(part, values)) is not None:
        raise ValueError(f"event {kind}: {wrong} cannot be {str(values[wrong])[:40]}")
    return part(**values)


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    if type(value) is int and not -MOST < value < MOST:
        return False
    return not types or type(value) in types


@cache
def _rules(kind: type) -> Mapping[str, tuple[tuple[type, ...], tuple[type, ...]]]:
    """Give what each field holds, and what is inside where it holds several; empty stands for anything."""
    return {own.name: _rule(str(own.type)) for own in fields(kind)}


def _rule(words: str) -> tuple[tuple[type, ...], tuple[type, ...]]:
    optional: tuple[type, ...] = (type(None),) if words.endswith(" | None") else ()
    words = words.removesuffix(" | None")
    outer, _, inner = words.partition("[")
    if outer == "tuple":
        return (tuple, *optional), _PLAIN.get(inner.removesuffix(", ...]"), ())
    if outer == "Mapping":
        of = inner.removesuffix("]").partition(", ")[2]
        return (dict, *optional), _rule(of)[0]
    return (*_PLAIN[outer], *optional) if outer in _PLAIN else (), ()


def frozen(value: Any) -> Any:
    """Give lists, and those inside them, as tuples."""
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value


def is_time(t: float) -> bool:
    """Tell whether a clock can show these seconds since the epoch: none shows the year 10000."""
    return 0 <= t < LAST_TIME
