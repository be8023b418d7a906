"""Running out of memory: how it is told from other errors, and what is given back before another try."""

from __future__ import annotations

import gc
import weakref
from typing import Protocol

import torch

PROCESSOR_SAYS = "DefaultCPUAllocator"
"""On processors torch tells of it in words alone."""


class OutOfMemory(Exception):
    """There is no memory for the smallest pass; its words say what to do."""


def ran_out(error: BaseException) -> bool:
    """Tell whether an error says that there was no memory for what was asked."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and PROCESSOR_SAYS in str(error)


class Holding(Protocol):
    """What holds memory only to be faster."""

    def give_back(self) -> None:
        """Let go of it."""


_holding: weakref.WeakSet[Holding] = weakref.WeakSet()


def give_back_first(holding: Holding) -> None:
    """Let something that holds memory give it back where memory ran out."""
    _holding.add(holding)


def give_back() -> None:
    """Free what nobody holds any more, or holds only to be faster, on the device too."""
    for holding in list(_holding):
        holding.give_back()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
