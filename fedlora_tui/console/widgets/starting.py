"""What the start is doing: one line a stage, with its bar while something is loaded or measured."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.bars import share_bar
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.row import Row
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.wording import short_model
from fedlora_tui.protocol.events import Preparing
from fedlora_tui.protocol.state import RunState

STAGES = {
    "configuration": "config.toml",
    "device": "device",
    "base": "base",
    "organizations": "organizations",
    "first look": "first look",
}
EXPECTED = {"first look": "loss of the base on each hold-out"}
NAME_COLUMN, DETAIL_COLUMN, BAR_WIDTH = 6, 25, 16


class Starting(Part):
    """The checklist of the start, in the place of everything below row 2."""

    def draw(self, view: View) -> list[Text]:
        """Give one line a stage; of a run that was attached to, what of its history is here."""
        if view.arriving is not None:
            return [_history(view, *view.arriving)]
        return [_stage(view, stage) for stage in stages(view.state)]


def stages(state: RunState) -> list[str]:
    """Give the stages in their order, and behind them those that the run named by itself."""
    return [*STAGES, *(stage for stage in state.preparation if stage not in STAGES)]


def history_words(arriving: tuple[int, int], glyphs: Glyphs) -> str:
    """Say how many events of a run's history are here, of how many."""
    return f"history {numbers.of(*arriving, glyphs)} events"


def now_doing(state: RunState, glyphs: Glyphs) -> str:
    """Say in a few words what the start does now."""
    working = [event for event in state.preparation.values() if event.state == "working"]
    if not working:
        return glyphs.ellipsis
    name = STAGES.get(working[-1].stage, working[-1].stage)
    return f"{name}: {working[-1].detail}" if working[-1].detail else name


def _stage(view: View, stage: str) -> Text:
    glyphs = view.look.glyphs
    event = view.state.preparation.get(stage)
    # A journal begins when the run's folder is there: what went before it is behind the run, and untold.
    untold = event is None and view.state.started is not None and stage != "first look"
    done = untold or (event is not None and event.state == "done")
    working = event is not None and event.state == "working"
    sign = glyphs.answered if done else glyphs.organization_state("training" if working else "waiting")
    row = Row(view.layout.width, glyphs)
    row.at(4, (sign, "held" if done else "train" if working else "quiet"))
    name = STAGES.get(stage, stage)
    if stage == "base" and view.model:
        name = f"base {short_model(view.model)}"
    if stage == "configuration":
        name = view.configuration
    row.at(NAME_COLUMN, (name, "" if done or working else "quiet"), until=DETAIL_COLUMN - 1)
    detail = event.detail if event is not None and event.detail else EXPECTED.get(stage, "")
    row.at(DETAIL_COLUMN, (detail, "" if done or working else "quiet"))
    if event is not None and working:
        _put_progress(row, view, stage, event)
    return row.text()


def _history(view: View, here: int, all_of_it: int) -> Text:
    row = Row(view.layout.width, view.look.glyphs)
    row.at(4, (view.look.glyphs.organization_state("training"), "train"))
    row.at(NAME_COLUMN, "history", until=DETAIL_COLUMN - 1)
    done, rest = share_bar(here / all_of_it, BAR_WIDTH, view.look.glyphs)
    amount = f" {numbers.of(here, all_of_it, view.look.glyphs)} events"
    row.at(DETAIL_COLUMN, "told so far ", (done, "train"), (rest, "quiet"), amount)
    return row.text()


def _put_progress(row: Row, view: View, stage: str, event: Preparing) -> None:
    glyphs = view.look.glyphs
    if event.done is not None and event.total:
        done, rest = share_bar(event.done / event.total, BAR_WIDTH, glyphs)
        row.at(row.end + 1, (done, "train"), (rest, "quiet"), f" {_amount(event, glyphs)}")
    since = view.state.preparation_since.get(stage)
    if since is not None:
        row.at(row.end + 3, (numbers.duration(max(0.0, view.now - since), glyphs), "quiet"))


def _amount(event: Preparing, glyphs: Glyphs) -> str:
    if event.unit in ("bytes", "B"):
        return numbers.memory(event.done, event.total, glyphs)
    return f"{numbers.of(event.done, event.total, glyphs)} {event.unit}".rstrip()
