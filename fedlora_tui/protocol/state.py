"""What a run looks like now: `RunState`, and `apply(state, record) -> RunState`, a pure reducer over its events.

Every reader folds the same records into the same state: the console, the headless progress, the tests. A record of a
kind that is not known changes nothing but `seq`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol import taking_part, unseen_steps
from fedlora_tui.protocol.changed import changed
from fedlora_tui.protocol.conduct import CONDUCT, OUT, faults_in
from fedlora_tui.protocol.continuing import continued, remembered, settings
from fedlora_tui.protocol.curve import added, condensed, means
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.joining import whose
from fedlora_tui.protocol.organization import OrganizationState
from fedlora_tui.protocol.ranks import Ranks, ranks_in
from fedlora_tui.protocol.taking_part import known

LOG_LENGTH = 400
CURVE_POINTS = 16
"""The most points that one finished round keeps of its train curve."""

TREND_PARTS = 4
"""Into how many parts a round falls in the trend of one organization."""

MERGED_LENGTH = 200
"""Of how many rounds, the newest, the drift of every module is kept."""

AT_WORK = ("training", "testing")
NOT_LOGGED = (
    ev.TrainStep,
    ev.Telemetry,
    ev.OrgState,
    ev.OrgEvaluated,
    ev.UpdateReceived,
    ev.UpdateMeasured,
    ev.RoundAggregated,
    ev.OrgCounted,
    ev.CohortSized,
)
OVER = ("done", "failed", "stopped")


@dataclass(frozen=True)
class RoundSummary:
    """One finished round of the whole run; round 0 is the base alone. `cosine` is the mean of its updates'.

    `saved` is what its checkpoint weighed when it was written, in bytes, None where none was.
    """

    round: int
    train_loss: float | None
    eval_loss: float | None
    drift: float | None = None
    cosine: float | None = None
    seconds: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    tokens: int = 0
    orgs: int = 0
    t: float = 0.0
    saved: int | None = None


@dataclass(frozen=True)
class Merged:
    """What the replies of one round came to: its drift, that of each module, and the mean of its updates' cosines.

    A number is None where the server could not see the replies, or where there was nothing to compare with.
    """

    round: int
    drift: float | None = None
    drifts: Mapping[str, float | None] = field(default_factory=dict)
    cosine: float | None = None


@dataclass(frozen=True)
class Answer:
    """The engine's word on the last command: `event` is an acknowledgement or a refusal."""

    t: float
    event: ev.CommandAcknowledged | ev.CommandRefused


@dataclass(frozen=True)
class RunState:
    """A run as its events tell it. Times are seconds since the epoch, None where nothing was told yet.

    `deployed`: its organizations are on machines of their own, and no step of theirs is told. `awaits_since`: since
    then a round waits for as many of them as it needs.
    """

    phase: str = "starting"
    reason: str = ""
    seq: int = 0
    t: float = 0.0
    began: float | None = None
    phase_since: float | None = None
    preparation: Mapping[str, ev.Preparing] = field(default_factory=dict)
    preparation_since: Mapping[str, float] = field(default_factory=dict)
    started: ev.RunStarted | None = None
    learning_rate: float = 0.0
    ranks: Ranks = field(default_factory=Ranks)
    rounds: int = 0
    round: int = 0
    step: int = 0
    steps: int = 0
    round_since: float | None = None
    round_tokens: int = 0
    round_finished: bool = True
    organizations: Mapping[str, OrganizationState] = field(default_factory=dict)
    left_up: int = 0
    left_down: int = 0
    history: tuple[RoundSummary, ...] = ()
    merged: tuple[Merged, ...] = ()
    base_sum: float = 0.0
    base_tokens: int = 0
    curve: tuple[tuple[float, ...], ...] = ()
    round_curve: tuple[tuple[float, int], ...] = ()
    waiting: tuple[ev.Waiting, ...] = ()
    marks: tuple[ev.KnobTurned, ...] = ()
    aggregation: str = ""
    keeps_rank: bool = False
    unequal_ranks: bool = True
    trainable: int = 0
    answer: Answer | None = None
    log: tuple[Record, ...] = ()
    machine: ev.Telemetry | None = None
    speed: float | None = None
    cohort: int | None = None
    lanes: int = 1
    privacy: ev.PrivacySpent | None = None
    checkpoint: ev.CheckpointWritten | None = None
    checkpoint_t: float | None = None
    export: ev.AdapterExported | None = None
    deployed: bool = False
    awaits_since: float | None = None
    insecure: str = ""
    refused: int = 0
    behind: tuple[RunState, ...] = ()

    @property
    def rank(self) -> int:
        """The rank of all organizations that have none of their own."""
        return self.ranks.default

    @property
    def over(self) -> bool:
        """True once nothing more will happen."""
        return self.phase in OVER

    @property
    def train_loss(self) -> float | None:
        """Mean train loss of the round under way, else of the last finished one."""
        tokens = sum(count for _, count in self.round_curve)
        if tokens:
            return sum(total for total, _ in self.round_curve) / tokens
        return next((row.train_loss for row in reversed(self.history) if row.train_loss is not None), None)

    @property
    def eval_loss(self) -> float | None:
        """Hold-out loss of the last measured adapter."""
        return next((row.eval_loss for row in reversed(self.history) if row.eval_loss is not None), None)

    @property
    def base_loss(self) -> float | None:
        """Hold-out loss of the base alone."""
        return next((row.eval_loss for row in self.history if row.round == 0), None)

    @property
    def best(self) -> RoundSummary | None:
        """The finished round, from 1 on, with the lowest hold-out loss."""
        measured = [row for row in self.history if row.round > 0 and row.eval_loss is not None]
        return min(measured, key=lambda row: row.eval_loss or 0.0, default=None)

    @property
    def change(self) -> float | None:
        """Hold-out loss of the last round minus that of the round before; negative is better."""
        measured = [row.eval_loss for row in self.history if row.eval_loss is not None]
        return measured[-1] - measured[-2] if len(measured) > 1 else None

    @property
    def gain(self) -> float | None:
        """Base minus now on the hold-outs; higher is better."""
        if self.eval_loss is None or self.base_loss is None or len(self.history) < 2:
            return None
        return self.base_loss - self.eval_loss

    @property
    def progress(self) -> float:
        """The share of all rounds that is behind, 0 to 1."""
        if self.phase == "done" or not self.rounds:
            return 1.0 if self.phase == "done" else 0.0
        if self.round_finished:
            return min(1.0, self.round / self.rounds)
        return min(1.0, (self.round - 1 + self.part) / self.rounds)

    @property
    def part(self) -> float:
        """The share of the round's training that is behind, 0 to 1: of its steps, else of its replies."""
        if self.deployed:
            return unseen_steps.share_in(self)
        return self.step / self.steps if self.steps else 0.0

    @property
    def bytes_up(self) -> int:
        """What all organizations sent so far, those that left too, in bytes."""
        return self.left_up + sum(org.bytes_up for org in self.organizations.values())

    @property
    def bytes_down(self) -> int:
        """What was sent to all organizations so far, those that left too, in bytes."""
        return self.left_down + sum(org.bytes_down for org in self.organizations.values())

    def seconds_left(self, now: float) -> float | None:
        """Estimate the time to the end from the rounds behind, None while there is nothing to estimate from."""
        if self.over or self.phase == "starting" or not self.rounds or self.awaits_since is not None:
            return None
        recent = [row.seconds for row in self.history[-5:] if row.seconds and row.round > 0]
        if recent:
            whole = sum(recent) / len(recent)
        elif self.step and self.steps and self.round_since is not None and not self.round_finished:
            whole = max(0.0, self.t - self.round_since) * self.steps / self.step
        else:
            return None
        left = whole * (self.rounds - self.round + (0 if self.round_finished else 1))
        if not self.round_finished and self.round_since is not None:
            clock = self.phase_since if self.phase == "paused" and self.phase_since else now
            left -= min(whole, max(0.0, clock - self.round_since))
        return max(0.0, left)


def fold(state: RunState, records: Iterable[Record]) -> RunState:
    """Apply many records, oldest first."""
    for record in records:
        state = apply(state, record)
    return state


def apply(state: RunState, record: Record) -> RunState:
    """Give the state after one more record; the state that was passed in stays as it was."""
    change = _CHANGES.get(type(record.event))
    if change is not None:
        state = change(state, record.event, record.t)
    log = state.log
    if not isinstance(record.event, NOT_LOGGED):
        log = (*log[-(LOG_LENGTH - 1) :], record)
    state = changed(state, seq=max(state.seq, record.seq), t=record.t, began=state.began or record.t, log=log)
    return remembered(state, record.event)


def _phase(state: RunState, phase: str, t: float, reason: str = "") -> RunState:
    return changed(state, phase=phase, phase_since=t, reason=reason)


def _organization(run: RunState, name: str, /, **values: Any) -> RunState:
    org = run.organizations.get(name) or OrganizationState(name)
    return changed(run, organizations={**run.organizations, name: changed(org, **values)})


def _known_organization(state: RunState, name: str) -> OrganizationState:
    return state.organizations.get(name) or OrganizationState(name)


def _with(state: RunState, org: OrganizationState) -> RunState:
    return changed(state, organizations={**state.organizations, org.name: org})


def _each_organization(
    state: RunState, change: Callable[[OrganizationState], OrganizationState]
) -> Mapping[str, OrganizationState]:
    return {name: change(org) for name, org in state.organizations.items()}


def _preparing(state: RunState, event: ev.Preparing, t: float) -> RunState:
    if state.over:
        # It goes on, as whoever comes before it has begun to hears from its process alone.
        state = _phase(state, "starting", t)
    since = state.preparation_since
    if event.stage not in since and event.state != "waiting":
        since = {**since, event.stage: t}
    return changed(state, preparation={**state.preparation, event.stage: event}, preparation_since=since)


def _run_started(state: RunState, event: ev.RunStarted, t: float) -> RunState:
    ranks, faults = ranks_in(event.config, event.rank), faults_in(event.config)
    organizations = {n: OrganizationState(n, rank=ranks.of(n), fault=faults.get(n, "")) for n in event.orgs}
    return changed(
        state,
        **settings(event),
        started=event,
        ranks=ranks,
        organizations={**organizations, **{n: o for n, o in state.organizations.items() if n in organizations}},
    )


def _pause_requested(state: RunState, event: ev.PauseRequested, t: float) -> RunState:
    return _phase(state, "pausing", t)


def _run_paused(state: RunState, event: ev.RunPaused, t: float) -> RunState:
    def rest(org: OrganizationState) -> OrganizationState:
        return changed(org, state="waiting") if org.state in AT_WORK else org

    return changed(_phase(state, "paused", t, event.reason), organizations=_each_organization(state, rest))


def _run_resumed(state: RunState, event: ev.RunResumed, t: float) -> RunState:
    since = state.round_since
    if since is not None and state.phase == "paused" and state.phase_since is not None:
        since += max(0.0, t - state.phase_since)
    return changed(_phase(state, "running", t), round_since=since)


def _run_finishing(state: RunState, event: ev.RunFinishing, t: float) -> RunState:
    return _phase(state, "finishing", t, event.reason)


def _run_finished(state: RunState, event: ev.RunFinished, t: float) -> RunState:
    return changed(_phase(state, "done", t, event.reason), round_finished=True, waiting=())


def _run_ended_early(state: RunState, event: ev.RunStopped | ev.RunFailed, t: float) -> RunState:
    def stop(org: OrganizationState) -> OrganizationState:
        return changed(org, state="stopped")

    phase = "failed" if isinstance(event, ev.RunFailed) else "stopped"
    ended = _phase(state, phase, t, event.reason)
    return changed(ended, organizations=_each_organization(state, stop), waiting=())


def _round_started(state: RunState, event: ev.RoundStarted, t: float) -> RunState:
    taking_part = frozenset(event.orgs)

    def begin(org: OrganizationState) -> OrganizationState:
        if org.name in taking_part:
            return org.begun(event.steps)
        # Of ten thousand nearly all were absent before, and stay as they are.
        stays = org.state in ("joining", "quarantine") or (org.state == "absent" and org.step == org.steps == 0)
        return org if stays else changed(org, state="absent", step=0, steps=0)

    if state.phase == "starting":
        state = _phase(state, "running", t)
    return changed(
        state,
        round=event.round,
        rounds=event.rounds,
        step=0,
        steps=event.steps,
        learning_rate=event.learning_rate or state.learning_rate,
        round_since=t,
        round_tokens=0,
        round_finished=False,
        round_curve=(),
        awaits_since=None,
        organizations=_each_organization(state, begin),
        waiting=tuple(change for change in state.waiting if change.round > event.round),
    )


def _train_step(state: RunState, event: ev.TrainStep, t: float) -> RunState:
    org = state.organizations.get(event.org) or OrganizationState(event.org)
    tokens = max(event.tokens, 1) if event.loss is not None else 0
    total = (event.loss or 0.0) * tokens
    state = _organization(
        state,
        event.org,
        state=_working(org, "training"),
        step=event.step,
        steps=event.steps,
        loss_sum=org.loss_sum + total,
        loss_tokens=org.loss_tokens + tokens,
        seconds=None if state.round_since is None else max(0.0, t - state.round_since),
        round_curve=added(org.round_curve, (event.step - 1) * TREND_PARTS // max(event.steps, 1), total, tokens),
    )
    curve = added(state.round_curve, event.step - 1, total, tokens)
    round_tokens = state.round_tokens + event.tokens
    speed = state.speed
    if state.round_since is not None and t > state.round_since:
        speed = round_tokens / (t - state.round_since)
    step = max(state.step, event.step)
    return changed(state, step=step, round_curve=curve, round_tokens=round_tokens, speed=speed)


def _update_received(state: RunState, event: ev.UpdateReceived, t: float) -> RunState:
    org = unseen_steps.with_loss(state, _known_organization(state, event.org), event)
    return unseen_steps.with_reply(_with(state, taking_part.replied(org, event)), event, t)


def _conduct(state: RunState, event: Any, t: float) -> RunState:
    org = state.organizations.get(event.org) or OrganizationState(event.org)
    now = CONDUCT[type(event)](org, event)
    return changed(_no_longer_waiting(state, event), organizations={**state.organizations, event.org: now})


def _secure_failed(state: RunState, event: ev.SecureFailed, t: float) -> RunState:
    here = {name: size for name, size in event.left.items() if name in state.organizations}
    told = {name: taking_part.in_vain(state.organizations[name], size) for name, size in here.items()}
    return changed(state, organizations={**state.organizations, **told})


def _round_aggregated(state: RunState, event: ev.RoundAggregated, t: float) -> RunState:
    norms, cosines = known(event.norms), known(event.cosines)
    moved = {
        name: taking_part.moved(
            state.organizations[name], event.round, norms.get(name), cosines.get(name), event.weights.get(name)
        )
        for name in {**norms, **cosines}
        if name in state.organizations
    }
    pointing = [cosine for cosine in cosines.values() if cosine is not None]
    mean = sum(pointing) / len(pointing) if pointing else None
    # A run that goes on from a checkpoint goes through some rounds once more.
    earlier = tuple(merged for merged in state.merged if merged.round < event.round)[-(MERGED_LENGTH - 1) :]
    merged = Merged(event.round, event.drift, known(event.drifts), mean)
    return changed(state, organizations={**state.organizations, **moved}, merged=(*earlier, merged))


def _update_measured(state: RunState, event: ev.UpdateMeasured, t: float) -> RunState:
    return _with(state, taking_part.spread(_known_organization(state, event.org), event))


def _org_evaluated(state: RunState, event: ev.OrgEvaluated, t: float) -> RunState:
    if event.round == 0:
        state = _base_measured(state, event, t)
    return _with(state, taking_part.measured(_known_organization(state, event.org), event))


def _base_measured(state: RunState, event: ev.OrgEvaluated, t: float) -> RunState:
    """Fold one hold-out into round 0, which has no `round_finished`; a later joiner does not change it."""
    if state.round > 0 or event.loss is None:
        return state
    total, tokens = state.base_sum + event.loss * event.tokens, state.base_tokens + event.tokens
    row = RoundSummary(0, None, total / tokens if tokens else None, orgs=len(state.organizations), t=t)
    return changed(state, base_sum=total, base_tokens=tokens, history=(row,))


def _org_state(state: RunState, event: ev.OrgState, t: float) -> RunState:
    org = unseen_steps.came(state, _known_organization(state, event.org), event, t)
    state = _with(state, org)
    if event.state in (*AT_WORK, "done"):
        return _organization(state, event.org, state=_working(org, event.state), note=event.note or org.note)
    return _organization(state, event.org, state=event.state, note=event.note)


def _working(org: OrganizationState, state: str) -> str:
    """Give the state of one that works: one that leaves, or went wrong this round, is shown as that until the next."""
    return org.state if org.state in (*OUT, "leaving") else state


def _no_longer_waiting(state: RunState, event: Any) -> RunState:
    """Forget what waited for an organization: it came, it went, could not come, or was released."""
    if not isinstance(event, ev.OrgJoined | ev.OrgLeft | ev.OrgReleased):
        return state
    return changed(state, waiting=tuple(change for change in state.waiting if whose(change) != event.org))


def _org_joined(state: RunState, event: ev.OrgJoined, t: float) -> RunState:
    org = taking_part.joined(_known_organization(state, event.org), event, state.ranks.of(event.org))
    return _with(_no_longer_waiting(state, event), org)


def _org_counted(state: RunState, event: ev.OrgCounted, t: float) -> RunState:
    return _with(state, taking_part.counted(_known_organization(state, event.org), event))


def _org_left(state: RunState, event: ev.OrgLeft, t: float) -> RunState:
    gone = state.organizations.get(event.org)
    state = changed(
        _no_longer_waiting(state, event),
        organizations={n: org for n, org in state.organizations.items() if n != event.org},
    )
    if gone is None:
        return state
    return changed(state, left_up=state.left_up + gone.bytes_up, left_down=state.left_down + gone.bytes_down)


def _round_finished(state: RunState, event: ev.RoundFinished, t: float) -> RunState:
    summary = RoundSummary(
        round=event.round,
        train_loss=event.train_loss,
        eval_loss=event.eval_loss,
        drift=event.drift,
        cosine=next((merged.cosine for merged in state.merged[-1:] if merged.round == event.round), None),
        seconds=event.seconds,
        bytes_up=event.bytes_up,
        bytes_down=event.bytes_down,
        tokens=event.tokens,
        orgs=len(event.orgs),
        t=t,
        saved=state.checkpoint.bytes
        if state.checkpoint is not None and state.checkpoint.round == event.round
        else None,
    )
    points = means(state.round_curve)
    return changed(
        state,
        round=event.round,
        rounds=event.rounds,
        round_finished=True,
        history=(*state.history, summary),
        curve=(*state.curve, condensed(points, CURVE_POINTS)) if event.round > 0 else state.curve,
        round_curve=(),
    )


def _cohort_sized(state: RunState, event: ev.CohortSized, t: float) -> RunState:
    return changed(state, cohort=event.cohort, lanes=event.lanes)


def _telemetry(state: RunState, event: ev.Telemetry, t: float) -> RunState:
    return changed(state, machine=event)


def _checkpoint_written(state: RunState, event: ev.CheckpointWritten, t: float) -> RunState:
    return changed(state, checkpoint=event, checkpoint_t=t)


def _adapter_exported(state: RunState, event: ev.AdapterExported, t: float) -> RunState:
    return changed(state, export=event)


def _command_acknowledged(state: RunState, event: ev.CommandAcknowledged, t: float) -> RunState:
    waiting = state.waiting
    if event.command == "undo":
        waiting = waiting[:-1]
    elif event.takes_effect_round is not None:
        waiting = (*waiting, ev.Waiting(event.command, event.value, event.takes_effect_round, event.before))
    return changed(state, answer=Answer(t, event), waiting=waiting)


def _knob_turned(state: RunState, event: ev.KnobTurned, t: float) -> RunState:
    state = changed(state, marks=(*state.marks, event), trainable=event.trainable)
    if event.knob == "rounds":
        return changed(state, rounds=event.value)
    if event.knob == "aggregation":
        keeps, unequal = event.keeps_rank is True, event.unequal_ranks is not False
        return changed(state, aggregation=event.value, keeps_rank=keeps, unequal_ranks=unequal)
    if event.knob == "fault" and event.org in state.organizations:
        return _organization(state, event.org, fault=event.value)
    if event.knob != "rank":
        return state
    ranks = state.ranks.turned(event.org, event.value)
    organizations = _each_organization(state, lambda org: changed(org, rank=ranks.of(org.name)))
    return changed(state, ranks=ranks, organizations=organizations)


def _command_refused(state: RunState, event: ev.CommandRefused, t: float) -> RunState:
    return changed(state, answer=Answer(t, event))


_CHANGES: Mapping[type[ev.Event], Callable[[RunState, Any, float], RunState]] = {
    ev.Preparing: _preparing,
    ev.RunStarted: _run_started,
    ev.RunContinued: continued,
    ev.PauseRequested: _pause_requested,
    ev.RunPaused: _run_paused,
    ev.RunResumed: _run_resumed,
    ev.RunFinishing: _run_finishing,
    ev.RunFinished: _run_finished,
    ev.RunStopped: _run_ended_early,
    ev.RunFailed: _run_ended_early,
    ev.RoundStarted: _round_started,
    ev.SecureFailed: _secure_failed,
    ev.RoundAggregated: _round_aggregated,
    ev.RoundFinished: _round_finished,
    ev.TrainStep: _train_step,
    ev.UpdateReceived: _update_received,
    ev.UpdateMeasured: _update_measured,
    **dict.fromkeys(CONDUCT, _conduct),
    ev.OrgEvaluated: _org_evaluated,
    ev.OrgState: _org_state,
    ev.OrgJoined: _org_joined,
    ev.OrgCounted: _org_counted,
    ev.OrgLeft: _org_left,
    ev.CohortSized: _cohort_sized,
    ev.Telemetry: _telemetry,
    ev.PrivacySpent: lambda state, event, t: changed(state, privacy=event),
    ev.Deployed: lambda state, event, t: changed(state, insecure=event.insecure, deployed=True),
    ev.Warned: unseen_steps.warned,
    ev.NodeRefused: lambda state, event, t: changed(state, refused=state.refused + event.times),
    ev.CheckpointWritten: _checkpoint_written,
    ev.AdapterExported: _adapter_exported,
    ev.CommandAcknowledged: _command_acknowledged,
    ev.KnobTurned: _knob_turned,
    ev.CommandRefused: _command_refused,
}
