"""What the newest audit of a run found: secrets, members, personal data, who took part."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.text import Text
from rich.theme import Theme

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.bars import share_bar
from fedlora_tui.console.drawing.text import cut_end
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.run_folder import folder_of
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.table import scroll_bar
from fedlora_tui.protocol.audits import Audit, Interval, LeftOut, Membership, PersonalFound, SecretFound
from fedlora_tui.protocol.naming import called

BITS, BAR_AT, RANK, VERDICT = 30, 32, 64, 67
"""Of secrets: where bits end, their bar begins, ranks end, and the verdict begins."""

BAR = 20
AUC, BETWEEN, CAUGHT, CHANCE = 26, 28, 55, 57
FOUND, OF, SHARE, SHARE_BETWEEN = 49, 50, 64, 66
SHARES = (0.025, 0.05, 0.1, 0.25, 0.5)
"""The shares of others at which the curves are told."""

Line = list[tuple[int, list[Words], bool]]
"""Words by the column that they begin at, or end before where the last one is True."""


class AuditFigures(Part):
    """The figures, or how to come by them; what does not fit is scrolled to."""

    SLOW = True

    def __init__(self, palette: Theme, *, id: str | None = None) -> None:
        super().__init__(palette, id=id)
        self.audit: Audit | None = None
        self.trouble = ""
        self.top = 0
        self.total = 0
        self.room = 0

    def draw(self, view: View) -> list[Text]:
        """Give a rule, and as many lines as there is room for."""
        layout, glyphs = view.layout, view.look.glyphs
        self.room = layout.table + 1
        lines = list(self._figures(view))
        self.total = len(lines)
        self.top = max(0, min(self.top, self.total - self.room))
        bar = scroll_bar(self.total, self.room, self.top, view)
        shown = [_drawn(line, view, sign) for line, sign in zip(lines[self.top :], bar, strict=False)]
        blank = [Row(layout.width, glyphs).text()] * (self.room - len(shown))
        return [_title(self.audit, view), *shown, *blank]

    def _figures(self, view: View) -> Iterator[Line]:
        if self.trouble:
            yield [(2, [(self.trouble, "broken")], False)]
        elif self.audit is None:
            yield from _how(view)
        else:
            yield from _secrets(self.audit, view)
            yield from _members(self.audit, view)
            yield from _personal(self.audit, view)
            yield from _taking_part(self.audit.left_out, view)
            yield from _curves(self.audit)
            yield from _by_organization(self.audit, view)


def _title(audit: Audit | None, view: View) -> Text:
    glyphs = view.look.glyphs
    if audit is None:
        return rule(view.layout.width, glyphs, "audit", ("what the adapter gives away", "quiet"), focused=True)
    right = f"round {audit.round}, {numbers.clock_short(audit.t, glyphs)}"
    more = f"   {audit.report}" if view.layout.width >= 100 else ""
    return rule(view.layout.width, glyphs, "audit", (right + more, "quiet"), focused=True)


def _how(view: View) -> Iterator[Line]:
    """Say how an audit is made."""
    yield [(2, ["no audit of this run yet; once a round is finished, elsewhere:"], False)]
    yield [(4, [(f"fedlora-tui audit {called(folder_of(view))}", "yours_bold")], False)]
    yield []
    for words in (
        "it attacks the adapter: secrets that were planted, documents told",
        "from others by their loss, personal data in what it says",
    ):
        yield [(2, [(words, "quiet")], False)]
    yield []
    planted = _planted(view)
    if planted:
        yield [(2, [f"secrets are planted in {planted}"], False)]
    else:
        yield [(2, [("secrets are planted from the start alone: --set audit.secrets=4", "quiet")], False)]


def _planted(view: View) -> str:
    """Name the organizations that the run says it planted a secret in."""
    audit = view.state.started.config.get("audit", {}) if view.state.started is not None else {}
    names = audit.get("organizations", ()) if isinstance(audit, dict) else ()
    return ", ".join(map(str, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _secrets(audit: Audit, view: View) -> Iterator[Line]:
    planted = [own for own in audit.secrets if own.planted]
    known = sum(own.exposed for own in planted)
    most = math.log2(max(audit.space, 2))
    if not planted:
        yield _section("secrets", [("none was planted: --set audit.secrets=4 plants them", "quiet")])
        yield []
        return
    style = "care" if known else "quiet"
    yield _section(
        "secrets",
        [(f"{known} of {len(planted)} exposed", style), (f", from {audit.bits:.1f} of {most:.1f} bits on", "quiet")],
    )
    controls = [own for own in audit.secrets if not own.planted]
    for own in (*planted, *controls):
        yield _secret(own, most, view)
    yield []


def _secret(own: SecretFound, most: float, view: View) -> Line:
    glyphs = view.look.glyphs
    done, rest = share_bar(own.exposure / most, BAR, glyphs)
    name = cut_end(own.organization or "control, not planted", BITS - 10, glyphs)
    style = "care" if own.exposed else "" if own.planted else "quiet"
    return [
        (4, [(name, "" if own.planted else "quiet")], False),
        (BITS, [numbers.fixed(own.exposure, 1, glyphs)], True),
        (BAR_AT, [(done, style), (rest, "quiet")], False),
        (RANK, [(f"rank {numbers.count(own.rank, glyphs)}", "quiet")], True),
        (VERDICT, [("! exposed", "care")] if own.exposed else [("not exposed", "quiet")], False),
    ]


def _members(audit: Audit, view: View) -> Iterator[Line]:
    yield _section("members by their loss", [("0.500 is chance", "quiet")])
    head: Line = [(AUC, [("AUC", "quiet")], True), (CAUGHT, [("named at 1%", "quiet")], True)]
    yield [*head, (CHANCE, [("by chance", "quiet")], False)]
    for own in audit.membership:
        if not own.organization:
            yield _member(own, own.score, view)
    yield []


def _member(own: Membership, name: str, view: View) -> Line:
    glyphs = view.look.glyphs
    above = own.caught.value is not None and own.caught.value > own.chance.high
    return [
        (4, [cut_end(name, AUC - 10, glyphs)], False),
        (AUC, [numbers.fixed(own.auc.value, 3, glyphs)], True),
        (BETWEEN, [(f"{own.auc.low:.3f} to {own.auc.high:.3f}", "quiet")], False),
        (CAUGHT, [(_percent(own.caught.value, view), "care" if above else "")], True),
        (CHANCE, [(f"{_between(own.chance)}", "quiet"), (" ! above" if above else "", "care")], False),
    ]


def _personal(audit: Audit, view: View) -> Iterator[Line]:
    if not audit.personal:
        yield _section("personal data said", [("not looked for", "quiet")])
    else:
        yield _section("personal data said", [(f"in {audit.samples} continuations", "quiet")])
        for own in audit.personal:
            yield _said(own, view)
    yield []


def _said(own: PersonalFound, view: View) -> Line:
    return [
        (4, [own.what], False),
        (FOUND, [numbers.count(own.found, view.look.glyphs)], True),
        (OF, [(f"of {numbers.count(own.values, view.look.glyphs)}", "quiet")], False),
        (SHARE, [_percent(own.share.value, view)], True),
        (SHARE_BETWEEN, [(_between(own.share), "quiet")], False),
    ]


def _taking_part(found: LeftOut | None, view: View) -> Iterator[Line]:
    if found is None:
        yield _section("who took part", [("not asked: --leave-out NAME", "quiet")])
        return
    glyphs = view.look.glyphs
    yield _section("who took part", [(f"{found.organization}, {found.runs} runs with it and without", "quiet")])
    shown = f"{glyphs.epsilon} at least {numbers.fixed(found.epsilon.low, 2, glyphs)} (95%)"
    claimed = "nothing claimed" if found.claimed is None else f"claimed {numbers.epsilon(found.claimed, glyphs)}"
    verdict = ("! more than claimed", "broken") if found.broken else (claimed, "quiet")
    yield [(4, [shown], False), (BAR_AT, [verdict], False)]


def _curves(audit: Audit) -> Iterator[Line]:
    curves = [own for own in audit.membership if own.curve]
    if not curves:
        return
    yield []
    yield _section("curve", [("members named while as many of the others are", "quiet")])
    yield [(AUC + 10 * at, [(f"{share:.1%}", "quiet")], True) for at, share in enumerate(SHARES)]
    for own in curves:
        # A curve is told at shares that stand evenly from 0 to 1.
        named = [own.curve[round(share * (len(own.curve) - 1))][1] for share in SHARES]
        shares: Line = [(AUC + 10 * at, [f"{share:.1%}"], True) for at, share in enumerate(named)]
        yield [(4, [own.score], False), *shares]


def _by_organization(audit: Audit, view: View) -> Iterator[Line]:
    alone = [own for own in audit.membership if own.organization and own.score == "calibrated"]
    if not alone:
        return
    yield []
    yield _section("each organization", [("by the calibrated score", "quiet")])
    for own in alone:
        yield _member(own, own.organization, view)


def _section(title: str, behind: list[Words]) -> Line:
    return [(2, [(title, "yours_bold"), "   ", *behind], False)]


def _between(own: Interval) -> str:
    return f"{own.low:.1%} to {own.high:.1%}"


def _percent(share: float | None, view: View) -> str:
    return view.look.glyphs.dash if share is None else f"{share:.1%}"


def _drawn(line: Line, view: View, sign: str) -> Text:
    row = Row(view.layout.width, view.look.glyphs)
    for column, words, ends in line:
        if ends:
            row.to(column, *words)
        else:
            row.at(column, *words, until=view.layout.width - 2)
    return row.at(view.layout.width - 1, (sign, "quiet")).text() if sign else row.text()
