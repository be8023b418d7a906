"""Organizations whose text lies elsewhere than the others': in a folder or a file of its own, or in a dataset.

Where that is is one line, as `data.joined` has it: `folder:/data/clinic` (all text below a folder, or a file) or
`hub:user/name` (all rows of a dataset).
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath

from fedlora_tui.config import DataConfig
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.folder import KINDS, Listing, name_organizations
from fedlora_tui.organizations.formats import kind_of, read_file, stem_of
from fedlora_tui.organizations.hub import open_whole
from fedlora_tui.organizations.passages import LONGEST_NAME, Passage, gather
from fedlora_tui.organizations.source import Source, fields_of, most_of
from fedlora_tui.organizations.text import Documents
from fedlora_tui.place import look

FOLDER, HUB = "folder:", "hub:"
MOST_NAMED = 6
LOOKED_AT = 64
"""How many free names of a source are looked at for one that begins as asked: more than there are trades."""


def documents(place: str, data: DataConfig) -> Documents:
    """Read all text at a place. Raises UserError where there is none to be had."""
    if place.startswith(HUB):
        return gather(open_whole(place.removeprefix(HUB), data.subset, data.split, fields_of(data)), most_of(data))
    files = _files(Path(place.removeprefix(FOLDER)).expanduser())
    return gather(_passages(files, data), most_of(data))


def _passages(files: Collection[Path], data: DataConfig) -> Iterator[Passage]:
    for file in files:
        yield from read_file(file, fields_of(data))


def in_folder(path: str, each: bool, places: Collection[str], taken: Collection[str]) -> tuple[str, str]:
    """Give the name and the place of an organization whose text is a folder's or a file's.

    With `each` it is the first file or sub-folder there that is neither one of the `places` that are known nor of a
    name that is taken. Raises UserError where there is none.
    """
    found = look(path, f"cannot look at {path!r}", "name a folder or a file that can be read")
    if not found.exists:
        raise UserError(f"no such folder or file: {str(found.path)!r}")
    whole = found.path.expanduser().absolute()
    if not each:
        if not _files(whole):
            raise UserError(f"{str(found.path)!r} holds no {KINDS} file")
        return shown_name(whole.name if found.is_folder else stem_of(whole)), f"{FOLDER}{whole}"
    entries = _entries(whole)
    by_files = {files: entry for entry, files in entries.items()}
    named = {name: f"{FOLDER}{by_files[files]}" for name, files in name_organizations(entries).items()}
    free = ((name, place) for name, place in named.items() if place not in places and name not in taken)
    one = next(free, None)
    if one is None:
        raise UserError(
            f"all {len(named)} of {str(found.path)!r} are here"
            if named
            else f"{str(found.path)!r} holds no {KINDS} file"
        )
    return one


def in_hub(path: str) -> tuple[str, str]:
    """Give the name and the place of an organization whose text is a dataset's. Raises UserError without the extra.

    Whether there is such a dataset is found out when its text is read.
    """
    if importlib.util.find_spec("datasets") is None:
        raise UserError(f"{path}: a dataset needs one more package: pip install 'fedlora-tui[hub]'")
    return shown_name(PurePath(path).name), f"{HUB}{path}"


def shown_name(name: str) -> str:
    """Give a name that can be shown. Raises UserError for one that cannot."""
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise UserError(f"{name[:LONGEST_NAME]!a} cannot be an organization's name: give it another one")
    return name


def alike(source: Source, like: str, taken: Collection[str]) -> str:
    """Give the first free name of a source that begins so. Raises UserError that names some that there are."""
    seen, passed = set(taken), []
    for _ in range(len(seen) + LOOKED_AT):
        name = source.another(seen)
        if name is None:
            break
        if name.startswith(like):
            return name
        seen.add(name)
        passed.append(name)
    if not passed:
        raise UserError(source.names_left_reason())
    some = ", ".join(passed[:MOST_NAMED]) + (", ..." if len(passed) > MOST_NAMED else "")
    raise UserError(f"nobody who could join is called {like[:LONGEST_NAME]!a}: there are {some}")


def _files(path: Path) -> tuple[Path, ...]:
    if not path.is_dir():
        return (path,) if path.is_file() and kind_of(path) is not None else ()
    listing = Listing(path.resolve(), Counter())
    files = listing.below(path)
    listing.refuse_faults()
    return files


def _entries(folder: Path) -> dict[Path, tuple[Path, ...]]:
    if not folder.is_dir():
        return {folder: (folder,)} if _files(folder) else {}
    listing = Listing(folder.resolve(), Counter())
    entries: dict[Path, tuple[Path, ...]] = {file: (file,) for file in listing.files(folder)}
    entries |= {place: files for place in listing.folders(folder) if (files := listing.below(place))}
    listing.refuse_faults()
    return entries
