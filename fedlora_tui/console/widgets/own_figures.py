"""One organization at a glance: its numbers, in big digits or in a line, and the chart of its losses."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.curves import holdout_points, knobs_turned, organization_points
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.chart import LossChart, draw
from fedlora_tui.console.drawing.text import cut_middle
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.big_digits import Figure, draw_figures
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.wording import mark_words
from fedlora_tui.protocol.organization import OrganizationState
from fedlora_tui.protocol.state import RunState

NAME_IN_ROW_ONE, NAME_WIDTH = 80, 15
"""From how many columns on its name stands in row 1; below, it stands before its numbers, so wide at most."""

WIDTH_FOR_NUMBERS = 74
"""From how many columns on the key of the curves has its numbers beside it."""


def shown(view: View) -> OrganizationState:
    """Give the organization that is open, an empty one where it is gone and no other took its place."""
    return view.state.organizations.get(view.selected or "") or OrganizationState(view.selected or "")


class OwnFigures(Part):
    """Hold-out loss, gain, train loss, cosine and rank of the organization that is open."""

    SLOW = True

    def draw(self, view: View) -> list[Text]:
        """Give three rows of digits and one of labels, or one row of words where it is low."""
        org, state, glyphs = shown(view), view.state, view.look.glyphs
        rank, alpha = _rank_and_alpha(org, state)
        train = _train_loss(org)
        if view.layout.digits:
            figures: list[Figure] = [
                (numbers.loss(org.holdout, glyphs), ["hold-out ", _change(org, view, " ")], "held_bold"),
                (numbers.signed(_gain(org), glyphs), ["gain over base"], "held_bold"),
                (numbers.loss(train, glyphs), ["train loss"], "train_bold"),
                (numbers.hundredths(org.cosine, glyphs), ["cos to common update"], "ink_bold"),
                (numbers.whole(rank, glyphs), [f"rank, alpha {alpha:g}"], "ink_bold"),
            ]
            return draw_figures(view, figures)
        row = Row(view.layout.width, glyphs)
        if view.layout.trends:
            if view.layout.width < NAME_IN_ROW_ONE:
                row.at(1, (cut_middle(org.name, NAME_WIDTH, glyphs), "ink_bold"))
            begin = row.end or 0
            row.at(begin + 1, "hold-out ", (numbers.loss(org.holdout, glyphs), "held"), " ", _change(org, view))
            row.at(begin + 25, "gain ", (numbers.signed(_gain(org), glyphs), "held"))
            row.at(begin + 39, "train ", (numbers.loss(train, glyphs), "train"))
            row.at(begin + 53, f"cos {numbers.hundredths(org.cosine, glyphs)}")
            row.at(begin + 64, f"rank {rank}, alpha {alpha:g}")
        return [row.text()]


class OwnLoss(Part):
    """The pane of its losses, those of all organizations quietly behind."""

    SLOW = True

    def draw(self, view: View) -> list[Text]:
        """Give the rule with the key of the curves, and the chart below it."""
        width, height = view.layout.boxes.get("own-loss", (0, 0))
        if not height:
            return []
        org, state, glyphs = shown(view), view.state, view.look.glyphs
        told = width >= WIDTH_FOR_NUMBERS
        train, holdout = (f" {numbers.loss(loss, glyphs)}" if told else "" for loss in (_train_loss(org), org.holdout))
        key: tuple[Words, ...] = (
            *((glyphs.curve_key, "train"), f" train{train}   "),
            *((glyphs.holdout, "held"), f" hold-out{holdout}   "),
            (f"{glyphs.others[0]} all organizations", "quiet"),
        )
        title = rule(width, glyphs, "1 loss", *key, focused=view.focused == "own-loss")
        own = [(float(row.round), row.holdout) for row in org.history if row.holdout is not None]
        chart = LossChart(
            train=organization_points(org, state),
            holdout=own,
            knobs=[(m.round - 1, mark_words(m, glyphs)) for m in knobs_turned(state) if m.org in ("", org.name)],
            rounds=max(state.rounds, 1),
            others=(holdout_points(state),),
            signs=(glyphs.holdout, glyphs.others[0]),
        )
        return [title, *draw(chart, width, height - 1, {name: name for name in view.look.roles}, glyphs)]


def _gain(org: OrganizationState) -> float | None:
    """Give its gain once an adapter was measured."""
    return org.gain if any(row.round > 0 and row.holdout is not None for row in org.history) else None


def _train_loss(org: OrganizationState) -> float | None:
    """Give the train loss of the round under way, else of the last one that it trained in."""
    return org.loss or next((row.train_loss for row in reversed(org.history) if row.train_loss is not None), None)


def _change(org: OrganizationState, view: View, gap: str = "") -> tuple[str, str]:
    """Say how its hold-out loss changed in the last round that it measured."""
    losses = [row.holdout for row in org.history if row.holdout is not None]
    change = losses[-1] - losses[-2] if len(losses) > 1 else None
    return numbers.change(change, view.look.glyphs, gap), "care" if change is not None and change > 0 else "held"


def _rank_and_alpha(org: OrganizationState, state: RunState) -> tuple[int, float]:
    """Give its rank, and alpha, which moves with it."""
    rank = org.rank or state.ranks.of(org.name)
    started = state.started
    return rank, started.alpha * rank / started.rank if started is not None and started.rank else 0.0
