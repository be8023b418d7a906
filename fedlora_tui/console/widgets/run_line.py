"""Row 1: the run's state in a word, round, step, what the state goes on with, the run's name, the clock."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cut_middle
from fedlora_tui.console.pace import AT_REST
from fedlora_tui.console.replay_session import speed_words
from fedlora_tui.console.replaying import Playing
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, width_of
from fedlora_tui.console.since import doing, pausing_shortly
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.starting import history_words, now_doing
from fedlora_tui.console.wording import short_model
from fedlora_tui.protocol.events import RunStarted
from fedlora_tui.protocol.unseen_steps import waits

STATE_STYLES = {
    "starting": "quiet",
    "running": "train",
    "waiting": "care",
    "pausing": "care",
    "paused": "care",
    "finishing": "care",
    "done": "held",
    "failed": "broken_bold",
    "stopped": "quiet",
    "stale": "care_bold",
    "attaching": "quiet",
}
STATE_COLUMN, ROUND_COLUMN, TAIL_COLUMN = 1, 13, 39
REPLAY_ROUND_COLUMN = 19
TAIL_WIDTH = 14
GAP = "  "
INSECURE = "! INSECURE"
"""Stands as long as the run is looked at: what travels can be read, or whoever likes takes part."""
PAGE_NAMES = {"rounds_table": "rounds", "try_it": "try it"}
"""What a page is called where its own name is not plain."""


class RunLine(Part):
    """The first row."""

    def draw(self, view: View) -> list[Text]:
        """Give the one line."""
        return [draw_run_line(view)]


def draw_run_line(view: View) -> Text:
    """Draw row 1: what stands left first; the clock, then the configuration, give way when it is narrow."""
    row = Row(view.layout.width, view.look.glyphs)
    phase = view.state.phase if view.silent_for is None else "stale"
    sign = view.look.glyphs.run_state(phase)
    if waits(view.state) and phase != "stale":
        phase, sign = "waiting", view.look.glyphs.run_state("starting")
    if view.arriving is not None:
        phase, sign = "attaching", view.look.glyphs.run_state("starting")
    since = "" if view.silent_for is None else f" {numbers.duration(view.silent_for, view.look.glyphs)}"
    column = ROUND_COLUMN
    if view.replay is None:
        row.at(STATE_COLUMN, (f"{sign} {phase}{since}", STATE_STYLES.get(phase, "ink")))
    else:
        row.at(STATE_COLUMN, (_replay_words(view.replay, view.look.glyphs), "yours"))
        column = REPLAY_ROUND_COLUMN
    if view.state.insecure:
        row.at(column, (INSECURE, "broken_bold"))
        column = row.end + 3
    left = [words for words in _left(view) if words[0]]
    for words, least in left:
        row.at(column, words)
        column = max(row.end, column + least) + 3
    _put_right(row, view)
    return row.text()


def _left(view: View) -> list[tuple[Words, int]]:
    """Give what stands left, each with the width that is kept for it."""
    state, glyphs = view.state, view.look.glyphs
    if view.arriving is not None:
        return [(history_words(view.arriving, glyphs), 0)]
    if state.phase == "starting":
        since = "" if state.began is None else numbers.duration(view.now - state.began, glyphs)
        return [(now_doing(state, glyphs), 23), (since, 11)]
    total = numbers.whole(state.rounds)
    rounds: tuple[Words, int] = (
        f"round {numbers.of(state.round, state.rounds, glyphs)}",
        len(f"round {total}/{total}") - 1,
    )
    cares = _silence(view) or _of_the_wheel(view)
    tail: list[Words] = [(cares, "care_bold")] if cares else [*_tail(view)]
    if view.replay is not None and state.phase not in ("running", "paused"):
        tail = [state.phase, *tail]
    if view.silent_for is not None:
        return [rounds, (tail[0], 0)]
    return [rounds, _within(view), *((words, 0) for words in tail)]


def _within(view: View) -> tuple[Words, int]:
    """Give how far the round is, with its width: the step, or since when machines of their own are at it."""
    state, glyphs = view.state, view.look.glyphs
    if not state.deployed:
        most = numbers.whole(state.steps)
        words = f"step {numbers.of(state.step, state.steps, glyphs)}" if state.steps else ""
        return words, len(f"step {most}/{most}") if state.steps else 0
    if state.over or waits(state):
        return "", 0
    what, since = doing(state)
    forms = [f"{what} since {since}", f"{what} since {since[:5]}", f"since {since[:5]}"]
    form = 0 if view.layout.columns != "compact" else 2 if state.insecure or view.page != "overview" else 1
    # Between two waits its place is kept, so that nothing moves.
    return (forms[form] if what else " "), (23, 20, 11)[form]


def _tail(view: View) -> list[str]:
    """Say what the state goes on with."""
    state, glyphs = view.state, view.look.glyphs
    if view.leaving == "stop" and not state.over:
        return ["stopping" + glyphs.ellipsis]
    match state.phase:
        case "running" if waits(state):
            return [_awaited(view)]
        case "running":
            left = state.seconds_left(view.now)
            words = [f"{numbers.duration(left, glyphs)} left"]
            if view.layout.columns == "wide" and state.began is not None:
                words.append(f"{numbers.duration(view.now - state.began, glyphs)} gone")
                if left is not None:
                    words.append(f"done about {numbers.clock_short(view.now + left, glyphs)}")
            return words
        case "pausing":
            return [pausing_shortly(state)]
        case "paused":
            since = state.reason or f"since {numbers.clock(state.phase_since, glyphs)}"
            return [since if view.replay is None else f"paused {since}"]
        case "finishing":
            return ["after this round" if state.part < 1 and state.steps else "last evaluation, checkpoint"]
        case "done" if state.best is not None:
            return [f"best round {state.best.round}, {numbers.loss(state.best.eval_loss, glyphs)}"]
        case "stopped":
            return [state.reason]
    return []


def _awaited(view: View) -> str:
    """Say what a run that waits waits for, and where there is room since when."""
    words = "for SuperNodes" if view.replay is None else "waits for SuperNodes"
    if view.layout.columns != "compact":
        return f"{words} since {numbers.clock(view.state.awaits_since, view.look.glyphs)}"
    if view.state.insecure or view.page != "overview":
        return words
    return f"{words} since {numbers.clock_short(view.state.awaits_since, view.look.glyphs)}"


def _silence(view: View) -> str:
    """Say since when a run at work has said nothing, and whether its process is there."""
    if view.silent_for is None or view.wheel is None:
        return ""
    since, process = numbers.clock(view.state.t, view.look.glyphs), view.wheel.process
    there = "lives" if view.wheel.lives else "is gone"
    return f"no event since {since}; process {process} {there}"


def _replay_words(playing: Playing, glyphs: Glyphs) -> str:
    """Say that it is a replay, and how fast it goes, or that it stands still."""
    standing = "at end" if playing.at_end else "stopped" if not playing.plays else ""
    return f"{glyphs.run_state('replay')} replay {standing or speed_words(playing.speed, glyphs)}"


def _of_the_wheel(view: View) -> str:
    """Say who steers where that is another, and who asks for the wheel."""
    wheel = view.wheel
    if wheel is None or view.state.over:
        return ""
    seconds, key = f"{wheel.seconds:.0f} s", view.key("wheel")
    compact = view.layout.columns == "compact"
    if wheel.asked_by and wheel.ours:
        return f"{wheel.asked_by} asks{'' if compact else ' for the wheel'}: {key} keeps it ({seconds})"
    if wheel.asked_by:
        return f"asked for the wheel: {seconds}"
    if wheel.readonly:
        return f"watching: {wheel.holder or 'nobody'} steers"
    if wheel.ours:
        return ""
    steers = f"{wheel.holder} steers, {key} takes"
    return f"{steers} it" if compact else f"watching: {steers} the wheel"


def _put_right(row: Row, view: View) -> None:
    """Put the run's name, the configuration and the clock at the right end, as much of it as there is room for.

    Room is kept for what most states go on with, so that nothing moves when one follows another.
    """
    state, glyphs = view.state, view.look.glyphs
    if (page := page_words(view, max(row.end, TAIL_COLUMN) + 2)) is not None:
        row.to(view.layout.width - 1, GAP, page)
        return
    name, *shorter = _names(view)
    still = state.phase in AT_REST
    time = numbers.clock(view.now, glyphs)
    clock: Words = (time if view.replay is None else f"recorded {time}", "quiet" if still else "")
    gap = "  " if view.layout.columns == "compact" else "   "
    plain: list[list[Words]] = [[words, *behind] for words in (name, *shorter) for behind in ([clock], [])]
    if not view.racing:
        # The clock gives way after the middle of a run's id, whose ends tell it.
        plain.sort(key=len, reverse=True)
    full: list[list[Words]] = []
    if state.started is not None and view.layout.columns != "compact":
        full = [[name, (words, "quiet"), clock] for words in _configurations(state.started, view)]
    kept = max(row.end, TAIL_COLUMN + TAIL_WIDTH)
    for taken, choice in [*((kept, c) for c in (*full, *plain)), *((row.end, c) for c in plain)]:
        words = _spaced([part for part in choice if part], gap)
        if taken + 2 + width_of(*words) <= view.layout.width - 1:
            row.to(view.layout.width - 1, *words)
            return


def page_words(view: View, begin: int) -> str | None:
    """Name the page that lies over the overview, in the columns from `begin` on; None on the overview itself."""
    glyphs = view.look.glyphs
    if view.page == "overview":
        return None
    if view.page == "compare":
        return f"{glyphs.choice_left} compare   {len(view.runs)} runs"
    if view.page == "organization":
        place = view.order.index(view.selected) + 1 if view.selected in view.order else 0
        which = f"{place} of {len(view.order)}"
        room = view.layout.width - 1 - begin - len(which) - 3
        name, words = view.selected or "", f"{glyphs.choice_left} organizations   "
        short = f"{glyphs.choice_left} "
        lead = words if len(words) + 10 <= room or len(words) + len(name) <= room else short
        return f"{lead}{cut_middle(name, max(6, room - len(lead)), glyphs)}   {which}"
    return f"{glyphs.choice_left} {PAGE_NAMES.get(view.page, view.page)}"


def _names(view: View) -> list[str]:
    """Give the run's id, or in a race what tells this run from the others, longest first."""
    glyphs = view.look.glyphs
    if view.racing:
        which = f"{view.place + 1} of {len(view.runs)}"
        widths = [len(view.label), *(width for width in (24, 12) if width < len(view.label))]
        return [*(f"{cut_middle(view.label, x, glyphs)} {glyphs.separator} {which}" for x in widths), which]
    name = view.state.started.run if view.state.started else view.run
    return [name, cut_middle(name, 12, glyphs)]


def _spaced(parts: list[Words], gap: str) -> list[Words]:
    spaced: list[Words] = []
    for part in parts:
        spaced += [gap, part] if spaced else [part]
    return spaced


def _configurations(started: RunStarted, view: View) -> list[str]:
    """Write the configuration, longest first."""
    glyphs = view.look.glyphs
    wide = view.layout.columns == "wide"
    parts = [f"{short_model(started.model)} {numbers.count_short(started.params, glyphs)}"]
    if wide:
        share = view.state.trainable / started.params if started.params else None
        trainable = numbers.count_short(view.state.trainable, glyphs)
        parts.append(f"{trainable} trainable ({numbers.percent_fine(share, glyphs)})")
    parts += [f"rank {view.state.rank}", view.state.aggregation]
    if view.state.learning_rate:
        parts.append(f"lr {numbers.learning_rate(view.state.learning_rate, glyphs)}")
    device = f"   {started.device}" if wide else ""
    return [f" {glyphs.separator} ".join(parts[first:]) + device for first in (0, 1, 2)]
