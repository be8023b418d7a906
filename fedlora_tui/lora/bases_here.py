"""Which bases lie on this disk already: folders that transformers saved, .gguf files, the hub's cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEPTH = 2
"""How many folders deep bases are looked for: `./tiny` and `./models/tiny`."""

MOST_ENTRIES = 2_000
"""Entries of folders that are looked at, at most: nobody waits for a disk that is full of files."""

FOLDER, GGUF, CACHE = "folder", ".gguf file", "in the hub cache"


@dataclass(frozen=True)
class BaseHere:
    """One base on this disk: what `model.base` calls it, what kind it is of, and the bytes of its weights."""

    name: str
    kind: str
    bytes: int


def bases_below(folder: Path) -> list[BaseHere]:
    """Give the bases in a folder and its sub-folders by name, as `model.base` would name them from there."""
    return sorted(_below(folder, folder), key=lambda base: base.name)


def cached_bases() -> list[BaseHere]:
    """Give the models in the hub's cache by name; none where there is no cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = [repo for repo in scan_cache_dir().repos if repo.repo_type == "model"]
    except CacheNotFound:
        return []
    bases = [BaseHere(repo.repo_id, CACHE, repo.size_on_disk) for repo in found if repo.size_on_disk]
    return sorted(bases, key=lambda base: base.name)


def weights(folder: Path) -> list[Path]:
    """Give the files of weights in a folder, in the first format there is that transformers takes."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))


def _below(start: Path, folder: Path) -> Iterator[BaseHere]:
    entries = MOST_ENTRIES
    pending = [(folder, 0)]
    while pending:
        here, depth = pending.pop(0)
        try:
            children = sorted(path for path in here.iterdir() if not path.name.startswith("."))
        except OSError:
            continue
        for child in children:
            entries -= 1
            if entries < 0:
                return
            base = _base(child, f"./{child.relative_to(start).as_posix()}")
            if base is not None:
                yield base
            elif depth + 1 < DEPTH and child.is_dir():
                pending.append((child, depth + 1))


def _base(path: Path, name: str) -> BaseHere | None:
    try:
        if path.suffix == ".gguf" and path.is_file():
            return BaseHere(name, GGUF, path.stat().st_size)
        if path.is_dir() and (path / "config.json").is_file() and (files := weights(path)):
            return BaseHere(name, FOLDER, sum(file.stat().st_size for file in files))
    except OSError:
        return None
    return None
