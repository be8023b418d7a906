"""Rounds whose updates are summed unseen: the configuration's terms for one, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator

from fedlora_tui.config import Config
from fedlora_tui.federation.secure_rounds import SecureRound, SecureTerms
from fedlora_tui.federation.server_app import Server
from fedlora_tui.privacy.leaving import FAR
from fedlora_tui.privacy.summing import Terms
from fedlora_tui.protocol import events as ev


def secure_round(server: Server, config: Config, round: int, largest: int, noised: Terms | None) -> SecureRound | None:
    """Begin one round's secure sum, None where updates are not hidden; `largest` is the round's largest weight.

    `noised` says how changes are held to a length, and with how much noise, where they are: then every one weighs the
    same, and the range is what no number of them is beyond.
    """
    privacy = config.privacy
    if not privacy.secure_sum:
        return None
    range, weight = privacy.secure_range, largest
    if noised is not None:
        range, weight = noised.limit.norm + FAR * noised.own_deviation, 1
    return SecureRound(server, SecureTerms(privacy.secure_threshold, privacy.secure_neighbours, range), round, weight)


def summed(secure: SecureRound, round: int) -> Iterator[ev.Event]:
    """Tell of a sum that was unmasked, and of numbers that were cut to its range."""
    assert secure.mean is not None
    cost, cut = secure.cost, secure.mean.outside
    yield ev.SecureSummed(
        round,
        secure.summed,
        secure.gone,
        secure.threshold,
        secure.holders,
        cost.bytes_up,
        cost.bytes_down,
        cost.seconds,
        len(secure.mean.values),
        cut,
        secure.bound,
    )
    if cut:
        yield ev.Warned(
            f"round {round}: {cut:,} of {len(secure.mean.values) * len(secure.summed):,} numbers of the updates were "
            f"beyond {secure.range:g} and cut to it (privacy.secure_range)"
        )
