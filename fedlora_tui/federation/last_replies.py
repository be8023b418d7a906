"""The newest reply of each organization, kept in memory for those who want to try it, as far as there is room."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.delta import BaseDelta

MOST_BYTES = 64 * 2**20
"""What the adapters of replies may weigh together; those that came first are let go of first."""


@dataclass(frozen=True)
class LastReply:
    """The adapter that an organization sent in a round, and what had joined the base that it was trained on."""

    round: int
    adapter: Adapter
    delta: BaseDelta


class LastReplies:
    """What each organization sent last; the one that is wanted stays whatever it weighs. For any thread."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._wanted = ""
        self._replies: dict[str, LastReply] = {}
        self._lock = threading.Lock()

    def keep(self, organization: str, reply: LastReply, *, others: bool = True) -> None:
        """Keep a reply in place of the one before; where there is no room for `others`, only the one that is wanted."""
        most = self._most if others else 0
        with self._lock:
            self._replies.pop(organization, None)
            self._replies[organization] = reply
            left = sum(map(_bytes, self._replies.values()))
            for name in [name for name in self._replies if name != self._wanted]:
                if left <= most:
                    return
                left -= _bytes(self._replies.pop(name))

    def wanted(self, organization: str) -> LastReply | None:
        """Give an organization's last reply, None where there is none here; from now on it is kept first of all."""
        with self._lock:
            self._wanted = organization
            return self._replies.get(organization)

    def forget(self, organization: str) -> None:
        """Let go of an organization's reply."""
        with self._lock:
            self._replies.pop(organization, None)


def _bytes(reply: LastReply) -> int:
    return reply.adapter.parameters * next(iter(reply.adapter.factors.values())).a.element_size()
