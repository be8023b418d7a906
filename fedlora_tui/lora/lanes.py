"""Work shared out over lanes that go side by side: one a GPU, or several on the processors of a machine.

On processors a lane is a thread with a share of them. Products of a small base are too small to be split over
processors well, and between products every operation would wait for the slowest of them: two lanes of one processor
train a quarter faster than one lane of two, to the same last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Generic, TypeVar

import torch

from fedlora_tui.lora.base_model import BaseModel

MOST_LANES = 4
"""Lanes of processors at most: what Python does itself goes one lane at a time."""

Lane = TypeVar("Lane")
Piece = TypeVar("Piece")
Result = TypeVar("Result")


def lanes_on(base: BaseModel) -> int:
    """Give how many lanes a base's device has: one, but for processors.

    Quantized layers keep a form of their own beside their weights, which lanes would have to share.
    """
    if base.device.type != "cpu" or base.quantization != "none":
        return 1
    return max(1, min(torch.get_num_threads(), MOST_LANES))


@dataclass
class _End(Generic[Result]):
    """How one lane ended."""

    results: Sequence[Result] = ()
    error: BaseException | None = None


def parted(work: Sequence[Piece], lanes: int) -> list[Sequence[Piece]]:
    """Part work into as many equal shares as there are lanes, fewer where there is too little.

    Which lane does a piece depends on its place alone, so that a run can be repeated.
    """
    share = max(1, -(-len(work) // lanes))
    return [work[at : at + share] for at in range(0, len(work), share)]


def in_lanes(
    lanes: Sequence[Lane], shares: Sequence[Sequence[Piece]], do: Callable[[Lane, Sequence[Piece]], Sequence[Result]]
) -> list[Result]:
    """Let every lane do its share at the same time; results stand in the order of the work.

    The first error of a lane is raised when all have ended.
    """
    if len(shares) == 1:
        return list(do(lanes[0], shares[0]))
    threads = torch.get_num_threads()
    ends: list[_End[Result]] = [_End() for _ in shares]

    def do_share(lane: Lane, own: Sequence[Piece], end: _End[Result]) -> None:
        try:
            torch.set_num_threads(max(1, threads // len(shares)))
            end.results = do(lane, own)
        except BaseException as error:
            end.error = error

    # Daemons: a run that waits in its lanes for the operator must not keep the process from ending.
    at_work = [
        Thread(target=do_share, args=given, name=f"lane {number}", daemon=True)
        for number, given in enumerate(zip(lanes, shares, ends, strict=False))
    ]
    for thread in at_work:
        thread.start()
    for thread in at_work:
        thread.join()
    torch.set_num_threads(threads)
    for end in ends:
        if end.error is not None:
            raise end.error
    return [result for end in ends for result in end.results]
