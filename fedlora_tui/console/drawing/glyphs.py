"""Every sign that the console draws, once in Unicode and once in ASCII."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass

_UNKNOWN = "?"


@dataclass(frozen=True)
class Glyphs:
    """The signs of one terminal, one cell each but for `left`, `right`, `ellipsis`, `epsilon`, `delta` and `degree`."""

    ascii: bool
    run: Mapping[str, str]
    organization: Mapping[str, str]
    rule: str
    rule_focused: str
    bar_done: str
    bar_head: str
    bar_rest: str
    meter_ours: str
    meter_others: str
    meter_rest: str
    trend: str
    quarters: str
    holdout: str
    others: tuple[str, ...]
    curve_key: str
    knob: str
    axis: str
    axis_tick: str
    axis_corner: str
    axis_line: str
    scroll_here: str
    scroll_rest: str
    cursor: str
    choice_left: str
    choice_right: str
    caret: str
    marked: str
    yours: str
    answered: str
    refused: str
    dash: str
    minus: str
    times: str
    none: str
    separator: str
    ellipsis: str
    up: str
    down: str
    left: str
    right: str
    rises: str
    falls: str
    epsilon: str
    delta: str
    degree: str

    def series(self, place: int) -> str:
        """Sign of one of several series of marks, by its place from 0; behind the last one they begin again."""
        signs = (self.holdout, *self.others)
        return signs[place % len(signs)]

    def run_state(self, state: str) -> str:
        """Sign of a run's state, `?` for one that it does not know."""
        return self.run.get(state, _UNKNOWN)

    def organization_state(self, state: str) -> str:
        """Sign of an organization's state, `?` for one that it does not know."""
        return self.organization.get(state, _UNKNOWN)


UNICODE = Glyphs(
    ascii=False,
    run={
        "starting": "◌",
        "running": "●",
        "pausing": "◐",
        "paused": "‖",
        "finishing": "◑",
        "done": "✓",
        "failed": "✗",
        "stale": "?",
        "replay": "▷",
        "stopped": "■",
    },
    organization={
        "waiting": "·",
        "training": "▸",
        "testing": "◇",
        "done": "✓",
        "joining": "+",
        "leaving": "−",
        "late": "~",
        "fault": "!",
        "quarantine": "⊘",
        "absent": "○",
        "stopped": "■",
    },
    rule="─",
    rule_focused="━",
    bar_done="━",
    bar_head="╸",
    bar_rest="┈",
    meter_ours="█",
    meter_others="▓",
    meter_rest="░",
    trend="▁▂▃▄▅▆▇█",
    quarters=" ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█",
    holdout="●",
    others=tuple("○◆◇56789abcdefg"),
    curve_key="▞",
    knob="┊",
    axis="│",
    axis_tick="┤",
    axis_corner="└",
    axis_line="─",
    scroll_here="┃",
    scroll_rest="╎",
    cursor="›",
    choice_left="‹",
    choice_right="›",
    caret="▏",
    marked="+",
    yours="◆",
    answered="✓",
    refused="✗",
    dash="–",
    minus="−",
    times="×",
    none="·",
    separator="·",
    ellipsis="…",
    up="↑",
    down="↓",
    left="←",
    right="→",
    rises="▲",
    falls="▼",
    epsilon="ε",
    delta="δ",
    degree="°C",
)

ASCII = Glyphs(
    ascii=True,
    run={
        "starting": ".",
        "running": "*",
        "pausing": "%",
        "paused": "=",
        "finishing": "&",
        "done": "v",
        "failed": "X",
        "stale": "?",
        "replay": ">",
        "stopped": "_",
    },
    organization={
        "waiting": ".",
        "training": ">",
        "testing": "o",
        "done": "v",
        "joining": "+",
        "leaving": "-",
        "late": "~",
        "fault": "!",
        "quarantine": "#",
        "absent": "_",
        "stopped": "_",
    },
    rule="-",
    rule_focused="=",
    bar_done="#",
    bar_head="+",
    bar_rest=".",
    meter_ours="#",
    meter_others="+",
    meter_rest=".",
    trend="_.-=^",
    quarters=" ...............",
    holdout="o",
    others=tuple("x*+56789abcdefg"),
    curve_key=".",
    knob=":",
    axis="|",
    axis_tick="+",
    axis_corner="+",
    axis_line="-",
    scroll_here="|",
    scroll_rest=":",
    cursor=">",
    choice_left="<",
    choice_right=">",
    caret="_",
    marked="+",
    yours="*",
    answered="v",
    refused="X",
    dash="-",
    minus="-",
    times="x",
    none=".",
    separator="-",
    ellipsis="..",
    up="^",
    down="v",
    left="<-",
    right="->",
    rises="^",
    falls="v",
    epsilon="eps",
    delta="delta",
    degree="C",
)


def glyphs_for(environment: Mapping[str, str], encoding: str | None, forced_ascii: bool = False) -> Glyphs:
    """Signs that this terminal can show: ASCII when forced, on the Linux console, or in a locale that is not UTF-8."""
    if forced_ascii or environment.get("TERM") == "linux" or not _is_utf8(encoding or "ascii"):
        return ASCII
    return UNICODE if _locale_is_utf8(environment) else ASCII


def _locale_is_utf8(environment: Mapping[str, str]) -> bool:
    # Python turns the C locale's own streams into UTF-8, so their encoding alone does not tell what the terminal shows.
    named = next((environment[key] for key in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(key)), "")
    if named in ("C", "POSIX"):
        return False
    _, dot, codeset = named.partition(".")
    return _is_utf8(codeset.partition("@")[0]) if dot else True


def _is_utf8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name == "utf-8"
    except (LookupError, ValueError):
        return False
