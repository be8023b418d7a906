"""Folders that are there whole or not at all: written aside by one process at a time, synced, put into their place."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fedlora_tui.engine import lock
from fedlora_tui.engine.lock import Lock
from fedlora_tui.engine.synced import sync, sync_names, sync_new
from fedlora_tui.errors import UserError

TURN_SECONDS = 600.0
"""How long a writer waits for another one of the same folder: one whose process is gone holds up nobody."""

PART = ".part"
WITHIN = ".export.part"
"""What the folder aside is called inside its place, where there can be none beside it; beside it `.NAME.part`."""

NEW, OLD, TAKEN, GIVEN = "new", "old", "taken", "given"
"""What stands in the folder aside, beside its lock: what is being written, and once that is whole, what it replaces.

The latter is `old` where the folder was moved away as it was. Where it has to stay, its files are `taken` out of it one
by one, and `given` from when all are: from then on the new ones are put in.
"""


@dataclass(frozen=True)
class Kind:
    """What is written: which names are its own in its folder, and which file comes last and says that it is whole."""

    owns: Callable[[str], bool]
    last: str


@contextmanager
def written_whole(place: Path, kind: Kind) -> Iterator[Path]:
    """Give a new folder to write into, which is put into its place when the block ends without an error.

    Whoever writes the same place has the turn before or after. Files there that are not of this kind stay. Raises
    OSError, and UserError where the turn does not come.
    """
    real = Path(os.path.realpath(place))
    missing = sum(not folder.exists() for folder in real.parents)
    aside = _aside(real)
    with _turn(aside, place):
        _settle(aside, real, kind.last)
        try:
            new = aside / NEW
            new.mkdir()
            yield new
            sync_new(new)
            sync_names(aside)
            _put(aside, real, kind)
            sync_names(real, max(2, missing + 1))
        finally:
            _settle(aside, real, kind.last)


def end_what_was_cut_off(folder: Path, last: str) -> None:
    """Bring to an end, or take back, what processes that are gone were writing in a folder."""
    for aside in sorted(folder.glob(f".*{PART}")):
        with suppress(OSError):
            turn = None if lock.held(aside) else _taken_turn(aside)
            if turn is not None:
                try:
                    _settle(aside, folder / aside.name[1 : -len(PART)], last)
                finally:
                    _leave(aside, turn)


def _aside(place: Path) -> Path:
    stays = place.is_dir() and (place.is_mount() or not os.access(place.parent, os.W_OK | os.X_OK))
    return place / WITHIN if stays else place.with_name(f".{place.name}{PART}")


@contextmanager
def _turn(aside: Path, place: Path) -> Iterator[None]:
    """Hold the right to write a place, by a lock in the folder aside, which is gone afterwards."""
    until = time.monotonic() + TURN_SECONDS
    while (turn := _taken_turn(aside)) is None:
        if time.monotonic() >= until:
            who = lock.holder(aside)
            by = who.words if who is not None else "another process"
            raise UserError(
                f"{place}: is being written by {by}; try again when that is done, or name another folder with --out"
            )
        time.sleep(lock.BETWEEN)
    try:
        yield
    finally:
        _leave(aside, turn)


def _taken_turn(aside: Path) -> Lock | None:
    """Take the lock of a folder aside, which is made for it; None where another has it, or had it until now."""
    aside.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        aside.mkdir()
    try:
        turn = Lock(aside)
    except (UserError, FileNotFoundError):
        return None
    # Who had the turn removes the lock: one that was opened before that keeps nobody out.
    if turn.stands:
        return turn
    turn.close()
    return None


def _leave(aside: Path, turn: Lock) -> None:
    with suppress(OSError):
        (aside / lock.NAME).unlink()
        # It stays where the next one has its lock in it already, or where something is left to be settled.
        aside.rmdir()
    turn.close()


def _settle(aside: Path, place: Path, last: str) -> None:
    """Make a place whole, whenever its writer was cut off, and remove what stands aside."""
    new = aside / NEW
    if place.is_dir():
        if (aside / TAKEN).is_dir():
            _move((aside / TAKEN).iterdir(), place, last)
            sync_names(place)
        elif (aside / GIVEN).is_dir() and new.is_dir():
            _move(new.iterdir(), place, last)
            sync_names(place)
    elif (aside / OLD).is_dir() and new.is_dir():
        _succeed(aside, place)
        sync_names(place)
    for name in (OLD, GIVEN, TAKEN, NEW):
        shutil.rmtree(aside / name, ignore_errors=True)


def _put(aside: Path, place: Path, kind: Kind) -> None:
    """Put what is whole into its place, by one name where that can be."""
    new = aside / NEW
    if not place.exists():
        new.rename(place)
    elif not _may_be_moved(aside, place, kind) or not _swapped(aside, place):
        _put_in(aside, place, kind)


def _may_be_moved(aside: Path, place: Path, kind: Kind) -> bool:
    """Tell whether a folder may give way to another: not where it holds what stays, or where somebody stands in it."""
    if aside.parent == place or _is_current(place):
        return False
    return all(_goes(entry, aside, kind) for entry in place.iterdir())


def _is_current(place: Path) -> bool:
    try:
        return place.samefile(os.curdir)
    except FileNotFoundError:
        # The folder in which this process was started is there no more.
        return False


def _goes(entry: Path, aside: Path, kind: Kind) -> bool:
    return kind.owns(entry.name) or (aside / NEW / entry.name).exists()


def _swapped(aside: Path, place: Path) -> bool:
    """Move a folder away and the new one into its place; False where the system does not let it be moved."""
    try:
        place.rename(aside / OLD)
    except OSError:
        return False
    try:
        _succeed(aside, place)
    except OSError:
        (aside / OLD).rename(place)
        raise
    return True


def _succeed(aside: Path, place: Path) -> None:
    """Put the new folder where the old one was, as open to others as that."""
    shutil.copymode(aside / OLD, aside / NEW)
    (aside / NEW).rename(place)


def _put_in(aside: Path, place: Path, kind: Kind) -> None:
    """Exchange the files of a folder that stays; what says that it is whole goes first, and comes last."""
    taken = aside / TAKEN
    taken.mkdir()
    sync(aside)
    going = [entry for entry in place.iterdir() if _goes(entry, aside, kind)]
    _move([entry for entry in going if entry.name == kind.last], taken, kind.last)
    _move([entry for entry in going if entry.name != kind.last], taken, kind.last)
    # What is in neither folder after a power loss is lost; what is in both is put back.
    sync(taken)
    sync(place)
    taken.rename(aside / GIVEN)
    sync(aside)
    _move((aside / NEW).iterdir(), place, kind.last)


def _move(entries: Iterable[Path], folder: Path, last: str) -> None:
    for entry in sorted(entries, key=lambda entry: (entry.name == last, entry.name)):
        target = folder / entry.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        entry.replace(target)
