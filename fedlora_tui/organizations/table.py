"""One table in which a column says whose row it is: a file of the user's, or anything else that gives rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.formats import READERS, kind_of, read_file
from fedlora_tui.organizations.passages import Fields, Gathering, Passage, weight
from fedlora_tui.organizations.text import Documents, in_words
from fedlora_tui.place import look

TABLES = ", ".join(kind for kind in READERS if kind not in (".txt", ".md"))

HELD = 1 << 28
"""Bytes of text, of organizations to be asked for next, that one pass over the table takes along."""

MOST_ORGANIZATIONS = 100_000


@dataclass(frozen=True)
class Survey:
    """What a first pass found: bytes of text to keep for each organization by name, and the drops that are nobody's.

    `silent` has the drops of those who have no text at all.
    """

    sizes: Mapping[str, int]
    dropped: Mapping[str, int]
    silent: Mapping[str, Mapping[str, int]]


class TableSource:
    """The sources "table" and "hub": organizations are the values of a column, in the order of their names.

    `rows` begins a new pass over the table each time. A pass takes along as many organizations as fit in `HELD`, so a
    small table is passed twice in all, and one larger than memory as often as needed.
    """

    def __init__(self, title: str, rows: Callable[[], Iterator[Passage]], column: str, most: int) -> None:
        self.title = title
        self.column = column
        self._rows = rows
        self._most = most
        self._held: dict[str, Documents] = {}

    @classmethod
    def open(cls, path: str, fields: Fields, most: int) -> TableSource:
        """Take one file as the table; where there is none that can be read as rows, a UserError."""
        file = find_file(path)
        return cls(f"{file.name!r}", lambda: read_file(file, fields), fields.organization, most)

    @cached_property
    def survey(self) -> Survey:
        """Who is in the table and how much there is of each; nobody, or far too many, is a UserError."""
        sizes: Counter[str] = Counter()
        drops: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for passage in self._rows():
            if passage.document is None:
                drops[passage.organization][passage.reason] += 1
            else:
                sizes[passage.organization] += weight(passage.document)
            if max(len(sizes), len(drops)) > MOST_ORGANIZATIONS:
                raise UserError(
                    f"{self.title}: {self.column!r} (data.organization_field) has more than {MOST_ORGANIZATIONS:,} "
                    "different values; name the column that says whose row it is"
                )
        dropped = drops.pop("", Counter())
        if not sizes:
            every = sum(drops.values(), dropped)
            said = f"; dropped were {in_words(every)}" if every else ""
            raise UserError(
                f"{self.title}: no row has both text and a name in {self.column!r} (data.organization_field){said}"
            )
        silent = {name: own for name, own in sorted(drops.items()) if name not in sizes}
        return Survey({name: min(size, self._most) for name, size in sorted(sizes.items())}, dropped, silent)

    @property
    def names(self) -> tuple[str, ...]:
        """The organizations that have any text."""
        return tuple(self.survey.sizes)

    @property
    def passed_over(self) -> Mapping[str, Mapping[str, int]]:
        """The rows that are nobody's, and those of whoever has no text, counted by reason."""
        nobodys = {f"rows of {self.title}": self.survey.dropped} if self.survey.dropped else {}
        return nobodys | dict(self.survey.silent)

    def first(self, count: int | None) -> tuple[str, ...]:
        """All organizations, or the first `count` by name; fewer than that are a UserError."""
        if count is not None and len(self.names) < count:
            raise UserError(
                f"federation.organizations = {count}, but {self.title} has {len(self.names)} in {self.column!r}; set "
                f"it to {len(self.names)} at most or take a larger table"
            )
        return self.names[:count]

    def another(self, taken: Collection[str]) -> str | None:
        """The first organization by name that is not taken."""
        return next((name for name in self.names if name not in taken), None)

    def documents(self, name: str) -> Documents:
        """The text of one organization, up to what it may keep; it is handed over and not held any longer."""
        if name not in self.survey.sizes:
            raise UserError(f"{self.title} has no organization called {name!r} in {self.column!r}")
        if name not in self._held:
            self._held = self._pass(self._next_from(name))
        return self._held.pop(name)

    def names_left_reason(self) -> str:
        """Everybody in the table is an organization already."""
        count = len(self.names)
        return f"the only one of {self.title} is here" if count == 1 else f"all {count} of {self.title} are here"

    def _next_from(self, name: str) -> list[str]:
        """This organization and those after it by name, as many as one pass takes along."""
        chosen = [name]
        room = HELD - self.survey.sizes[name]
        for other in self.names[self.names.index(name) + 1 :]:
            room -= self.survey.sizes[other]
            if room < 0:
                break
            chosen.append(other)
        return chosen

    def _pass(self, names: list[str]) -> dict[str, Documents]:
        gathered = {name: Gathering(self._most) for name in names}
        waiting = set(names)
        for passage in self._rows():
            if passage.organization not in waiting:
                continue
            gathering = gathered[passage.organization]
            gathering.take(passage)
            if gathering.full:
                waiting.discard(passage.organization)
                if not waiting:
                    break
        return {name: gathering.documents() for name, gathering in gathered.items()}


def find_file(path: str) -> Path:
    """The file that `data.path` names; one that is not there or holds no rows is a UserError."""
    place = look(path, f"data.path: cannot look at {path!r}", "name a file that can be read")
    file = place.path
    if not place.is_file:
        raise UserError(f"data.path: no such file: {str(file)!r}; name one table ({TABLES}, each also .gz)")
    if kind_of(file) in (None, ".txt", ".md"):
        raise UserError(f"data.path: {str(file)!r} is no table; name one file with rows ({TABLES}, each also .gz)")
    return file
