"""Which method, defence, server optimizer and ranks can work together; what cannot is refused before a run begins."""

from __future__ import annotations

from collections.abc import Mapping

from fedlora_tui.aggregation import METHODS
from fedlora_tui.aggregation.method import Method
from fedlora_tui.aggregation.robust import DEFENCES, Defence, check_size
from fedlora_tui.config import FederationConfig

_WITH_RANKS: Mapping[str, Mapping[str, Method | Defence]] = {"aggregation": METHODS, "robust": DEFENCES}
"""By their keys, the choices that say whether ranks may be unequal."""


def unworkable_config(asked: FederationConfig, replies: int) -> str | None:
    """Say why what a configuration asks of the server cannot work, and what to do; None where it can.

    `replies` are those that a round brings.
    """
    method = METHODS[asked.aggregation]
    moved = asked.server_optimizer != "none" or asked.server_learning_rate != 1.0 or asked.server_cooldown > 0
    if moved and not method.continues:
        return (
            f'federation.aggregation = "{method.name}" starts each round from other factors than those it sent, so no '
            f'server optimizer or rate can go on from them: set federation.server_optimizer = "none", '
            f"server_learning_rate = 1.0 and server_cooldown = 0.0, or choose another method"
        )
    return None if asked.robust == "none" else _undefendable(asked, replies)


def _undefendable(asked: FederationConfig, replies: int) -> str | None:
    method, defence = METHODS[asked.aggregation], DEFENCES[asked.robust]
    where = f'federation.robust = "{defence.name}"'
    if method.keeps_b_at_home:
        return (
            f'{where} looks at whole replies, and federation.aggregation = "{method.name}" keeps B at home: '
            f"set one of them to another"
        )
    if defence.weighs and method.weighs:
        return (
            f'{where} gives replies their weights, and federation.aggregation = "{method.name}" weighs them itself, '
            f"by lengths that attackers choose: set one of them to another"
        )
    if method.needs not in defence.goes_with:
        able = ", ".join(
            other.name for other in METHODS.values() if other.needs in defence.goes_with and not other.keeps_b_at_home
        )
        return (
            f"{where} averages factors itself, which is not what federation.aggregation = "
            f'"{method.name}" does: it goes with {able}'
        )
    try:
        check_size(asked.robust, replies, asked.byzantine)
    except ValueError as error:
        return f"{where}: {error}; lower federation.byzantine, or let more organizations train in a round"
    return None


def unequal_ranks_refused(default: int, own: Mapping[str, int], asked: FederationConfig) -> str | None:
    """Say why organizations cannot have ranks of their own, where some have; None where they can."""
    unequal = sorted(name for name, rank in own.items() if rank != default)
    key = needs_equal_ranks(asked)
    if not unequal or key is None:
        return None
    able = ", ".join(other.name for other in _WITH_RANKS[key].values() if other.unequal_ranks)
    return (
        f'lora.rank gives {unequal[0]} a rank of its own, and federation.{key} = "{getattr(asked, key)}" needs equal '
        f"ones: choose {able}, or one rank for all"
    )


def needs_equal_ranks(asked: FederationConfig) -> str | None:
    """Give the key of what needs equal ranks in a configuration, None where organizations may have their own."""
    for key, known in _WITH_RANKS.items():
        chosen = known.get(getattr(asked, key))
        if chosen is not None and not chosen.unequal_ranks:
            return key
    return None
