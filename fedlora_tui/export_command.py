"""`fedlora-tui export`: a finished round's adapter out of a run's folder, with no run in this process."""

from __future__ import annotations

from pathlib import Path

from fedlora_tui.config import to_mapping
from fedlora_tui.engine.folder import find, read_config
from fedlora_tui.protocol.commands import Export


def export(runs: Path, run: str | None, round: str, org: str | None, merged: bool, out: str) -> Path:
    """Write the export and give its folder. Raises UserError where run, round or organization are not there."""
    folder = find(runs, run)
    config = read_config(folder)
    from fedlora_tui.engine.exports import chosen_round, settings_of, write
    from fedlora_tui.lora.base_model import load as load_base

    chosen_round(folder, round)
    base = load_base(config.model, config.lora)
    written = write(folder, Export(round, merged, out, org or ""), base, settings_of(to_mapping(config)))
    return Path(written.path)
