"""SuperNodes of this process behind Flower's Grid, for deployed runs with no SuperLink: they come, go, fall silent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from flwr.app import Context, RecordDict
from flwr.proto.node_pb2 import NodeInfo

from fedlora_tui.config import Config, to_toml
from fedlora_tui.engine.deployed import DeployedCourse
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.node.client_app import JOURNAL, POLICY, app
from tests.tiny_runs import WatchedRun


class NodesHere(LocalGrid):
    """What a ServerApp is given, with nodes that answer at once."""

    def __init__(self, config: Config, texts: Path) -> None:
        super().__init__(app)
        self.texts, self._told = texts, to_toml(config)
        self._since: dict[int, str] = {}
        self._keys: dict[int, bytes] = {}
        self.silent: set[int] = set()
        self.fading: set[int] = set()
        """Nodes of which a heartbeat is missing."""

    def connect(self, organization: str, data: str = "", key: bytes = b"", policy: Path | None = None) -> int:
        """Connect the SuperNode of an organization; its text is the file of its name, `key` its public key."""
        node = self._next_node
        self._next_node += 1
        place = str(self.texts / f"{data or organization}.txt")
        own: dict[str, str | int | float | bool] = {"organization": organization, "data": place}
        if policy is not None:
            journal = policy.parent / f"journal of {organization}"
            journal.mkdir()
            own |= {POLICY: str(policy), JOURNAL: str(journal)}
        self._contexts[node] = Context(self.run_id, node, own, RecordDict(), {"config": self._told})
        self._since[node] = f"start {node}"
        self._keys[node] = key
        return node

    def restart(self, node: int, seen: bool) -> None:
        """Let a SuperNode end and begin again under its number: all that it kept is gone."""
        self._contexts[node].state.clear()
        if seen:
            self._since[node] += " again"

    def get_nodes(self):
        return [
            NodeInfo(
                node_id=node,
                last_activated_at=self._since[node],
                public_key=self._keys[node],
                online_until=time.time() + (20 if node in self.fading else 60),
                heartbeat_interval=30,
            )
            for node in self._contexts
        ]

    def push_messages(self, messages):
        sent = list(messages)
        numbers = list(super().push_messages(sent))
        for number, message in zip(numbers, sent, strict=True):
            if message.metadata.dst_node_id in self.silent and message.metadata.message_type == "train":
                del self._replies[number]
        return numbers


def over_nodes(config: Config, grid: NodesHere, **more: Any) -> WatchedRun:
    """A run of these nodes, as a ServerApp goes through it."""
    return WatchedRun(config, course=DeployedCourse(grid), **more)
