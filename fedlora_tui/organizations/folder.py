"""A folder of the user's own text: each file or sub-folder an organization, found, named and checked.

No message here quotes any text, not even a header of a table: only file names, line numbers and counts.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.formats import READERS, kind_of, read_file, stem_of
from fedlora_tui.organizations.passages import Fields, Passage, gather
from fedlora_tui.organizations.text import EMPTY, Documents
from fedlora_tui.place import look

KINDS = ", ".join(READERS)
MOST_FAULTS = 4

UNREAD, DANGLING, LINKED, NO_FILE = (
    "of kinds that are not read",
    "links that lead nowhere",
    "links to folders that are read anyway",
    "no files",
)


@dataclass(frozen=True)
class FolderSource:
    """The source "folder": its organizations are the files and sub-folders that hold text, in the order of their names.

    The folder is listed once, so that a file that appears during a run renames nothing. An organization keeps `most`
    bytes of text.
    """

    folder: Path
    fields: Fields
    files: Mapping[str, tuple[Path, ...]]
    most: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str, fields: Fields, most: int) -> FolderSource:
        """List the folder; one that is missing, is not a folder, or holds no such file is a UserError."""
        if not path.strip():
            raise UserError(
                f'data.path is empty, and data.source = "folder" needs one: name a folder with {KINDS} files'
            )
        folder = find_folder(path)
        left_out: Counter[str] = Counter()
        listing = Listing(folder.resolve(), left_out)
        entries: dict[Path, tuple[Path, ...]] = {file: (file,) for file in listing.files(folder)}
        entries |= {place: files for place in listing.folders(folder) if (files := listing.below(place))}
        listing.refuse_faults()
        if not entries:
            raise UserError(f"data.path: {str(folder)!r} holds no {KINDS} file; put one in for each organization")
        return cls(folder, fields, name_organizations(entries), most, left_out)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The organizations whose files hold any text; no such file is a UserError."""
        names = tuple(name for name in self.files if name not in self._silent)
        if not names:
            count = sum(map(len, self.files.values()))
            raise UserError(
                f"data.path: no usable text in the {count} file(s) of {str(self.folder)!r}; .txt and .md have "
                f"documents between blank lines, .jsonl, .csv and .parquet have them in {self.fields.wanted} "
                f"({'data.prompt_field, data.response_field' if self.fields.prompt else 'data.text_field'})"
            )
        return names

    @property
    def passed_over(self) -> Mapping[str, Mapping[str, int]]:
        """What is no organization for it holds no text, or for nothing here reads it, counted by reason."""
        unread = {f"the rest of {self.folder.name!r}": self.left_out} if self.left_out else {}
        return dict(self._silent) | unread

    @cached_property
    def _silent(self) -> Mapping[str, Mapping[str, int]]:
        found = {name: self._without_text(files) for name, files in self.files.items()}
        return {name: dropped for name, dropped in found.items() if dropped is not None}

    def first(self, count: int | None) -> tuple[str, ...]:
        """All organizations, or the first `count` by name; fewer than that are a UserError."""
        if count is not None and len(self.names) < count:
            raise UserError(
                f"federation.organizations = {count}, but {str(self.folder)!r} has {len(self.names)} file(s) that hold "
                f"text; set it to {len(self.names)} at most or add files"
            )
        return self.names[:count]

    def another(self, taken: Collection[str]) -> str | None:
        """The first organization by name that is not taken."""
        return next((name for name in self.names if name not in taken), None)

    def documents(self, name: str) -> Documents:
        """The text of one organization's files, up to what it may keep."""
        if name not in self.files:
            raise UserError(f"no file in {str(self.folder)!r} belongs to an organization called {name!r}")
        return gather(self._passages(self.files[name]), self.most)

    def names_left_reason(self) -> str:
        """Every file that holds text is an organization already."""
        count = len(self.names)
        kind = "folder" if any(len(self.files[name]) > 1 for name in self.names) else "file"
        return f"the only {kind} is here" if count == 1 else f"all {count} {kind}s are here"

    def _without_text(self, files: tuple[Path, ...]) -> Mapping[str, int] | None:
        """Counts of what was dropped where nothing else is there, None where a text is."""
        dropped: Counter[str] = Counter()
        for passage in self._passages(files):
            if passage.document is not None:
                return None
            dropped[passage.reason] += 1
        return dropped or {EMPTY: len(files)}

    def _passages(self, files: tuple[Path, ...]) -> Iterator[Passage]:
        for file in files:
            yield from read_file(file, self.fields)


def find_folder(path: str) -> Path:
    """The folder that `data.path` names; where there is none, a UserError."""
    place = look(path, f"data.path: cannot look at {path!r}", "name a folder that can be read")
    folder = place.path
    if not place.exists:
        raise UserError(f"data.path: no such folder: {str(folder)!r}; name one that holds {KINDS} files")
    if not place.is_folder:
        raise UserError(f"data.path: {str(folder)!r} is not a folder; name the folder that the file lies in")
    return folder


@dataclass(frozen=True)
class Listing:
    """What lies below a folder, `root`; what is not taken is counted in `left_out` by the reason, but hidden files.

    What a user has to put right is gathered in `faults`, so that all of it is told at once.
    """

    root: Path
    left_out: Counter[str]
    faults: list[str] = field(default_factory=list)

    def refuse_faults(self) -> None:
        """Raise a UserError that tells the faults, the first few of many."""
        if self.faults:
            more = len(self.faults) - MOST_FAULTS
            rest = f"; and {more} more like these" if more > 0 else ""
            raise UserError(f"data.path: {'; '.join(self.faults[:MOST_FAULTS])}{rest}")

    def files(self, folder: Path) -> list[Path]:
        """The regular files of a folder that a reader exists for.

        A link that leads out of `root` is refused, for it would bring in text that nobody put there.
        """
        files = []
        for entry in self._entries(folder):
            mode = self._mode(entry)
            if mode is None:
                self.left_out[DANGLING] += 1
            elif stat.S_ISDIR(mode):
                if entry.is_symlink():
                    self.left_out[LINKED] += 1
            elif not stat.S_ISREG(mode):
                self.left_out[NO_FILE] += 1
            elif kind_of(entry) is None:
                self.left_out[UNREAD] += 1
            elif self._can_be_shown(entry):
                files.append(entry)
        return files

    def folders(self, folder: Path) -> list[Path]:
        """The sub-folders of a folder that are no links: through those, what lies in it would be found twice."""
        return [entry for entry in self._entries(folder) if not entry.is_symlink() and entry.is_dir()]

    def below(self, folder: Path) -> tuple[Path, ...]:
        """All files of a sub-folder, however deep, that a reader exists for."""
        found: list[Path] = []
        todo = [folder]
        while todo:
            place = todo.pop()
            found += self.files(place)
            todo += self.folders(place)
        if found:
            self._can_be_shown(folder)
        return tuple(sorted(found))

    def _mode(self, entry: Path) -> int | None:
        """What kind of thing an entry is, None where it leads nowhere; out of `root` is a fault."""
        try:
            target = entry.resolve(strict=True)
            mode = target.stat().st_mode
        except (OSError, RuntimeError):  # dangling, or a loop of links
            return None
        readable = stat.S_ISDIR(mode) or kind_of(entry) is not None
        if readable and self.root not in (target, *target.parents):
            self._fault(
                f"{entry.name!a} in {str(entry.parent)!a} is a link that leads out of the folder; put "
                "there what it leads to, or take the link out"
            )
        return mode

    def _entries(self, folder: Path) -> list[Path]:
        try:
            return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            self._fault(f"cannot list {str(folder)!a} ({error.strerror}); make it readable")
            return []

    def _can_be_shown(self, entry: Path) -> bool:
        if entry.name.isprintable():
            return True
        kind = "folder" if entry.is_dir() else "file"
        self._fault(f"the {kind} {entry.name!a} in {str(entry.parent)!a} has a name that cannot be shown; rename it")
        return False

    def _fault(self, words: str) -> None:
        # A folder is looked into for files and once more for folders.
        if words not in self.faults:
            self.faults.append(words)


def name_organizations(entries: Mapping[Path, tuple[Path, ...]]) -> dict[str, tuple[Path, ...]]:
    """Organizations' names, sorted: a folder's name, a file's stem, or its full name where another claims the stem."""
    stems = {entry: entry.name if entry.is_dir() else stem_of(entry) for entry in entries}
    claims = Counter(stems.values())
    full = Counter(entry.name for entry in entries)
    named = {
        entry.name if claims[stem] > 1 or full[stem] > (stem == entry.name) else stem: entries[entry]
        for entry, stem in stems.items()
    }
    return dict(sorted(named.items()))
