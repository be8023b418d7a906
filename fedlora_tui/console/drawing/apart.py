"""Long names in a narrow column: cut so that those that begin and end alike show the part in which they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fedlora_tui.console.drawing.glyphs import UNICODE, Glyphs
from fedlora_tui.console.drawing.text import cells, cut_middle, cut_start


def told_apart(names: Iterable[str], width: int, glyphs: Glyphs = UNICODE, *, alike: bool = False) -> dict[str, str]:
    """Give each name in at most `width` cells: cut in its middle, unless others would then look the same.

    Where all begin `alike`, as the names of a race do, what they have in common is the first to go.
    """
    cut = {name: cut_middle(name, width, glyphs) for name in names}
    if alike:
        return _differing(list(cut), width, glyphs)
    for group in _grouped({name: shown.partition(glyphs.ellipsis)[0] for name, shown in cut.items() if shown != name}):
        if len({cut[name] for name in group}) < len(group):
            cut |= _differing(group, width, glyphs)
    return cut


def _differing(group: Sequence[str], width: int, glyphs: Glyphs) -> dict[str, str]:
    """Cut names at what they have in common, before and behind; those that still look the same once more, alone."""
    start = _alike(group) if len(group) > 1 else 0
    behind = _alike([name[start:][::-1] for name in group]) if start else 0
    cut = {name: _cut(name, start, behind, width, glyphs) for name in group}
    for rest in _grouped(cut):
        if len(rest) < len(group):
            cut |= _differing(rest, width, glyphs)
    return cut


def _cut(name: str, start: int, behind: int, width: int, glyphs: Glyphs) -> str:
    """Cut a name so that what stands between what is common is in sight, before that as much as there is room."""
    if cells(name) <= width or not start:
        return cut_middle(name, width, glyphs)
    mark, end = glyphs.ellipsis, len(name) - behind
    room = width - cells(mark) * (1 + bool(behind))
    if cells(name[start:end]) > room:
        return mark + cut_middle(name[start:end], room, glyphs) + (mark if behind else "")
    return cut_start(name[:end], room + cells(mark), glyphs) + (mark if behind else "")


def _alike(names: Sequence[str]) -> int:
    """Count the signs with which all begin."""
    shortest = min(map(len, names))
    return next((place for place in range(shortest) if len({name[place] for name in names}) > 1), shortest)


def _grouped(shown: Mapping[str, str]) -> list[list[str]]:
    """Give the names for which the same is shown, together."""
    groups: dict[str, list[str]] = {}
    for name, words in shown.items():
        groups.setdefault(words, []).append(name)
    return [group for group in groups.values() if len(group) > 1]
