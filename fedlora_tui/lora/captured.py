"""Passes of a cohort captured as CUDA graphs: launched at once, where Python would launch hundreds of kernels.

A small base's kernels take less time than their launches. A graph replays them over the very memory they were captured
with, so a cohort's stack lies in memory that is lent from here, and what a pass is given is copied to where the graph
looks for it.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from fedlora_tui.lora.accelerated import left_out
from fedlora_tui.lora.given import Given
from fedlora_tui.lora.memory import give_back_first, ran_out
from fedlora_tui.lora.stack import Layout, Stack

LAYOUTS, GRAPHS = 4, 8
"""What is kept at most of each."""

MET = 2
"""A pass is captured when one of its shape is met this often: once would cost more than it saves."""

MORE_OFTEN = 8
"""Where all places are taken, one is given to what was met by so much more often than the rarest that has one."""

Compute = Callable[[Stack, Given], Tensor]
"""A pass, forward and back: from a stack's leaves and what it is given to each organization's mean loss."""

Replayed = tuple[Callable[[], object], Tensor]
"""What computes a captured pass once more, and where the means that it finds will lie."""

Capture = Callable[[torch.device, Any, Callable[[], Tensor]], Replayed]
"""What captures a computation, given a device and a pool of memory there; it may compute it too."""

Value = TypeVar("Value")

_capturing = threading.Lock()


class Kept(Generic[Value]):
    """Values by key, the most frequent ones."""

    def __init__(self, most: int, let_go: Callable[[Hashable], None] = lambda key: None) -> None:
        self._most, self._let_go = most, let_go
        self._values: dict[Hashable, Value] = {}
        self._met: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._values)

    def met(self, key: Hashable) -> int:
        """Count that a key was met; tell how often by now."""
        self._met[key] += 1
        return self._met[key]

    def get(self, key: Hashable) -> Value | None:
        """Give what is kept under a key."""
        return self._values.get(key)

    def has_place(self, key: Hashable) -> bool:
        """Tell whether a key that is not there would get a place."""
        return len(self._values) < self._most or self._met[key] > self._met[self._rarest] + MORE_OFTEN

    def put(self, key: Hashable, value: Value) -> None:
        """Keep a value, in place of the rarest one where there is no other."""
        if len(self._values) >= self._most:
            self.drop(self._rarest)
        self._values[key] = value

    def drop(self, key: Hashable) -> None:
        """Let go of what is kept under a key."""
        self._met.pop(key, None)
        self._let_go(key)
        self._values.pop(key, None)

    @property
    def keys(self) -> list[Hashable]:
        """The keys that have a place."""
        return list(self._values)

    @property
    def _rarest(self) -> Hashable:
        return min(self._values, key=lambda key: self._met[key])


@dataclass(frozen=True)
class _Captured:
    given: Given
    replay: Callable[[], object]
    means: Tensor

    def again(self, given: Given) -> Tensor:
        for own, new in ((self.given.numbers, given.numbers), (self.given.shares, given.shares)):
            # Pinned, or the copy would wait for all that the GPU has yet to do.
            own.copy_(new.pin_memory() if own.device.type == "cuda" else new, non_blocking=True)
        self.replay()
        return self.means


class Captures:
    """The captured passes of one base, over steps and rounds, and the memory that they are bound to.

    One cohort at a time has them. What cannot be captured is computed as ever, and the log says so once.
    """

    def __init__(self, device: torch.device, capture: Capture | None = None) -> None:
        self._device = device
        self._capture = capture or on_gpu
        self._lent = threading.Lock()
        self._graphs: Kept[_Captured] = Kept(GRAPHS, lambda key: self._wait())
        self._memory: Kept[tuple[Tensor, ...]] = Kept(LAYOUTS, self._drop_of)
        self._refused: set[Hashable] = set()
        self._pool: Any = None
        give_back_first(self)

    @contextmanager
    def lent(self, wanted: bool) -> Iterator[Captures | None]:
        """Lend this for as long as the context is open; None where it is not wanted, or somebody has it."""
        if not wanted or not self._lent.acquire(blocking=False):
            yield None
            return
        try:
            yield self
        finally:
            self._lent.release()

    def __len__(self) -> int:
        return len(self._graphs)

    def placed(self, layout: Layout, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Give tensors of a stack's layout the place that captured passes know, or the same where there is none."""
        self._memory.met(layout)
        kept = self._memory.get(layout)
        if kept is not None:
            for own, new in zip(kept, tensors, strict=True):
                own.copy_(new)
            return kept
        if self._memory.has_place(layout):
            self._memory.put(layout, tensors)
        return tensors

    def means(self, stack: Stack, given: Given, compute: Compute) -> Tensor:
        """Compute a pass over a stack: its mean losses, and the gradients in the stack."""
        key = (stack.layout, given.shape, left_out())
        often, known = self._graphs.met(key), self._graphs.get(key)
        if known is None and often >= MET and self._may(key, stack):
            known = self._captured(key, stack, given, compute)
        if known is not None:
            return known.again(given)
        try:
            return compute(stack, given.on(self._device))
        except Exception as error:
            if not ran_out(error) or not len(self._graphs):
                raise
        # What the graphs hold may be what is lacking.
        self._forget()
        stack.empty_gradient()
        return compute(stack, given.on(self._device))

    def give_back(self) -> None:
        """Let go of every graph, where no cohort has them."""
        if self._lent.acquire(blocking=False):
            try:
                self._forget()
            finally:
                self._lent.release()

    def _may(self, key: Hashable, stack: Stack) -> bool:
        kept = self._memory.get(stack.layout)
        is_placed = kept is not None and kept[0] is stack.values
        return is_placed and key not in self._refused and self._graphs.has_place(key)

    def _captured(self, key: Hashable, stack: Stack, given: Given, compute: Compute) -> _Captured | None:
        try:
            # The stack as it lies now, for it goes on without those who leave it.
            lying, bound = copy.copy(stack), given.on(self._device)
            self._pool = self._pool or _new_pool(self._device)
            with _capturing:
                replay, means = self._capture(self._device, self._pool, lambda: compute(lying, bound))
            found = _Captured(bound, replay, means)
        except Exception as error:
            lacked = ran_out(error) or (error.__context__ is not None and ran_out(error.__context__))
            said = " ".join(f"{error.__context__ or error}".split())[:200]
        else:
            stack.empty_gradient()
            self._graphs.put(key, found)
            return found
        # Only outside the clause above is nothing of the failed pass held by its traceback any more.
        if not self._refused:
            logging.getLogger(__name__).warning("a pass of shape %s is not captured: %s", given.shape, said)
        self._refused.add(key)
        if lacked:
            self._forget()
        stack.empty_gradient()
        return None

    def _drop_of(self, layout: Hashable) -> None:
        for key in self._graphs.keys:
            if isinstance(key, tuple) and key[0] == layout:
                self._graphs.drop(key)

    def _forget(self) -> None:
        for key in self._graphs.keys:
            self._graphs.drop(key)
        self._pool = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _wait(self) -> None:
        """Wait until nothing that a graph was asked for is under way."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _new_pool(device: torch.device) -> Any:
    return torch.cuda.graph_pool_handle() if device.type == "cuda" else None


def on_gpu(device: torch.device, pool: Any, compute: Callable[[], Tensor]) -> Replayed:
    """Compute once on a stream of its own, so that every library has what it needs, and capture the second time.

    Other threads may use the GPU meanwhile. Raises what the computation raises, and RuntimeError of CUDA.
    """
    with torch.cuda.device(device):
        before, stream = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        graph = torch.cuda.CUDAGraph()
        try:
            stream.wait_stream(before)
            with torch.cuda.stream(stream):
                compute()
            before.wait_stream(stream)
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                means = compute()
        finally:
            # A capture that fails leaves torch on its stream.
            torch.cuda.set_stream(before)
    return graph.replay, means
