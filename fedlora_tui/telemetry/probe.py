"""The Probe: one look at the machine, whatever it has."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

from fedlora_tui.protocol.events import Telemetry
from fedlora_tui.telemetry import nvml


class Probe:
    """Looks at this process, at the disk of its run and at the GPUs; what has no source is None."""

    def __init__(self, folder: Path | None = None, ours: nvml.OursInBytes = lambda index: None) -> None:
        self.folder = folder
        self._ours = ours
        self._gpus = nvml.visible()
        self._process = psutil.Process()
        self._cpus = os.cpu_count() or 1
        # The first reading of a processor share is meaningless: it has no interval behind it.
        self._process.cpu_percent()

    def look(self) -> Telemetry:
        """Read everything once."""
        return Telemetry(
            # Over a short interval the two clocks behind it disagree, and the share can pass the whole.
            cpu=min(1.0, self._process.cpu_percent() / 100 / self._cpus),
            cpus=self._cpus,
            memory_process=int(self._process.memory_info().rss),
            memory_total=int(psutil.virtual_memory().total),
            disk_free=self._disk_free(),
            disk_run=self._disk_run(),
            gpus=tuple(nvml.look(index, handle, self._ours) for index, handle in self._gpus),
        )

    def _disk_free(self) -> int | None:
        try:
            return int(psutil.disk_usage(str(self.folder)).free) if self.folder else None
        except OSError:
            return None

    def _disk_run(self) -> int | None:
        try:
            return _bytes_below(self.folder) if self.folder and self.folder.is_dir() else None
        except OSError:
            return None


def _bytes_below(folder: Path) -> int:
    """Add up a folder's files; one that is renamed or removed while they are gone through is left out."""
    size = 0
    for home, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                size += Path(home, file).stat().st_size
    return size
