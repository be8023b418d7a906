"""A folder of the user's own text: one .txt, .jsonl or .csv file an organization, found, named and checked.

No message here quotes any text, not even a header of a table: only file names, line numbers and counts.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.formats import READERS, Passage
from fedlora_tui.organizations.text import Documents

KINDS = ", ".join(READERS)


@dataclass(frozen=True)
class FolderSource:
    """The source "folder": its organizations are the files that hold text, in the order of their names.

    The folder is listed once, so that a file that appears during a run renames nothing.
    """

    folder: Path
    text_field: str
    files: dict[str, Path]
    label_field: str = ""

    @classmethod
    def open(cls, path: str, text_field: str, label_field: str = "") -> FolderSource:
        """List the folder; one that is missing, is not a folder, or holds no such file is a UserError."""
        if not path.strip():
            raise UserError(
                f'data.path is empty, and data.source = "folder" needs one: name a folder with {KINDS} files'
            )
        folder = find_folder(path)
        files = list_files(folder)
        if not files:
            raise UserError(f"data.path: {str(folder)!r} holds no {KINDS} file; put one in for each organization")
        return cls(folder, text_field, name_files(files), label_field)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The organizations whose files hold any text; no such file is a UserError."""
        names = tuple(name for name, file in self.files.items() if self._holds_text(file))
        if not names:
            raise UserError(
                f"data.path: no usable text in the {len(self.files)} file(s) of {str(self.folder)!r}; .txt has "
                f"documents between blank lines, .jsonl and .csv have them in "
                f"the field {self.text_field!r} (data.text_field)"
            )
        return names

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
        """All text of one organization's file."""
        if name not in self.files:
            raise UserError(f"no file in {str(self.folder)!r} belongs to an organization called {name!r}")
        texts: list[str] = []
        labels: list[str] = []
        dropped = repaired = 0
        for passage in self._passages(self.files[name]):
            if passage.text is None:
                dropped += 1
            else:
                texts.append(passage.text)
                labels.append(passage.label)
                repaired += passage.repaired
        return Documents(tuple(texts), dropped, repaired, tuple(labels) if self.label_field else ())

    def names_left_reason(self) -> str:
        """Every file that holds text is an organization already."""
        count = len(self.names)
        return "the only file is here" if count == 1 else f"all {count} files are here"

    def _holds_text(self, file: Path) -> bool:
        return any(passage.text is not None for passage in self._passages(file))

    def _passages(self, file: Path) -> Iterable[Passage]:
        """The file's passages one by one; a file that cannot be read is a UserError."""
        try:
            yield from READERS[file.suffix.lower()](file, self.text_field, self.label_field)
        except OSError as error:
            raise UserError(
                f"cannot read {file.name!r} in {str(self.folder)!r} ({error.strerror}); make it readable or take it out"
            ) from None


def find_folder(path: str) -> Path:
    """The folder that `data.path` names; where there is none, a UserError."""
    try:
        folder = Path(path).expanduser()
        there, is_folder = folder.exists(), folder.is_dir()
    except (OSError, RuntimeError) as error:  # no access on the way, a name too long, an unknown ~user
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"data.path: cannot look at {path!r} ({reason}); name a folder that can be read") from None
    if not there:
        raise UserError(f"data.path: no such folder: {str(folder)!r}; name one that holds {KINDS} files")
    if not is_folder:
        raise UserError(f"data.path: {str(folder)!r} is not a folder; name the folder that the file lies in")
    return folder


def list_files(folder: Path) -> list[Path]:
    """The regular files of the folder that a reader exists for.

    Hidden files, directories, pipes and dangling links are passed over. A link that leads out of the folder is refused,
    for it would bring in text that nobody put there.
    """
    root = folder.resolve()
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"data.path: cannot list {str(folder)!r} ({error.strerror}); make it readable") from None
    files = []
    for entry in entries:
        if entry.name.startswith(".") or entry.suffix.lower() not in READERS:
            continue
        try:
            target = entry.resolve(strict=True)
            mode = target.stat().st_mode
        except (OSError, RuntimeError):  # dangling, or a loop of links
            continue
        if root not in target.parents:
            raise UserError(
                f"data.path: {entry.name!r} in {str(folder)!r} is a link that leads out of the folder; put the "
                "file itself there or take the link out"
            )
        if not stat.S_ISREG(mode):
            continue
        if not entry.name.isprintable():
            raise UserError(
                f"data.path: the file {entry.name!a} in {str(folder)!r} has a name that cannot be shown; rename it"
            )
        files.append(entry)
    return files


def name_files(files: list[Path]) -> dict[str, Path]:
    """Organizations' names, sorted: a file's stem, or its full name where another file could claim the stem too."""
    stems = Counter(file.stem for file in files)
    full = {file.name for file in files}
    named = {file.name if stems[file.stem] > 1 or file.stem in full else file.stem: file for file in files}
    return dict(sorted(named.items()))
