"""One organization as a run's state keeps it: what it does now, and each round that it has behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedlora_tui.protocol.changed import changed
from fedlora_tui.protocol.parts import TextCounts


@dataclass(frozen=True)
class OrganizationRound:
    """One finished round of one organization; losses in nats a token, None where there was none.

    `curve` is its train loss over equal parts of the round, for trends; `norm` and `cosine` are of its update. `ended`
    is how it stood when its reply was due: done, fault, late, or absent where it was not to train. `seconds` are those
    from the round's start to its last step.
    """

    round: int
    train_loss: float | None = None
    holdout: float | None = None
    curve: tuple[float, ...] = ()
    norm: float | None = None
    cosine: float | None = None
    ended: str = ""
    seconds: float | None = None
    bytes_up: int = 0


@dataclass(frozen=True)
class Ledger:
    """What went from and to one organization, counted.

    `replies` were taken, each of `tensors`; with what it measured they held `numbers`. `came` are the adapters that
    came to it, and `trained` the target tokens that it trained on. `left` are all bytes that left it in replies to
    training, by kind, and `lost` those of them in replies that were refused or came late.
    """

    replies: int = 0
    tensors: int = 0
    numbers: int = 0
    came: int = 0
    trained: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0

    def with_left(self, left: Mapping[str, int], lost: bool = False) -> Ledger:
        """Give it with one more reply's bytes by kind; `lost`: it is not in the result."""
        kinds = {kind: self.left.get(kind, 0) + left.get(kind, 0) for kind in {**self.left, **left}}
        return changed(self, left=kinds, lost=self.lost + (sum(left.values()) if lost else 0))


@dataclass(frozen=True)
class ByModule:
    """How its last update is spread over `modules`: shares of its squared length, the largest first, and cosines."""

    shares: Mapping[str, float | None] = field(default_factory=dict)
    cosines: Mapping[str, float | None] = field(default_factory=dict)
    modules: int = 0


@dataclass(frozen=True)
class OrganizationState:
    """One organization as the table shows it.

    `loss` is the mean of its train loss over the round's steps so far, weighted by tokens; `holdout` is of the last
    adapter that it measured, `base_holdout` of the base alone. `norm` is the length of its last update and `cosine` how
    far that pointed the way of the mean one, 1 the same way; None where none was taken or it could not be seen.
    `faults` are the replies that were `refused`, those that never came (`unanswered`) and those after the deadline;
    `late` counts the latter, and those that came when enough others were in. `fault` is what it was told to do wrong.
    `own`: what it measured last was its own adapter, not the common one. `weight` is its share in the last mean,
    `seconds` how long after the round's start its last step was, `joined` its first round. `held_out` are the rounds
    that it was in quarantine, each time the first and the last of them, None while it is. `policy` is what its node
    allows, empty where that is everything.
    """

    name: str
    state: str = "waiting"
    step: int = 0
    steps: int = 0
    loss_sum: float = 0.0
    loss_tokens: int = 0
    holdout: float | None = None
    base_holdout: float | None = None
    norm: float | None = None
    cosine: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    documents: int = 0
    tokens: int = 0
    holdout_tokens: int = 0
    skew: float | None = None
    rank: int = 0
    faults: int = 0
    refused: int = 0
    unanswered: int = 0
    late: int = 0
    quarantines: int = 0
    fault: str = ""
    note: str = ""
    history: tuple[OrganizationRound, ...] = ()
    round_curve: tuple[tuple[float, int], ...] = ()
    counts: TextCounts | None = None
    ledger: Ledger = field(default_factory=Ledger)
    by_module: ByModule = field(default_factory=ByModule)
    own: bool = False
    weight: float | None = None
    seconds: float | None = None
    joined: int = 1
    held_out: tuple[tuple[int, int | None], ...] = ()
    policy: str = ""

    def begun(self, steps: int) -> OrganizationState:
        """Give the organization at the start of a round in which it takes part."""
        begun = changed(self, state="waiting", note="", step=0, steps=steps, loss_sum=0.0, loss_tokens=0)
        return changed(begun, round_curve=(), seconds=None)

    @property
    def loss(self) -> float | None:
        """Train loss of this round so far, None before its first step."""
        return self.loss_sum / self.loss_tokens if self.loss_tokens else None

    @property
    def gain(self) -> float | None:
        """Base minus now on its own hold-out, in nats a token; higher is better."""
        if self.holdout is None or self.base_holdout is None:
            return None
        return self.base_holdout - self.holdout
