"""Small matrices one after the other: torch's threads cost them more than they bring."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_inside = 0
_before = 1


@contextmanager
def one_thread() -> Iterator[int]:
    """Let torch compute on the calling thread alone for as long as the context is open; give how many it had before.

    Torch's number is one for the process and one for each thread: runs of a race are in here at the same time, none of
    them trains meanwhile, and each puts back what the first one found.
    """
    global _inside, _before
    with _lock:
        _before = _before if _inside else torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(1)
        before = _before
    try:
        yield before
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(_before)
