"""A frozen value with fields changed is what dataclasses.replace gives."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, replace
from functools import cached_property

import pytest

from fedlora_tui.protocol.changed import changed
from fedlora_tui.protocol.state import RunState


@dataclass(frozen=True)
class Row:
    a: int
    b: tuple[int, ...] = field(default=(), compare=False)

    @cached_property
    def double(self) -> int:
        return 2 * self.a


def test_it_is_what_replace_gives_and_the_value_stays() -> None:
    row = Row(1, (2,))
    assert row.double == 2
    other = changed(row, a=5)
    assert (other, other.b, other.double, row.double) == (replace(row, a=5), (2,), 10, 2)
    assert changed(RunState(), round=3, phase="running") == replace(RunState(), round=3, phase="running")
    with pytest.raises(FrozenInstanceError):
        other.a = 6  # type: ignore[misc]


def test_what_is_no_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Row has no field c, d"):
        changed(Row(1), d=1, c=2)
