"""What a round takes in of its replies: those in before the deadline, up to the number that it needs; the rest is late.

As in Bonawitz et al., Towards Federated Learning at Scale: System Design (2019): more organizations are selected than
needed, the round closes with the last reply that is needed or with the deadline, and who comes later is turned away.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from fedlora_tui.config import FederationConfig
from fedlora_tui.engine.round_errors import TooFewRepliesError
from fedlora_tui.fault_profiles import FaultProfile, profile_of
from fedlora_tui.federation.secure_messages import AnyReply
from fedlora_tui.federation.server_app import Answer
from fedlora_tui.protocol import events as ev

SLOW = 2.0
"""So many times later than the median, an organization that is waited for is shown as late."""


class Arrivals:
    """When each organization's reply is in: so many seconds after its pass began as its own training took.

    Organizations of one process train in passes, one pass after another; each is taken as if it had begun at once.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` stands still while the run is paused."""
        self.clock = clock
        self.seconds: dict[str, float] = {}
        self._own = threading.local()

    def begin(self) -> None:
        """A pass begins in the calling thread."""
        self._own.began = self.clock()

    def step(self, organizations: Collection[str]) -> None:
        """These organizations made a local step in the calling thread's pass."""
        now = self.clock()
        took = now - getattr(self._own, "began", now)
        self.seconds |= dict.fromkeys(organizations, took)


@dataclass
class RoundSums:
    """What a round adds up while its answers come in."""

    round: int
    bytes_up: int = 0
    bytes_down: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Late:
    """Why a reply is turned away; `surplus`: enough others were in."""

    reason: str
    surplus: bool


@dataclass(frozen=True)
class Closing:
    """How a round closes: after how many seconds, and whose replies are late."""

    seconds: float = 0.0
    late: Mapping[str, Late] = field(default_factory=dict)


def closing(
    arrivals: Mapping[str, float], usable: Collection[str], goal: int, deadline: float, missing: int, seed: str
) -> Closing:
    """Close a round: with the usable reply that makes up the `goal`, or with the deadline (0: none) where one is left.

    `arrivals` are the seconds after which each reply comes, `missing` counts the organizations from which none does.
    Replies at the same moment are taken in the order of lots drawn by `seed`.
    """

    def lot(name: str) -> tuple[float, bytes]:
        return arrivals[name], hashlib.sha256(f"arrival|{seed}|{name}".encode()).digest()

    order = sorted(arrivals, key=lot)
    late = {
        name: Late(f"after the deadline of {deadline:g} s", False) for name in order if 0 < deadline < arrivals[name]
    }
    in_time = [name for name in order if name not in late]
    needed = [place for place, name in enumerate(in_time) if name in usable][:goal]
    if len(needed) == goal > 0:
        surplus = {name: Late(_surplus(goal), True) for name in in_time[needed[-1] + 1 :]}
        return Closing(arrivals[in_time[needed[-1]]], late | surplus)
    if deadline and (late or missing):
        return Closing(deadline, late)
    return Closing(max(arrivals.values(), default=0.0), late)


def _surplus(goal: int) -> str:
    return f"{goal} replies were in already"


@dataclass(frozen=True)
class Reception:
    """What a round needs to know to take its replies in: who misbehaves, when replies come, and what it waits for.

    `listens_on` is False where nobody is waited for any more once enough replied, as on machines of their own: who has
    said nothing by then is late, and not gone.
    """

    round: int
    goal: int
    deadline: float
    seed: int
    profiles: Mapping[str, FaultProfile]
    arrivals: Arrivals | None
    listens_on: bool = True

    def close(self, answers: Sequence[Answer[AnyReply]]) -> Closing:
        """Close the round over its answers; where nothing depends on time all of them are in."""
        if self.arrivals is None:
            return Closing()
        usable = {answer.organization for answer in answers if answer.reply is not None}
        missing = sum(not answer.came for answer in answers)
        seed = f"{self.seed}|{self.round}"
        closed = closing(self.seconds(answers), usable, self.goal, self.deadline, missing, seed)
        if self.listens_on or len(usable - closed.late.keys()) < self.goal:
            return closed
        silent = {own.organization: Late(_surplus(self.goal), True) for own in answers if not own.came}
        return replace(closed, late={**closed.late, **silent})

    def seconds(self, answers: Sequence[Answer[AnyReply]]) -> dict[str, float]:
        """Give after how many seconds each reply comes."""
        took = {} if self.arrivals is None else self.arrivals.seconds
        names = [answer.organization for answer in answers if answer.came]
        return {name: took.get(name, 0.0) * self._slower(name) for name in names}

    def slow(self, answers: Sequence[Answer[AnyReply]], closing: Closing) -> dict[str, float]:
        """Give those who are waited for though they are late against the others: how many times the median."""
        seconds = self.seconds(answers)
        middle = median(seconds.values()) if seconds else 0.0
        return {
            name: own / middle
            for name, own in seconds.items()
            if name not in closing.late and own > SLOW * middle > 0.0
        }

    def event_of(
        self, answer: Answer[AnyReply], closing: Closing
    ) -> ev.UpdateReceived | ev.UpdateRejected | ev.UpdateLate:
        """Tell what becomes of an answer."""
        name, reply, late = answer.organization, answer.reply, closing.late.get(answer.organization)
        if late is not None:
            seconds = self.seconds([answer]).get(name, closing.seconds)
            sizes = answer.bytes_up, answer.bytes_down
            return ev.UpdateLate(name, self.round, late.reason, seconds, late.surplus, *sizes, answer.left)
        if reply is None:
            return ev.UpdateRejected(name, self.round, answer.refusal, answer.came, answer.left)
        sizes, held = (answer.bytes_up, answer.bytes_down), (answer.tensors, answer.numbers)
        return ev.UpdateReceived(
            name, self.round, *sizes, reply.tokens, reply.loss, *held, answer.left, answer.shares_down
        )

    def _slower(self, name: str) -> float:
        profile = self.profiles.get(name)
        return profile.times or 1.0 if profile is not None and profile.kind == "slow" else 1.0


def reception(
    federation: FederationConfig,
    faults: Mapping[str, str],
    names: Collection[str],
    round: int,
    goal: int,
    clock: Callable[[], float],
) -> Reception:
    """Prepare to take in the replies of a round; time is taken only where something depends on it."""
    profiles = {name: profile_of(faults[name]) for name in names if name in faults} if faults else {}
    active = {name: profile for name, profile in profiles.items() if profile.active(round)}
    timed = federation.deadline or federation.oversample or any(own.kind == "slow" for own in active.values())
    arrivals = Arrivals(clock) if timed else None
    listens_on = federation.runtime == "local"
    return Reception(round, goal, federation.deadline, federation.seed, active, arrivals, listens_on)


def check_enough(usable: int, refusals: Sequence[str], least: int) -> None:
    """Raise TooFewRepliesError where a round has too few replies to be aggregated.

    `refusals` say of each answer why it was refused, empty where it was not.
    """
    if usable >= least:
        return
    why = next((refusal for refusal in reversed(refusals) if refusal), "they came too late")
    if not usable:
        raise TooFewRepliesError(f"none of {len(refusals)} replies could be used: {why}")
    few = f"{usable} of {len(refusals)} replies could be used, {least} are needed (federation.min_replies)"
    raise TooFewRepliesError(f"{few}: {why}")
