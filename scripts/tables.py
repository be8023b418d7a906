"""The tables of docs/screens.md, written from what the console itself draws by: columns, signs, colours, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE
from fedlora_tui.console.drawing.roles import DARK, LIGHT, NO_COLOUR, SIXTEEN
from fedlora_tui.console.widgets.columns import COLUMNS, LAST_TO_LEAVE

SAYS: Mapping[str, str] = {
    "organization": "name, cut in its middle where it is long",
    "state": "glyph and word",
    "step": "local step of the round's",
    "loss": "of the local steps of this round so far, nats a token",
    "trend": "losses over the whole planned run, one scale for all rows",
    "hold-out": "loss on its own hold-out after the last round",
    "gain": "how far that is below the base's",
    "cos": "how far its last update pointed the way of the mean one, −1 to 1",
    "rank": "of its adapter",
    "↑↓ MiB": "all it sent and was sent",
    "↑ MiB": "all it sent",
    "↓ MiB": "all it was sent",
    "weight %": "its share in the last mean",
    "k tok": "tokens of its text, in thousands",
    "skew": "distance of its tokens from everybody's, 0 to 1",
    "faults": "replies that were refused, late or missing",
    "note": "the reason of its state, in words",
}

RUN_MEANS: Mapping[str, str] = {
    "starting": "what it does now, with seconds",
    "running": "round, step and time left",
    "pausing": "until the local step ends",
    "paused": "since when, and why where nobody asked for it",
    "finishing": "last evaluation and checkpoint",
    "done": "best round and its loss",
    "failed": "where",
    "stale": "nothing was heard for a while",
    "replay": "its speed, or stopped, or at its end",
    "stopped": "ended early, by an operator or a signal",
}
ORGANIZATION_MEANS: Mapping[str, str] = {
    "waiting": "takes part in the round, not at work now",
    "training": "local steps under way",
    "testing": "its hold-out is measured",
    "done": "its reply is in",
    "joining": "from the next round on",
    "leaving": "at the next round",
    "late": "over the deadline, or far slower than the others",
    "fault": "its reply was refused this round",
    "quarantine": "out until it is released",
    "absent": "not drawn for this round",
    "stopped": "the run is over",
}
ROLE_MEANS: Mapping[str, str] = {
    "ink": "what is read",
    "quiet": "labels, units, axes, times, what is off",
    "yours": "cursor, focused rule, keys, what you asked for and what waits",
    "train": "training and its loss, our share of a meter",
    "held": "hold-out, gain, done",
    "care": "look here soon: late, pausing, stale",
    "broken": "failed, refused, in quarantine; always with a word",
    "guard": "privacy",
}
MIB = 2**20
AFTERNOON = 50_590
"""A time of day, in seconds."""

NUMBERS: Sequence[tuple[str, Sequence[str]]] = (
    ("loss", [numbers.loss(x) for x in (2.9051, 12.351, 104.21)]),
    ("gain, change", [numbers.signed(0.6812), numbers.signed(-0.038), numbers.change(-0.038)]),
    ("bytes", [numbers.bytes_text(x) for x in (0, 812, 576 * 1024, 1.2 * MIB, 31.4 * 1024 * MIB)]),
    ("memory", [numbers.memory(31.4 * 1024 * MIB, 80 * 1024 * MIB)]),
    ("rate, a second", [numbers.rate(x) for x in (940, 12_300, 182_000, 1_240_000)]),
    ("count", [numbers.count(1204), numbers.count_short(147_456), numbers.count_short(124_439_808)]),
    ("time", [numbers.duration(x) for x in (0.4, 9, 48, 121, 11_220, 187_200)]),
    ("share, ratio", [numbers.percent(0.36), numbers.percent_fine(0.0012), numbers.ratio(3), numbers.ratio(881)]),
    ("cosine, skew", [numbers.hundredths(0.79), numbers.hundredths(-0.12)]),
    ("drift", [numbers.drift(0.0412)]),
    ("learning rate", [numbers.learning_rate(x) for x in (5e-4, 2.5e-4, 0.1)]),
    ("no source; not a number; no faults", [numbers.loss(None), numbers.loss(float("nan")), numbers.faults(0)]),
)


def columns() -> str:
    """Give the columns of the table of organizations, in the order in which they stand."""
    falls = {head: str(place) for place, head in enumerate(LAST_TO_LEAVE, 1)}
    rows = (
        (
            column.head,
            SAYS[column.head],
            *(str(column.width(size) or UNICODE.dash) for size in ("compact", "normal", "wide")),
            falls.get(column.head, "never"),
        )
        for column in COLUMNS
    )
    return _table(("column", "says", "80", "100", "180", "falls away"), rows)


def states() -> str:
    """Give the signs of a run's states, and those of an organization's."""
    run = ((f"`{UNICODE.run[name]}` `{ASCII.run[name]}`", name, RUN_MEANS[name]) for name in UNICODE.run)
    organization = (
        (f"`{UNICODE.organization[name]}` `{ASCII.organization[name]}`", name, ORGANIZATION_MEANS[name])
        for name in UNICODE.organization
    )
    return "\n\n".join(
        (
            _table(("sign, in ASCII", "run", "and then"), run),
            _table(("sign, in ASCII", "organization", "means"), organization),
        )
    )


def colours() -> str:
    """Give what each colour says, and what it is where there are fewer or none."""
    rows = (
        (name, ROLE_MEANS[name], f"`{DARK[name]}`", f"`{LIGHT[name]}`", SIXTEEN[name], NO_COLOUR[name] or "plain")
        for name in DARK
    )
    return _table(("role", "says", "dark", "light", "16 colours", "none"), rows)


def formats() -> str:
    """Give numbers as they are written."""
    # Written now and not above: the time zone may have been set since.
    clock = ("clock, local", [numbers.clock(AFTERNOON), numbers.clock_short(AFTERNOON)])
    rows = ((name, "  ".join(f"`{one}`" for one in some)) for name, some in (*NUMBERS, clock))
    return _table(("number", "written"), rows)


def _table(head: Sequence[str], rows: object) -> str:
    lines = [head, ["---"] * len(head), *rows]  # type: ignore[misc]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES = {"columns": columns, "states": states, "colours": colours, "formats": formats}
