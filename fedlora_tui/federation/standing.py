"""How a SuperLink was started, as a run that it starts can know it: what protection it lacks, whom it refused, whose
each key is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fedlora_tui.federation import refusals
from fedlora_tui.federation.refusals import Refusal
from fedlora_tui.federation.roll import read_keys

STANDING = "FEDLORA_TUI_SUPERLINK"
"""The environment variable in which a SuperLink that we start says how; one of the two below."""
AUTHENTICATED, INSECURE = "authenticated", "insecure"
NODES = "FEDLORA_TUI_NODES"
"""The environment variable in which it says where the folder of public keys is."""

HOLDS_FOR_FLOWER = "1.41"
"""The one private touch below (`_insecure`) was checked against this release."""

NO_TLS = "no TLS, any node is let in"
NOT_OURS = "not started by fedlora-tui deploy superlink: whoever reaches it may take part"


def lacking(grid: Any) -> str:
    """Say what protection a ServerApp's grid lacks; empty where nothing, or where no network is in between.

    Flower tells its apps nothing of it but by `_insecure`, a private field of the grid of a deployment.
    """
    insecure = getattr(grid, "_insecure", None)
    if insecure is None:
        return ""
    if insecure:
        return NO_TLS
    return "" if os.environ.get(STANDING) == AUTHENTICATED else NOT_OURS


def refused() -> list[Refusal]:
    """Give who was refused at the door so far; nobody where the SuperLink has none."""
    file = os.environ.get(refusals.FILE)
    return refusals.read(Path(file)) if file else []


def owners() -> dict[bytes, str]:
    """Give the organization of each public key (PEM) that is let in; none where the SuperLink keeps no roll of ours."""
    folder = os.environ.get(NODES)
    return read_keys(Path(folder)) if folder else {}
