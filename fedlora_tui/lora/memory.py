"""Running out of memory: how it is told from other errors, and what is given back before another try."""

from __future__ import annotations

import gc

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


def give_back() -> None:
    """Free what nobody holds any more, on the device too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
