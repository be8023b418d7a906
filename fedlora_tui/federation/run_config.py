"""The keys of a Flower run's own configuration, and what its ServerApp says in Flower's log to who submitted it."""

from __future__ import annotations

CONFIG = "config"
"""A whole config.toml, as text."""

CONTINUES = "continues"
"""The folder of a run to go on with, where the ServerApp runs."""

FORK, FORK_ROUND = "fork", "fork-round"
"""The folder of a run to begin with, and the round of it."""

SAID = "fedlora-tui: "
"""What our own lines in Flower's log of a run begin with."""

IN_FOLDER = f"{SAID}run in "
"""The line that says where the run's folder is, where the ServerApp runs."""
