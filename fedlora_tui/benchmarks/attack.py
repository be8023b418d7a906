"""Organizations that send wrong updates on purpose, in a run of this process.

An attacker controls its whole reply, and a reply holds factors: so what it makes larger or turns around is its change
of the factors, A and B, from the adapter that it was sent. Of the product the part that is linear in that change grows
with the number, and the rest with its square.

It happens where replies leave the organizations, at Flower's Grid: all that comes after, the check of what may travel
first, is the run's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from fedlora_tui.federation.client_app import HELD
from fedlora_tui.federation.faults import moved
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import ARRAYS

Tensors = Mapping[str, NDArray[np.float32]]
"""An adapter's factors, or those of them that travel, by name."""


@dataclass(frozen=True)
class Attack:
    """What attackers send: their own change of the factors `times` over, or (`equal`) all of them the first one's."""

    times: float = 1.0
    equal: bool = False

    def poisoned(self, sent: Sequence[Tensors], trained: Sequence[Tensors]) -> list[dict[str, NDArray[np.float32]]]:
        """Give the attackers' replies from what each was sent, x0, and trained, x: x0 + times (x - x0).

        `sent` may hold more than travels, and factors of a higher rank, of which an attacker trained the first part.
        """
        found = []
        for own, x0 in enumerate(sent):
            whose = 0 if self.equal else own
            found.append(
                {name: moved(x0[name], self.times, sent[whose][name], trained[whose][name]) for name in trained[own]}
            )
        return found


@dataclass
class Attackers:
    """The named organizations of this process while they are `at_work`; `sent` counts their poisoned replies."""

    names: Collection[str]
    attack: Attack
    sent: int = 0
    _nodes: set[int] = field(default_factory=set)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Poison what these organizations answer to train messages, in one run that begins from now on."""
        join, exchange = LocalGrid.join, LocalGrid.send_and_receive

        def joined(grid: LocalGrid, organization: str) -> int:
            node = join(grid, organization)
            if organization in self.names:
                self._nodes.add(node)
            return node

        def exchanged(grid: LocalGrid, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
            replies = list(exchange(grid, messages, timeout=timeout))
            self._poison(grid, [reply for reply in replies if reply.metadata.src_node_id in self._nodes])
            return replies

        with patch.object(LocalGrid, "join", joined), patch.object(LocalGrid, "send_and_receive", exchanged):
            yield

    def _poison(self, grid: LocalGrid, replies: Sequence[Any]) -> None:
        """Put what attackers send in the place of what they trained; what they measured stays."""
        own = [reply for reply in replies if reply.has_content() and ARRAYS in reply.content]
        sent = [_tensors(grid.state(reply.metadata.src_node_id)[HELD]) for reply in own]
        trained = [_tensors(reply.content[ARRAYS]) for reply in own]
        for reply, tensors in zip(own, self.attack.poisoned(sent, trained), strict=True):
            record = reply.content[ARRAYS]
            for name, tensor in tensors.items():
                # Flower's own kind of array; only `federation` imports it.
                record[name] = type(record[name])(np.ascontiguousarray(tensor))
        self.sent += len(own)


def _tensors(record: Any) -> dict[str, NDArray[np.float32]]:
    return {name: array.numpy() for name, array in record.items()}
