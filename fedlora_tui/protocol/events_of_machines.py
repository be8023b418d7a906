"""What is told of organizations on machines of their own: how they are connected, and who was refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedlora_tui.protocol.event import Event


@dataclass(frozen=True)
class Deployed(Event):
    """The run's organizations are on machines of their own. `insecure` says what protection is lacking; empty: none is.

    Told anew where a run goes on, for what holds from then on.
    """

    type: ClassVar[str] = "deployed"
    insecure: str = ""


@dataclass(frozen=True)
class NodeRefused(Event):
    """A node was refused at the SuperLink, or by the run as it said who it is, `times` times since that was last told.

    `address` is where it asked from, empty where the run refused it, which does not know; `key` the fingerprint of its
    key as `ssh-keygen -l` shows it, empty where it gave none that can be read; `whose` the organization whose key the
    server's folder says or said that it is, empty where it never did.
    """

    type: ClassVar[str] = "node_refused"
    reason: str
    address: str
    key: str
    times: int
    whose: str = ""
