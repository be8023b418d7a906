"""The runs folder and a run's own: `runs/<id>/`, and how a RUN on the command line is found."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fedlora_tui.config import Config, load, to_toml
from fedlora_tui.engine import journal, lock
from fedlora_tui.engine.synced import write_synced
from fedlora_tui.errors import UserError

CONFIG = "config.toml"
PARENT = "parent.path"
"""In a fork's folder: where its parent stands, until its own first checkpoint is there."""

FLOWER_RUN = "flower.run"
"""In the folder of a run on a SuperLink: Flower's number of it, by which who submitted it finds the folder."""

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def check_writable(runs: Path) -> None:
    """Make sure that a run's folder can be made there. Raises UserError."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f'runs.dir = "{runs}": cannot be made: {error.strerror}; name another with --runs-dir'
        ) from None
    if not os.access(runs, os.W_OK | os.X_OK):
        raise UserError(f'runs.dir = "{runs}": not writable; name another with --runs-dir')


def create(runs: Path, name: str, now: float) -> Path:
    """Make a new run's folder, named by date, time and a suffix that no other run of that minute has."""
    runs = _without_detours(runs)
    stamp = time.strftime("%m%d-%H%M", time.localtime(now))
    attempt = 1
    while True:
        suffix = (name if attempt == 1 else f"{name}-{attempt}") if name else letters()
        folder = runs / f"{stamp}-{suffix}"
        try:
            folder.mkdir()
        except FileExistsError:
            attempt += 1
            continue
        except OSError as error:
            raise UserError(f'runs.dir = "{runs}": {error.strerror}; name another with --runs-dir') from None
        (folder / "exports").mkdir()
        return folder


def letters() -> str:
    """Give three random letters for a run's id."""
    return "".join(secrets.choice(ALPHABET) for _ in range(3))


def write_config(folder: Path, config: Config) -> None:
    """Keep the resolved configuration beside the journal."""
    # After a power loss an empty one would be read as a run of the defaults.
    write_synced(folder / CONFIG, to_toml(config).encode())


def read_config(folder: Path) -> Config:
    """Read the configuration of a run. Raises UserError."""
    return load(folder / CONFIG)


def write_parent(folder: Path, parent: Path) -> None:
    """Say in a fork's folder where its parent stands, where that is not beside it."""
    if parent.absolute().parent != folder.absolute().parent:
        write_synced(folder / PARENT, f"{parent.absolute()}\n".encode())


def parent_place(folder: Path, parent: str) -> Path:
    """Give the folder of a fork's parent by the parent's id: beside it, unless its own folder says where."""
    try:
        return Path((folder / PARENT).read_text(encoding="utf-8").rstrip("\n"))
    except (OSError, UnicodeDecodeError):
        return folder.parent / parent


def find(runs: Path, run: str | None) -> Path:
    """Give the folder of a run by id or path; the newest by start time when None. Raises UserError."""
    runs = _without_detours(runs)
    if run is not None:
        for folder in _places(runs, run):
            if _has_journal(folder):
                # A run is told by its folder's name, which `.` would not be.
                return folder.resolve() if folder.name == "" else _without_detours(folder)
        raise UserError(f"{run}: no such run in {runs}{_known(runs)}")
    started = sorted(all_runs(runs), key=started_at)
    if not started:
        raise UserError(f"{runs}: no run here yet; start one with fedlora-tui, or name the folder with --runs-dir")
    return started[-1]


def _without_detours(runs: Path) -> Path:
    """Give a folder that is reached by way of another (`../server/runs`) as what it is, as it is told and typed."""
    return runs.resolve() if ".." in runs.parts else runs


def _places(runs: Path, run: str) -> Iterator[Path]:
    """Give where a run may be: its id in the runs folder, or a path, as far as its user's home can be found."""
    yield runs / run
    with suppress(RuntimeError):
        yield Path(run).expanduser()


def _has_journal(folder: Path) -> bool:
    try:
        return (folder / journal.NAME).is_file()
    except (OSError, ValueError):
        # No name of a file can be that long, or hold that.
        return False


def all_runs(runs: Path) -> list[Path]:
    """Give the folders below that hold a journal."""
    return [entry.parent for entry in runs.glob(f"*/{journal.NAME}")]


def started_at(folder: Path) -> float:
    """Give when a run began, from its first event; of one that waits for its first, since when it does."""
    try:
        return next(iter(journal.read(folder))).t
    except StopIteration:
        return waits_since(folder) or 0.0
    except (ValueError, OSError, UserError):
        return 0.0


def waits_since(folder: Path) -> float | None:
    """Give since when a run waits for organizations to begin with, None where no process does so there."""
    who = lock.holder(folder) if lock.held(folder) else None
    return who.since if who is not None else None


def _known(runs: Path) -> str:
    names = [folder.name for folder in sorted(all_runs(runs), key=started_at)][-5:]
    return f"; there are {', '.join(names)}" if names else "; it has no runs"
