"""What nodes show of themselves while a reply is waited for: who was started anew and will not send it, who is silent,
and who is gone.

Flower answers for a node once two of its heartbeats are missing, and not where the node is back by then: the new
process knows nothing of what the one before was asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from flwr.proto.node_pb2 import NodeInfo

LOOK_SECONDS = 2.0
"""How long lies between two looks at the signs of life of those who are waited for."""


@dataclass(frozen=True)
class Signs:
    """Who began anew since a message was sent, who is gone, until when (epoch) each that is silent is waited for."""

    anew: frozenset[int] = frozenset()
    gone: frozenset[int] = frozenset()
    silent: dict[int, float] = field(default_factory=dict)


class SignsOfLife:
    """Watches the nodes that a message was sent to."""

    def __init__(self, nodes: Callable[[], Iterable[NodeInfo]], clock: Callable[[], float] = time.time) -> None:
        """Look at the nodes that are connected before the message is sent; `clock` is the epoch's."""
        self._nodes, self._clock = nodes, clock
        self._begun = {node.node_id: node.last_activated_at for node in self._here()}
        self._looked = clock()

    def begin(self, nodes: Collection[int]) -> None:
        """Know that these were sent a message just now."""
        self._begun |= {node.node_id: node.last_activated_at for node in self._here() if node.node_id in nodes}

    def look(self, waited: Collection[int]) -> Signs | None:
        """Look at those who are waited for; None where the last look was just now."""
        now = self._clock()
        if 0.0 <= now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        here = [node for node in self._here() if node.node_id in waited]
        began = {node.node_id: node.last_activated_at for node in here}
        anew = (node for node, since in began.items() if since != self._begun.get(node, since))
        # A node that is well shows itself about twice as often as it has to.
        late = (node for node in here if 0.0 < node.online_until - now < node.heartbeat_interval)
        gone = frozenset(self._begun.keys() & set(waited)) - began.keys()
        return Signs(frozenset(anew), gone, {node.node_id: node.online_until for node in late})

    def _here(self) -> list[NodeInfo]:
        try:
            return list(self._nodes())
        except NotImplementedError:
            return []
