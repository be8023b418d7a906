"""Rounds whose replies are added up as they come, none of them kept: when that is done, when it cannot, and how."""

from __future__ import annotations

from fedlora_tui.aggregation import METHODS, Aggregated, Method, Reply, Start
from fedlora_tui.aggregation.streaming import Intake, streams
from fedlora_tui.config import Config
from fedlora_tui.engine.health import merged, whole
from fedlora_tui.engine.one_thread import one_thread
from fedlora_tui.fault_profiles import profile_of
from fedlora_tui.federation.messages import Refused, TrainReply
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.privacy.noise import Bits
from fedlora_tui.privacy.summing import ChangeSum, Terms

SHARE = 0.25
"""Replies that would take more than this share of the memory that was free when the run began are added up at once."""

BYTES_A_NUMBER = 8
"""What a number of a reply takes while replies are kept: in its message, and in the adapter that is read out of it."""


class Taking:
    """Takes in the replies of one round, and makes of them what their method makes of all of them together."""

    def __init__(self, method: Method, start: Start, terms: Terms | None) -> None:
        """`terms` are those of a protection, under which every organization weighs the same."""
        self.intake = Intake(method, start)
        self._method, self._start, self._guarded = method, start, terms is not None
        self._changes = None if terms is None else ChangeSum(start.sent, method.sends(start.round), terms)

    def take(self, name: str, reply: TrainReply) -> None:
        """Take a reply in. Raises Refused where it does not fit."""
        with one_thread():
            try:
                self.intake.add(Reply(name, reply.adapter, 1.0 if self._guarded else reply.examples))
            except ValueError as error:
                raise Refused(str(error)) from None
            if self._changes is not None:
                self._changes.add(reply.adapter)

    def made(self, source: Bits | None) -> Aggregated:
        """Give what the replies came to; a protection's noise is made of `source`. Raises NotFiniteError."""
        if self._changes is None:
            return whole(self.intake.finish)
        assert source is not None
        return merged(self._method, [Reply("", self._changes.noised_mean(source), 1.0)], self._start)


def one_by_one(config: Config, adapter: Adapter, replies: int, free: int, gives_so: bool) -> bool:
    """Tell whether a round's replies are added up as they come.

    `free` is the memory that was free when the run began, in bytes; `gives_so` is False where the replies of a round
    come together anyhow.
    """
    asked = config.federation.streaming
    if asked != "auto":
        return bool(asked)
    if not gives_so or impossible(config) is not None:
        return False
    return replies * adapter.parameters * BYTES_A_NUMBER > SHARE * free


def unstreamable(config: Config) -> str | None:
    """Say why replies cannot be added up as they come though a configuration asks for it; None where they can."""
    reason = impossible(config) if config.federation.streaming is True else None
    return reason and f'federation.streaming = true lets go of each reply at once, and {reason}: set it to "auto"'


def impossible(config: Config) -> str | None:
    """Say what needs the replies themselves, None where nothing does."""
    federation, method = config.federation, METHODS[config.federation.aggregation]
    if not streams(method):
        able = ", ".join(other.name for other in METHODS.values() if streams(other))
        return f'federation.aggregation = "{method.name}" needs them (with {able} a sum is enough)'
    if federation.robust != "none":
        return f'federation.robust = "{federation.robust}" compares them'
    if config.privacy.secure_sum:
        return "privacy.secure_sum = true has none that could be read"
    # Over a SuperLink who is late for the deadline is not here at all.
    deadline = federation.deadline if federation.runtime == "local" else 0
    if deadline or federation.oversample or any(map(_slow, config.faults.values())):
        return "which of them are late is known when all are in (federation.deadline, oversample, slow organizations)"
    return None


def _slow(fault: str) -> bool:
    return profile_of(fault).kind == "slow"
