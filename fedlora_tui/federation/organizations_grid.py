"""What a run needs of a grid: who is which node, messages, and what an organization keeps where that is here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from flwr.app import Message, RecordDict


class OrganizationsGrid(Protocol):
    """Organizations as nodes, in this process or on machines of their own."""

    def join(self, organization: str) -> int:
        """Give the node that an organization is from now on."""

    def leave(self, node: int) -> None:
        """Let a node go."""

    def state(self, node: int) -> RecordDict:
        """Give what an organization of this process keeps for itself."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages, wait, and give the replies that came."""
