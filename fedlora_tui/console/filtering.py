"""The language of filters: words that must stand in a row, and those behind an exclamation mark that must not."""

from __future__ import annotations

from dataclasses import dataclass

NOT = "!"


@dataclass(frozen=True)
class Filter:
    """What a row has to say (`words`) and must not say (`without`), in any case and any order."""

    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """True where every row passes."""
        return not (self.words or self.without)

    def passes(self, row: str) -> bool:
        """Tell whether a row, given as all that it says, is to be shown."""
        said = row.casefold()
        return all(word in said for word in self.words) and not any(word in said for word in self.without)


def parsed(typed: str) -> Filter:
    """Read what was typed; a mark with nothing behind it leaves nothing out yet."""
    parts = typed.casefold().split()
    without = tuple(part[len(NOT) :] for part in parts if part.startswith(NOT) and part != NOT)
    return Filter(tuple(part for part in parts if not part.startswith(NOT)), without)
