"""Where the folder of the run in front stands, as this console can reach it."""

from __future__ import annotations

from pathlib import Path

from fedlora_tui.console.view import View


def folder_of(view: View) -> Path:
    """Give the folder of the run in front."""
    started = view.state.started
    folder = Path(started.folder) if started is not None and started.folder else Path(view.run)
    if view.runs_folder and (Path(view.runs_folder) / folder.name).is_dir():
        # A run may have been started from another folder than the one in which this console stands.
        return Path(view.runs_folder) / folder.name
    return folder
