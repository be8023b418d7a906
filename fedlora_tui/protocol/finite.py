"""Numbers that are not finite become None: no line of a journal can hold them."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any, TypeVar

AnEvent = TypeVar("AnEvent")


def finite(event: AnEvent) -> AnEvent:
    """Give the event with None for its own numbers that are not finite, as a reader of the journal will find it."""
    broken = {
        f.name: None
        for f in fields(event)  # type: ignore[arg-type]
        if isinstance(value := getattr(event, f.name), float) and not math.isfinite(value)
    }
    return replace(event, **broken) if broken else event  # type: ignore[type-var]


def finite_value(value: Any) -> Any:
    """Give a value, of whatever it is made, with None for numbers in it that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_value(item) for item in value]
    return value
