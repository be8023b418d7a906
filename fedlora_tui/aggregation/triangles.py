"""The triangular factors of many matrices: several factorized at once, each on one thread, while the next are made.

All that is compared of adapters is read off thin QRs of their stacked factors. They take most of the time between two
rounds, and none needs another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch
from torch import Tensor

FEWEST_THREADS, MOST_THREADS = 4, 16
"""With fewer processors the caller's own thread, and all else that goes on, would wait for theirs."""

WORTH_A_THREAD = 2**14
"""Numbers of a matrix that is handed to another thread: a smaller one takes less time than that."""

MOST_NUMBERS = 2**25
"""Numbers of the matrices that wait or are factorized: 256 MiB of them, beside the one that was made last."""


def triangle(matrix: Tensor) -> Tensor:
    """Give R of a matrix's thin QR."""
    found: Tensor = torch.linalg.qr(matrix, mode="r").R
    return found


def triangles(matrices: Iterable[Tensor], threads: int = 1) -> Iterator[Tensor]:
    """Give R of each matrix's thin QR, in their order; they are made as they are needed, a few ahead.

    `threads` are those that factorize beside the caller's, from `FEWEST_THREADS` on: torch then has to be set to
    compute on one thread. What is found does not depend on their number.
    """
    if threads < FEWEST_THREADS:
        yield from map(triangle, matrices)
        return
    threads = min(threads, MOST_THREADS)
    under_way: deque[tuple[Future[Tensor], int]] = deque()
    waiting = 0
    for matrix in matrices:
        under_way.append((_begun(matrix, threads), matrix.numel()))
        waiting += matrix.numel()
        while len(under_way) > 2 * threads or (waiting > MOST_NUMBERS and under_way):
            found, numbers = under_way.popleft()
            waiting -= numbers
            yield found.result()
    for found, _ in under_way:
        yield found.result()


def _begun(matrix: Tensor, threads: int) -> Future[Tensor]:
    """Let another thread factorize, or do it at once."""
    if matrix.numel() >= WORTH_A_THREAD:
        return _pool(threads).submit(triangle, matrix)
    found: Future[Tensor] = Future()
    found.set_result(triangle(matrix))
    return found


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Keep the threads from round to round: beginning them takes as long as what they do.

    A thread that torch has not met factorizes its first matrix on all processors, to other last bits. What makes it one
    of its own is said for the process, too: so all of them have said it before the first matrix is handed over.
    """
    together = Barrier(threads)

    def begin() -> None:
        torch.set_num_threads(1)
        together.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="triangles")
    for begun in [pool.submit(begin) for _ in range(threads)]:
        begun.result()
    return pool
