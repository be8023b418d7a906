"""The box of a run that failed: what happened, what is lost, what can be done now."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.actions.registry import ACTIONS
from fedlora_tui.console.box import box
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.since import where_words
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.wording import finished_rounds
from fedlora_tui.protocol.naming import called

BOX_HEIGHT = 8
BOX_WIDTH = 78


class Failed(Part):
    """The box, in the place of the log."""

    def draw(self, view: View) -> list[Text]:
        """Give the box's lines, indented by one column."""
        if not view.layout.box:
            return []
        state, glyphs = view.state, view.look.glyphs
        width = min(BOX_WIDTH, view.layout.width - 2)
        where = where_words(state, state.step) if state.round else "while it started"
        title = f"{glyphs.refused} failed {where}, {numbers.clock(state.phase_since, glyphs)}"
        lines = box(width, glyphs, title, _content(view), style="broken")
        return [Text.assemble(" ", line) for line in lines]


def _content(view: View) -> list[list[Words]]:
    state, glyphs = view.state, view.look.glyphs
    if state.checkpoint is not None:
        when = numbers.clock(state.checkpoint_t, glyphs)
        lost = f"Nothing is lost: the checkpoint of round {state.checkpoint.round} ({when}) is whole."
    else:
        lost = "No round was finished, so there is no checkpoint."
    run = called(state.started.folder) if state.started else view.run
    rounds = finished_rounds(state)
    better: list[Words] = [(view.key("export"), "yours_bold"), f"  export round {rounds[-1].round}"] if rounds else []
    leave = f"  leave; later: fedlora-tui export {run}" if rounds else "  leave"
    if view.replay is not None:
        better, leave = [(view.key("rank", "down"), "yours_bold"), "  a round back"], "  leave"
    resumes = view.situation.may_go_on and ACTIONS["pause"].reason(view.situation) is None
    # Who is killed leaves no traceback.
    killed = state.reason.startswith(("its process ended", "its process was killed"))
    found = "what was said last" if killed else "the traceback"
    again: list[Words] = [(view.key("pause"), "yours_bold"), "  resume in a new process"]
    return [
        [(state.reason or "no reason was given", "broken_bold")],
        [lost],
        again if resumes else [],
        better,
        [(view.key("leave"), "yours_bold"), leave],
        [(view.key("log"), "yours_bold"), f"  {found}, in engine.log"],
    ]


def failed_words(view: View) -> str:
    """Say what the box says, for the clipboard."""
    state = view.state
    where = where_words(state, state.step) if state.round else "while it started"
    run = state.started.run if state.started else view.run
    lines = [f"{run} failed {where}, {numbers.clock(state.phase_since, view.look.glyphs)}"]
    lines += ["".join(part if isinstance(part, str) else part[0] for part in line) for line in _content(view)]
    return "\n".join(line for line in lines if line)
