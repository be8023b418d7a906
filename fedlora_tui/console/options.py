"""How the console looks and behaves, as plain values that the caller chose."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

LOCAL_HZ = 4.0
REMOTE_HZ = 2.0
SHARE = 0.01
"""Of all processors' time, what showing steps may take where nobody said how often they are painted."""


@dataclass(frozen=True)
class ConsoleOptions:
    """What the caller may set; every field has a sane default.

    `run` and `model` are shown until the run itself has told its own, `configuration` (the name of its file) while it
    starts. `runs_folder` is where the folders of runs stand, empty where nobody knows. `refresh_hz` is how often steps
    and states are painted, None for at most 4 a second here and 2 over SSH, and fewer where `spares` says that the run
    needs the processors. `theme` is `dark` or `light`. `prompts` are texts
    of the operator's own that are ready to be tried. `keys` are of actions that have others than the registry's, as
    `[console.keys]` writes them.
    """

    run: str = ""
    runs_folder: str = ""
    model: str = ""
    configuration: str = "config.toml"
    refresh_hz: float | None = None
    theme: str = "dark"
    bell: bool = True
    ascii: bool = False
    prompts: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    spares: bool = False

    def seconds_between_paints(self, environment: Mapping[str, str] = os.environ) -> float:
        """Give the pace of steps and states in seconds."""
        if self.refresh_hz is not None:
            return 1.0 / self.refresh_hz
        return 1.0 / (REMOTE_HZ if environment.get("SSH_CONNECTION") else LOCAL_HZ)

    def allowance(self) -> float:
        """Give the processor time, in seconds a second, that showing steps may take; 0 where nothing limits it."""
        return SHARE * (os.cpu_count() or 1) if self.spares and self.refresh_hz is None else 0.0
