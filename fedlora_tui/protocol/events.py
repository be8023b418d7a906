"""What happened in a run: one frozen dataclass a kind, one JSON line each; of organizations: events_of_organizations.

A `Record` is an event with its place in the run: `seq` (1, 2, 3, ... without holes) and `t` (seconds since the epoch).
Losses are cross-entropy in nats a token, bytes are what a Message's arrays weigh, seconds are wall time. An event never
holds an organization's text, tokens or gradients. Readers skip kinds and fields that they do not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from fedlora_tui.protocol.event import Event as Event
from fedlora_tui.protocol.events_of_machines import Deployed as Deployed
from fedlora_tui.protocol.events_of_machines import NodeRefused as NodeRefused
from fedlora_tui.protocol.events_of_organizations import OrgCounted as OrgCounted
from fedlora_tui.protocol.events_of_organizations import OrgEvaluated as OrgEvaluated
from fedlora_tui.protocol.events_of_organizations import OrgJoined as OrgJoined
from fedlora_tui.protocol.events_of_organizations import OrgLeft as OrgLeft
from fedlora_tui.protocol.events_of_organizations import OrgQuarantined as OrgQuarantined
from fedlora_tui.protocol.events_of_organizations import OrgReleased as OrgReleased
from fedlora_tui.protocol.events_of_organizations import OrgState as OrgState
from fedlora_tui.protocol.events_of_organizations import TrainStep as TrainStep
from fedlora_tui.protocol.events_of_organizations import UpdateLate as UpdateLate
from fedlora_tui.protocol.events_of_organizations import UpdateMeasured as UpdateMeasured
from fedlora_tui.protocol.events_of_organizations import UpdateReceived as UpdateReceived
from fedlora_tui.protocol.events_of_organizations import UpdateRejected as UpdateRejected
from fedlora_tui.protocol.events_of_sums import SecureFailed as SecureFailed
from fedlora_tui.protocol.events_of_sums import SecureSummed as SecureSummed
from fedlora_tui.protocol.finite import finite_value
from fedlora_tui.protocol.parts import Gpu as Gpu
from fedlora_tui.protocol.parts import TextCounts as TextCounts
from fedlora_tui.protocol.parts import Waiting as Waiting
from fedlora_tui.protocol.typed import built, frozen, is_time

VERSION = 1
UNRECORDED = 0
"""The `seq` of what is said before the run's folder exists: shown live, in no journal."""


@dataclass(frozen=True)
class Preparing(Event):
    """One stage of the start: `configuration`, `device`, `base`, `organizations` or `first look`.

    `done` of `total` (in `unit`) is known while something is downloaded or measured, else both are None.
    """

    type: ClassVar[str] = "preparing"
    stage: str
    state: str  # "waiting", "working" or "done"
    detail: str = ""
    done: float | None = None
    total: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class RunStarted(Event):
    """The run's folder exists and its organizations are known; `config` is the whole resolved configuration.

    `keeps_rank`: the method's rank cannot be turned. `unequal_ranks`: organizations may have ranks of their own.
    `parent` is the run that this one goes on from, as it was after `parent_round`; empty where it began by itself.
    `vocabulary` is how many tokens the base's tokenizer knows, 0 where that was not told.
    """

    type: ClassVar[str] = "run_started"
    run: str
    model: str
    params: int
    trainable: int
    rank: int
    alpha: float
    aggregation: str
    orgs: tuple[str, ...]
    device: str
    config: Mapping[str, Any]
    rounds: int = 0
    learning_rate: float = 0.0
    target_modules: tuple[str, ...] = ()
    dtype: str = "float32"
    folder: str = ""
    keeps_rank: bool = False
    unequal_ranks: bool = True
    parent: str = ""
    parent_round: int | None = None
    vocabulary: int = 0


@dataclass(frozen=True)
class RunContinued(Event):
    """The run goes on as it was at the end of `round`; what is told above of later rounds happened and does not count.

    `reason` says what went before: it was stopped, it failed, its process was killed, it was forked. `orgs` take part;
    `waiting` are changes that were asked for and wait. The settings are those of that round: `ranks` those that
    organizations have of their own, and the losses its own; a fork's journal tells them nowhere else.
    """

    type: ClassVar[str] = "run_continued"
    round: int
    reason: str
    orgs: tuple[str, ...]
    rounds: int
    rank: int
    ranks: Mapping[str, int]
    learning_rate: float
    aggregation: str
    trainable: int
    keeps_rank: bool = False
    unequal_ranks: bool = True
    waiting: tuple[Waiting, ...] = ()
    train_loss: float | None = None
    eval_loss: float | None = None
    base_loss: float | None = None


@dataclass(frozen=True)
class PauseRequested(Event):
    """A pause was asked for and comes with the end of the running local step."""

    type: ClassVar[str] = "pause_requested"
    round: int = 0


@dataclass(frozen=True)
class RunPaused(Event):
    """Nothing trains. `reason` is empty when the operator asked for it, else it says why the run paused by itself."""

    type: ClassVar[str] = "run_paused"
    round: int
    step: int = 0
    reason: str = ""


@dataclass(frozen=True)
class RunResumed(Event):
    """The run goes on where it was paused."""

    type: ClassVar[str] = "run_resumed"
    round: int


@dataclass(frozen=True)
class RunFinishing(Event):
    """No further round will start; `reason` is empty or says who asked for an early end."""

    type: ClassVar[str] = "run_finishing"
    round: int
    reason: str = ""


@dataclass(frozen=True)
class RunFinished(Event):
    """The run ended by itself, or after the round in which an early end was asked for."""

    type: ClassVar[str] = "run_finished"
    rounds: int
    train_loss: float | None
    eval_loss: float | None
    base_loss: float | None
    best_round: int | None
    best_loss: float | None
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class RunStopped(Event):
    """The run was stopped between two local steps: by the operator, by an interrupt or by a termination signal."""

    type: ClassVar[str] = "run_stopped"
    round: int
    step: int = 0
    reason: str = ""


@dataclass(frozen=True)
class RunFailed(Event):
    """The run cannot go on; the traceback is in engine.log."""

    type: ClassVar[str] = "run_failed"
    round: int
    reason: str
    step: int = 0


ENDS = (RunFinished, RunStopped, RunFailed)
"""One of these is the last that the process of a run tells of it, if it comes to that."""


@dataclass(frozen=True)
class CohortSized(Event):
    """From now on `cohort` organizations go through the base in one pass; fewer than before where memory ran out.

    `lanes` are the passes that go side by side: on several GPUs, or on the processors of a machine.
    """

    type: ClassVar[str] = "cohort_sized"
    cohort: int
    lanes: int = 1


@dataclass(frozen=True)
class RoundStarted(Event):
    """A round begins with the sampled `orgs`; `steps` is the largest number of local steps among them."""

    type: ClassVar[str] = "round_started"
    round: int
    rounds: int
    orgs: tuple[str, ...]
    steps: int
    learning_rate: float = 0.0


@dataclass(frozen=True)
class KnobTurned(Event):
    """A setting changed with this round: `knob` is the command's name, `org` whose it is, empty for all.

    `lost` is what a lower rank cost: the relative error of the best approximation; 0 where nothing was lost.
    `trainable` are the numbers of the global adapter from now on. `keeps_rank` and `unequal_ranks` are those of
    `RunStarted`, told where the method changed.
    """

    type: ClassVar[str] = "knob_turned"
    round: int
    knob: str
    before: Any
    value: Any
    trainable: int
    org: str = ""
    lost: float = 0.0
    keeps_rank: bool | None = None
    unequal_ranks: bool | None = None


@dataclass(frozen=True)
class RoundAggregated(Event):
    """The accepted replies became the new global adapter; `weights` are the organizations' shares in it.

    `left_out` and `shortened` are those whose replies a defence did not take, or not in full. `drifts` is the drift of
    each module by itself. `norms` and `cosines` are of each organization's update of the products: its length, and how
    far it points the way of the mean one; null where the server cannot see it or it is nothing.
    """

    type: ClassVar[str] = "round_aggregated"
    round: int
    orgs: tuple[str, ...]
    weights: Mapping[str, float]
    drift: float | None
    seconds: float
    left_out: tuple[str, ...] = ()
    shortened: tuple[str, ...] = ()
    drifts: Mapping[str, float | None] = field(default_factory=dict)
    norms: Mapping[str, float | None] = field(default_factory=dict)
    cosines: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class RoundFinished(Event):
    """A whole round is over and its checkpoint is written. `eval_loss` is a mean weighted by tokens.

    `base_loss` is that of the base alone, as it was before round 1.
    """

    type: ClassVar[str] = "round_finished"
    round: int
    rounds: int
    train_loss: float | None
    eval_loss: float | None
    bytes_up: int
    bytes_down: int
    seconds: float
    tokens: int
    drift: float | None
    orgs: tuple[str, ...]
    base_loss: float | None = None


@dataclass(frozen=True)
class Telemetry(Event):
    """The machine now. `cpu` is this process's share of all processors (0 to 1); memory in bytes."""

    type: ClassVar[str] = "telemetry"
    cpu: float | None
    cpus: int
    memory_process: int | None
    memory_total: int | None
    disk_free: int | None = None
    disk_run: int | None = None
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True)
class PrivacySpent(Event):
    """What was given away of an organization by the end of `round`, at `delta`: told before any of it leaves one.

    `target` is the budget, 0 where there is none. The round is charged as a sum of organizations, each drawn with
    `probability`, under noise of `noise_multiplier` clip norms. `seeded`: the noise protects nothing.
    """

    type: ClassVar[str] = "privacy_spent"
    epsilon: float
    delta: float
    round: int
    target: float = 0.0
    accountant: str = ""
    noise_multiplier: float = 0.0
    probability: float = 1.0
    sampling: str = ""
    seeded: bool = False


@dataclass(frozen=True)
class CheckpointWritten(Event):
    """`path` (below the run's folder) holds a whole checkpoint of `round`."""

    type: ClassVar[str] = "checkpoint_written"
    round: int
    path: str
    bytes: int
    seconds: float


@dataclass(frozen=True)
class AdapterExported(Event):
    """`path` holds the adapter of `round` in PEFT's format, or a whole model when `merged`."""

    type: ClassVar[str] = "adapter_exported"
    round: int
    path: str
    merged: bool
    bytes: int


@dataclass(frozen=True)
class CommandAcknowledged(Event):
    """A command was taken. It acts at once when `takes_effect_round` is None, else at the start of that round.

    `before` is what a setting stood at with what waited for that round. `by` is who asked: a console, a signal.
    """

    type: ClassVar[str] = "command_acknowledged"
    command: str
    value: Any
    takes_effect_round: int | None
    by: str = "you"
    before: Any = None


@dataclass(frozen=True)
class CommandRefused(Event):
    """A command was not taken, and changed nothing. `by` is who asked for it."""

    type: ClassVar[str] = "command_refused"
    command: str
    value: Any
    reason: str
    by: str = "you"


@dataclass(frozen=True)
class Warned(Event):
    """Something that the operator should know and that does not stop the run.

    `awaits`: the run waits for organizations, and its next round begins when they are here.
    """

    type: ClassVar[str] = "warning"
    message: str
    org: str | None = None
    awaits: bool = False


KINDS: Mapping[str, type[Event]] = {kind.type: kind for kind in Event.__subclasses__()}


@dataclass(frozen=True)
class Record:
    """An event at its place in the run."""

    seq: int
    t: float
    event: Event

    @cached_property
    def line(self) -> str:
        """The record as the journal holds it: written out once, whoever else is told of it."""
        return to_json(self)


@dataclass(frozen=True)
class Unknown(Event):
    """A kind that this version does not know: kept whole, so that a journal's numbering stays visible."""

    type: ClassVar[str] = "unknown"
    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)


def to_json(record: Record, run: str = "") -> str:
    """Write a record as one line of JSON; numbers that are not finite become null.

    `run` is its run's id, where the lines of several runs go one way.
    """
    head = {"v": VERSION, "seq": record.seq, "t": round(record.t, 3), **({"run": run} if run else {})}
    event = record.event
    if isinstance(event, Unknown):
        body = {"type": event.kind, **event.body}
    else:
        body = {"type": event.type, **asdict(event)}
    return json.dumps(finite_value({**head, **body}), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class NewerVersion(ValueError):
    """A line that a later version of this program wrote."""


def from_json(line: str) -> Record:
    """Read one line back.

    A kind that is not known gives `Unknown`. Raises ValueError for a line that is no event of this version,
    NewerVersion where it is one of a later version.
    """
    return from_mapping(json.loads(line))


def check_version(version: object) -> None:
    """Refuse a line's version that is not this one's. Raises ValueError, NewerVersion where it is a later one."""
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        raise (NewerVersion if newer else ValueError)(f"event version {version!r}, this program reads up to {VERSION}")


def from_mapping(data: Any) -> Record:
    """Read an event from what its line says, which is used up; as `from_json` does."""
    if not isinstance(data, dict):
        raise ValueError("an event line is a JSON object")
    check_version(data.pop("v", None))
    try:
        seq, t, kind = int(data.pop("seq")), float(data.pop("t")), str(data.pop("type"))
    except (KeyError, TypeError, OverflowError) as missing:
        raise ValueError(f"an event line needs seq, t and type: {missing}") from None
    if not is_time(t) or seq < 0:
        raise ValueError("an event line's seq and t are no number and time of an event")
    known = KINDS.get(kind)
    return Record(seq, t, Unknown(kind, data) if known is None else _build(known, data))


_PARTS: Mapping[type[Event], tuple[str, type, bool]] = {
    Telemetry: ("gpus", Gpu, True),
    RunContinued: ("waiting", Waiting, True),
    OrgJoined: ("counts", TextCounts, False),
    OrgCounted: ("counts", TextCounts, False),
}
"""The fields of kinds that hold dataclasses of their own, several or one."""


def _build(kind: type[Event], data: dict[str, Any]) -> Event:
    values = {name: frozen(value) for name, value in data.items()}
    try:
        if kind in _PARTS:
            name, part, several = _PARTS[kind]
            if several:
                values[name] = tuple(built(part, kind.type, one) for one in values.get(name, ()))
            elif values.get(name) is not None:
                values[name] = built(part, kind.type, values[name])
        event: Event = built(kind, kind.type, values)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"event {kind.type}: {error}") from None
    return event
