"""What happened to one organization: it came or went, trained, replied, was measured, refused or quarantined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from fedlora_tui.protocol.event import Event
from fedlora_tui.protocol.parts import TextCounts


@dataclass(frozen=True)
class OrgJoined(Event):
    """An organization takes part from `round` on. Counts are of its text after duplicates are out, never the text.

    `skew` is how far its tokens' distribution is from that of everybody whose text was read, 0 to 1. Counts are None
    where the text is read when it is first needed; `OrgCounted` tells them then. `policy` is what the node of one on a
    machine of its own allows, in its words: empty where that is everything.
    """

    type: ClassVar[str] = "org_joined"
    org: str
    round: int
    documents: int | None = 0
    tokens: int | None = 0
    holdout_tokens: int | None = 0
    rank: int = 0
    skew: float | None = None
    counts: TextCounts | None = None
    policy: str = ""


@dataclass(frozen=True)
class OrgCounted(Event):
    """The text of an organization that was known by name alone has been read; counts as in `OrgJoined`."""

    type: ClassVar[str] = "org_counted"
    org: str
    round: int
    documents: int
    tokens: int
    holdout_tokens: int
    skew: float | None = None
    counts: TextCounts | None = None
    policy: str = ""


@dataclass(frozen=True)
class OrgLeft(Event):
    """An organization takes no further part from `round` on."""

    type: ClassVar[str] = "org_left"
    org: str
    round: int
    reason: str = ""


@dataclass(frozen=True)
class OrgState(Event):
    """What an organization does now: `state` is waiting, training, testing, done, joining, leaving ...."""

    type: ClassVar[str] = "org_state"
    org: str
    state: str
    round: int
    note: str = ""


@dataclass(frozen=True)
class TrainStep(Event):
    """One organization made local step `step` of `steps`; `loss` is the mean over the step's `tokens` targets."""

    type: ClassVar[str] = "train_step"
    org: str
    round: int
    step: int
    steps: int
    loss: float | None
    tokens: int = 0


@dataclass(frozen=True)
class UpdateReceived(Event):
    """An organization's reply passed the check of what may travel: so many `tensors` and `numbers`, nothing else.

    `left` are its bytes by kind: those of A, of B and of numbers; of one that was summed unseen those of its masked
    vector, and keys and shares. `shares_down` are the keys and shares in what came to it.
    """

    type: ClassVar[str] = "update_received"
    org: str
    round: int
    bytes_up: int
    bytes_down: int
    tokens: int
    loss: float | None
    tensors: int = 0
    numbers: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    shares_down: int = 0


@dataclass(frozen=True)
class UpdateMeasured(Event):
    """How an accepted update is spread over the modules: the `shares` of its squared length, the largest first.

    `cosines` say how far each points the way of the mean update there. Of very many `modules` not all are told.
    """

    type: ClassVar[str] = "update_measured"
    org: str
    round: int
    shares: Mapping[str, float | None]
    cosines: Mapping[str, float | None]
    modules: int


@dataclass(frozen=True)
class UpdateRejected(Event):
    """An organization's reply was an error or was refused, or (not `answered`) never came: it is not in the result.

    `left` are the bytes that left it all the same, by kind: "words" are an error's reason, "other" is on no list.
    """

    type: ClassVar[str] = "update_rejected"
    org: str
    round: int
    reason: str
    answered: bool = True
    left: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class UpdateLate(Event):
    """An organization's reply came, or would come, too late and is discarded.

    `seconds` is how long after the round's start that is. `surplus`: it is late only because enough others were in.
    """

    type: ClassVar[str] = "update_late"
    org: str
    round: int
    reason: str
    seconds: float
    surplus: bool = False
    bytes_up: int = 0
    bytes_down: int = 0
    left: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class OrgQuarantined(Event):
    """From now on an organization takes part in nothing, for it gave no usable reply `rounds` times in a row."""

    type: ClassVar[str] = "org_quarantined"
    org: str
    round: int
    reason: str
    rounds: int = 0


@dataclass(frozen=True)
class OrgReleased(Event):
    """From `round` on an organization that was in quarantine takes part again, with nothing held against it."""

    type: ClassVar[str] = "org_released"
    org: str
    round: int


@dataclass(frozen=True)
class OrgEvaluated(Event):
    """The adapter of `round`, or its `own` one, on its own hold-out, told in `numbers`; round 0 is the base alone."""

    type: ClassVar[str] = "org_evaluated"
    org: str
    round: int
    loss: float | None
    tokens: int
    bytes_down: int = 0
    own: bool = False
    numbers: int = 0
