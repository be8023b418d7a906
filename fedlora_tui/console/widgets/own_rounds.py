"""One organization round by round, its last update module by module, and how its own adapter does."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.bars import share_bar
from fedlora_tui.console.drawing.text import cut_middle
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.screens.drift import short_names
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.columns import STATE_STYLES
from fedlora_tui.console.widgets.own_data import Line, Pane
from fedlora_tui.console.widgets.own_figures import shown
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.table import scroll_bar
from fedlora_tui.protocol.organization import ByModule, OrganizationRound, OrganizationState

STATE_COLUMN = 9
ENDS = {"round": 7, "train": 28, "hold-out": 38, "gain": 46, "norm": 53, "cos": 59, "sec": 65, "↑ MiB": 72}
"""The column before which each column of numbers ends."""

SHARE_GAP = 7
"""Columns of a share, and of a cosine, behind a bar."""


class Scrolled(Part):
    """A pane whose rows scroll."""

    SLOW = True

    def scroll(self, lines: int) -> None:
        """Go so many rows down, or up; the next drawing stops at either end."""
        self._top = max(0, self._top + lines)

    _top = 0

    def in_sight(self, total: int, rows: int) -> range:
        """Give the rows that are in sight."""
        self._top = max(0, min(self._top, total - rows))
        return range(self._top, min(total, self._top + rows))


class OwnRounds(Scrolled):
    """The pane of its rounds, newest first."""

    def draw(self, view: View) -> list[Text]:
        """Give the rule, the head and the rounds in sight."""
        width, height = view.layout.boxes.get("own-rounds", (0, 0))
        if not height:
            return []
        org, glyphs = shown(view), view.look.glyphs
        title = rule(width, glyphs, "3 rounds", ("newest first", "quiet"), focused=view.focused == "own-rounds")
        head = Row(width, glyphs).to(ENDS["round"], ("round", "quiet")).at(STATE_COLUMN, ("state", "quiet"))
        for name, end in list(ENDS.items())[1:]:
            head.to(end, (name.replace("↑", "up") if glyphs.ascii else name, "quiet"))
        found = _rounds(org, view)
        sight = self.in_sight(len(found), height - 2)
        bar = scroll_bar(len(found), height - 2, self._top, view)
        lines = [_round(found[place], org, bar[place - self._top], width, view) for place in sight]
        return [title, head.text(), *lines, *[Row(width, glyphs).text()] * (height - 2 - len(lines))]


def _rounds(org: OrganizationState, view: View) -> list[OrganizationRound]:
    """Give its rounds, the newest first, with the one under way."""
    rounds = [row for row in org.history if row.round > 0]
    state = view.state
    last = rounds[-1].round if rounds else 0
    if not state.round_finished and last < state.round and org.state not in ("joining", "quarantine"):
        seconds = None
        if state.round_since is not None:
            still = state.over or state.phase == "paused"
            seconds = org.seconds if still else max(0.0, view.now - state.round_since)
        seconds = None if org.state == "absent" else seconds
        rounds.append(OrganizationRound(state.round, org.loss, ended=org.state, seconds=seconds))
    return rounds[::-1]


def _round(found: OrganizationRound, org: OrganizationState, bar: str, width: int, view: View) -> Text:
    glyphs = view.look.glyphs
    gain = None if found.holdout is None or org.base_holdout is None else org.base_holdout - found.holdout
    sent = found.bytes_up if found.ended == "done" and found.bytes_up else None
    cells = {
        "train": (numbers.loss(found.train_loss, glyphs), "train"),
        "hold-out": (numbers.loss(found.holdout, glyphs), "held"),
        "gain": (numbers.signed(gain, glyphs), "care" if gain is not None and gain < 0 else "held"),
        "norm": (numbers.norm(found.norm, glyphs), ""),
        "cos": (numbers.hundredths(found.cosine, glyphs), ""),
        "sec": (numbers.seconds(found.seconds, glyphs), ""),
        "↑ MiB": (numbers.mebibytes(sent, glyphs), ""),
    }
    row = Row(width, glyphs).to(ENDS["round"], numbers.whole(found.round, glyphs))
    state = f"{glyphs.organization_state(found.ended)} {found.ended}"
    row.at(STATE_COLUMN, (state, STATE_STYLES.get(found.ended, "ink")))
    for name, (words, style) in cells.items():
        row.to(ENDS[name], (words, "quiet" if words == glyphs.dash else style))
    return row.at(width - 1, (bar, "quiet")).text()


class OwnModules(Scrolled):
    """The pane of its last update, module by module."""

    def draw(self, view: View) -> list[Text]:
        """Give the rule and a bar a module; what is not told one by one stands in one line."""
        width, height = view.layout.boxes.get("own-modules", (0, 0))
        if not height:
            return []
        glyphs, spread = view.look.glyphs, shown(view).by_module
        meaning = ("share of its update, cos to the common one", "quiet")
        title = rule(width, glyphs, "5 modules", meaning, focused=view.focused == "own-modules")
        rows = _modules(spread)
        room = height - 1
        if len(rows) > room > 1 and not self._top:
            first = rows[: room - 1]
            rows = [*first, _others(rows[room - 1 :], spread.modules - len(first))]
        sight = self.in_sight(len(rows), room)
        bar = scroll_bar(len(rows), room, self._top, view)
        lines = [_module(rows[place], bar[place - self._top], width, view) for place in sight]
        if not rows:
            why = "no update of it was looked at yet, or nobody could see it"
            lines = [Row(width, glyphs).at(2, (why, "quiet")).text()]
        return [title, *lines, *[Row(width, glyphs).text()] * (room - len(lines))]


Module = tuple[str, float | None, float | None]


def _modules(spread: ByModule) -> list[Module]:
    names = short_names(spread.shares)
    rows = [(names[module], share, spread.cosines.get(module)) for module, share in spread.shares.items()]
    untold = spread.modules - len(rows)
    return [*rows, _others([], untold, 1.0 - sum(share or 0.0 for _, share, _ in rows))] if untold > 0 else rows


def _others(rows: list[Module], count: int, share: float | None = None) -> Module:
    """Sum several modules up: their share, and the mean of their cosines by it."""
    total = sum(own or 0.0 for _, own, _ in rows) if share is None else share
    known = [(own, cosine) for _, own, cosine in rows if own and cosine is not None]
    weight = sum(own for own, _ in known)
    cosine = sum(own * cosine for own, cosine in known) / weight if weight else None
    return f"{count} more", total, cosine


def _module(module: Module, bar: str, width: int, view: View) -> Text:
    glyphs, (name, share, cosine) = view.look.glyphs, module
    name_width = max(8, min(19, (width - 2 * SHARE_GAP - 4) // 2))
    bar_width = max(0, min(48, width - name_width - 2 * SHARE_GAP - 5))
    done, rest = share_bar(share, bar_width, glyphs)
    row = Row(width, glyphs).at(2, cut_middle(name, name_width - 1, glyphs)).at(2 + name_width, done, (rest, "quiet"))
    row.to(2 + name_width + bar_width + SHARE_GAP, numbers.percent(share, glyphs))
    row.to(2 + name_width + bar_width + 2 * SHARE_GAP, numbers.hundredths(cosine, glyphs))
    return row.at(width - 1, (bar, "quiet")).text()


class OwnAdapter(Pane):
    """The pane of its own adapter: how that does here beside the common one, its faults, its rounds."""

    TITLE = "6 its own adapter"

    def lines(self, view: View, width: int) -> list[Line]:
        """Give three losses on its own hold-out, what went wrong, and a sign a round."""
        org = shown(view)
        measured = any(row.round > 0 and row.holdout is not None for row in org.history)
        now = org.holdout if measured else None
        own, common = (now, None) if org.own else (None, now)
        note = "" if org.own else "only fedsa measures it"
        return [
            _loss("its own", own, note, view),
            _loss("common", common, "no adapter is measured yet" if not measured else "", view),
            _loss("base", org.base_holdout, "", view),
            [],
            [(0, [("faults", "quiet")]), (11, _faults(org))],
            [(0, [("rounds", "quiet")]), (11, strip(org, view, max(0, width - 12)))],
        ]


def _loss(label: str, loss: float | None, note: str, view: View) -> Line:
    words = numbers.loss(loss, view.look.glyphs)
    line: Line = [(0, [(label, "quiet")]), (11, [(words, "held" if loss is not None else "quiet")])]
    return [*line, (19, [(note, "quiet")])] if note else line


def _faults(org: OrganizationState) -> list[Words]:
    counts = (
        (org.refused, "refused"),
        (org.unanswered, "without an answer"),
        (org.late, "late"),
        (org.quarantines, "in quarantine"),
    )
    told = ", ".join(f"{count} {words}" for count, words in counts if count) or "none so far"
    parts: list[Words] = [(told, "care" if org.faults else "")]
    return [*parts, (f"   told to: {org.fault}", "yours")] if org.fault and org.fault != "none" else parts


def strip(org: OrganizationState, view: View, width: int) -> list[Words]:
    """Give a sign for each round, its last ones where there are more than `width`; those to come are dotted."""
    state, glyphs = view.state, view.look.glyphs
    ended = {row.round: row.ended for row in org.history}
    if not state.round_finished and state.round not in ended and org.state != "joining":
        ended[state.round] = org.state
    last = max(state.rounds, state.round)
    first = 1 if last <= width else max(1, min(state.round - width * 3 // 4, last - width + 1))
    parts: list[Words] = []
    for round in range(first, min(last, first + width - 1) + 1):
        if round > state.round:
            parts.append((glyphs.bar_rest, "quiet"))
        elif round < org.joined:
            parts.append(" ")
        else:
            how = ended.get(round, "quarantine" if org.quarantines else "absent")
            parts.append((glyphs.organization_state(how), STATE_STYLES.get(how, "ink")))
    return parts
