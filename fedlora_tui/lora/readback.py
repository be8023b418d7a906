"""Losses on their way back from where they are computed: at once from a processor, a few steps later from a GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

STEPS = {"cpu": 1}
STEPS_ELSEWHERE = 4
"""Steps that are read together, while as many later ones are still under way."""

T = TypeVar("T")


class Readback(Generic[T]):
    """Reads each step's numbers in order, without ever letting a GPU wait for Python to look at them.

    A step's numbers set out for the processor as soon as they are computed. They are looked at, and told of with what
    came along, when `STEPS_ELSEWHERE` later steps have been asked for.
    """

    def __init__(self, device: torch.device, tell: Callable[[list[float], T], None]) -> None:
        self._steps = STEPS.get(device.type, STEPS_ELSEWHERE)
        self._tell = tell
        self._under_way: deque[tuple[Tensor, torch.cuda.Event | None, T]] = deque()

    def add(self, numbers: Tensor, along: T) -> None:
        """Take one step's numbers, and tell of those that are due; `tell` may raise."""
        if numbers.device.type != "cuda":
            self._under_way.append((numbers, None, along))
        else:
            here = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            here.copy_(numbers, non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(torch.cuda.current_stream(numbers.device))
            self._under_way.append((here, arrived, along))
        if self._steps == 1:
            self.read_all()
        elif len(self._under_way) >= 2 * self._steps:
            self._read(self._steps)

    def read_all(self) -> None:
        """Tell of every step so far."""
        self._read(len(self._under_way))

    def _read(self, count: int) -> None:
        for _ in range(count):
            numbers, arrived, along = self._under_way.popleft()
            if arrived is not None:
                arrived.synchronize()
            self._tell(numbers.tolist(), along)
