"""Flower's ClientApp: what an organization does when a message comes.

`train_together` is the one way to train: the ClientApp calls it with one message, passes with a cohort's worth, which
may be of several runs over one base. Same codec, same checks, equal replies.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from flwr.app import ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode

from fedlora_tui.errors import UserError
from fedlora_tui.federation.messages import (
    BASE_ALONE,
    NOT_HELD,
    NOTHING,
    STAYED,
    VERSION,
    AdapterSpec,
    Refused,
    Sent,
    decode,
    decode_delta,
    encode,
    encode_delta,
    evaluate_reply,
    read_config,
    read_plan,
    read_round,
    read_sent,
    read_train_reply,
    read_version,
    stayed,
    train_reply,
)
from fedlora_tui.federation.passes import Watch
from fedlora_tui.federation.secure_organization import Hiding, answer_query, begin_hiding, hidden_reply
from fedlora_tui.lora.adapter import BOTH, Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.cohort import LocalTraining, Measured, StepDone, Trained, measure_cohort, train_cohort
from fedlora_tui.lora.delta import NO_DELTA, BaseDelta, added
from fedlora_tui.lora.resize import first_rows
from fedlora_tui.lora.rows import Rows
from fedlora_tui.privacy.leaving import leaving

ORGANIZATION = "organization"
"""The key of a node's own configuration that names its organization."""

UNFIT = "NotSetUp"
"""The reason in the error reply of an organization that cannot take part as it is set up."""

HELD, HELD_DELTA, HELD_VERSION = "held-adapter", "held-delta", "held-version"
"""What an organization keeps from message to message: the adapter, what joined the base, and their version."""


class Observer(Watch, Protocol):
    """Who watches organizations at work; every call may wait, and may raise to end the work."""

    def steps(self, round: int, done: Sequence[StepDone]) -> None:
        """One local step of a cohort is over."""

    def testing(self, round: int, organization: str) -> None:
        """An organization begins to measure its hold-out."""

    def between(self) -> None:
        """A local step, or one pass of a measurement, is over for all that take part in it."""


@dataclass(frozen=True)
class ClientSide:
    """What organizations of this process share: the frozen base, the way to their rows, and who watches.

    `masked_only`: they take part in secure sums, and send no update that is not masked. `allows` says why an
    organization does not do what a message asks, None where it does: it is asked before anything is trained or
    measured.
    """

    base: BaseModel
    spec: AdapterSpec
    rows: Callable[[str], Rows]
    observer: Observer
    masked_only: bool = False
    allows: Callable[[Message, Context], str | None] = lambda message, context: None


SideOf = Callable[[Context], ClientSide]
"""Gives the side of the run that an organization's context belongs to."""


def client_app(side: ClientSide) -> ClientApp:
    """Make the Flower app that trains and measures one organization at a time."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return train_messages(side, [message], [context])[0]

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return evaluate_messages(side, [message], [context])[0]

    @app.query()
    def query(message: Message, context: Context) -> Message:
        return answered(message, lambda: answer_query(message, context))

    return app


def answered(message: Message, answer: Callable[[], Message]) -> Message:
    """Give the answer to a message, an error where it is refused or where the organization is not set up for it."""
    try:
        return answer()
    except Refused as refused:
        return _error(message, refused)
    except UserError as unfit:
        # What is wrong may name files: it is said here, in the organization's own log, and stays here.
        logging.getLogger(__name__).error("cannot take part: %s", unfit)
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, UNFIT), reply_to=message)


@dataclass(frozen=True)
class _Model:
    """The global model as an organization holds it."""

    adapter: Adapter
    delta: BaseDelta


_Known = dict[tuple[object, ...], Any]
"""What was made of the records of one call's messages, by their identities, so that organizations share it."""


@dataclass(frozen=True)
class _Job:
    index: int
    side: ClientSide
    message: Message
    context: Context
    model: _Model
    keep: Callable[[], None]
    rows: Rows
    plan: LocalTraining
    hiding: Hiding | None


@dataclass(frozen=True)
class _Measurement:
    index: int
    side: ClientSide
    message: Message
    keep: Callable[[], None]
    rows: Rows


def train_messages(side: ClientSide, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Train the organizations of one run at once; see `train_together`."""
    return train_together(side.base, lambda context: side, messages, contexts)


def train_together(
    base: BaseModel, side_of: SideOf, messages: Sequence[Message], contexts: Sequence[Context]
) -> list[Message]:
    """Train the organizations of a cohort at once over `base`; replies stand in the order of the messages.

    They may be of several runs. A message that is refused gets an error reply and leaves the others as they are.
    """
    replies: dict[int, Message] = {}
    known: _Known = {}
    jobs: list[_Job] = []
    for index, (message, context) in enumerate(zip(messages, contexts, strict=True)):
        side = side_of(context)
        try:
            _check_allowed(side, message, context)
            model, keep = _received(side.spec, message, context, known)
            plan = read_plan(read_config(message))
            hiding, rows = begin_hiding(message, context, side.masked_only), side.rows(organization(context))
            jobs.append(_Job(index, side, message, context, model, keep, rows, plan, hiding))
        except Refused as refused:
            replies[index] = _error(message, refused)
    hidden: list[tuple[_Job, Trained]] = []
    for own in _alike(jobs):
        trained = train_cohort(
            base,
            [_start(job) for job in own],
            [job.rows for job in own],
            [job.plan for job in own],
            partial(_tell, own),
            own[0].model.delta,
        )
        for job, result in zip(own, trained, strict=True):
            job.keep()
            if job.hiding is not None:
                hidden.append((job, result))
                continue
            replies[job.index] = _reply(job, result)
            if job.plan.keep_b:
                keep_b(job.context.state, result.adapter)
    # One vector a session: it is masked when no pass can run out of memory any more and send for the same again.
    replies |= {job.index: _hidden(job, result) for job, result in hidden}
    return [replies[index] for index in range(len(messages))]


def _reply(job: _Job, result: Trained) -> Message:
    """Give what leaves an organization that trained: checked here as it will be where it comes in."""
    start, plan, leaves = _start(job), job.plan, _leaving(job, result)
    withheld = bool(plan.withhold_loss)
    reply = train_reply(job.message, leaves, job.rows.train_tokens, plan.sends, withheld)
    spec, rest = job.side.spec.at(leaves.adapter.rank), None if plan.sends == BOTH else start
    return checked(reply, job.message, spec, plan.sends, rest, withheld)


def checked(
    reply: Message, message: Message, spec: AdapterSpec, sends: Collection[str], rest: Adapter | None, withheld: bool
) -> Message:
    """Give a reply that holds what may travel, or an error with one of a list of reasons: then it stays here."""
    try:
        read_train_reply(reply, spec, sends, rest, withheld)
    except Refused as refused:
        return _error(message, refused if str(refused) in stayed(spec) else Refused(STAYED))
    return reply


def _leaving(job: _Job, result: Trained) -> Trained:
    """Give what was trained as it may leave."""
    return replace(result, adapter=leaving(result.adapter, _start(job), job.plan, result.organization))


def _hidden(job: _Job, result: Trained) -> Message:
    """Give what leaves an organization whose update is masked: nothing where it is not what may travel."""
    assert job.hiding is not None
    # Where a change may be so long and no longer, every organization weighs the same.
    weight = 1 if job.plan.update_norm else job.rows.train_tokens
    try:
        return hidden_reply(job.message, job.context, job.hiding, _start(job), _leaving(job, result), weight, job.plan)
    except Refused as refused:
        logging.getLogger(__name__).warning("nothing is sent: %s", refused)
        return _error(job.message, Refused(STAYED))


def _tell(jobs: Sequence[_Job], done: Sequence[StepDone]) -> None:
    """Tell every run what its organizations did in a step; only then may one of them wait."""
    of_side: dict[int, list[StepDone]] = {}
    for step in done:
        of_side.setdefault(id(jobs[step.place].side), []).append(step)
    sides = _sides(jobs)
    for side, round in sides:
        if id(side) in of_side:
            side.observer.steps(round, of_side[id(side)])
    for side, _ in sides:
        side.observer.between()


def _sides(jobs: Sequence[_Job]) -> list[tuple[ClientSide, int]]:
    """Give the runs that jobs belong to, each with the round that it trains."""
    return list({id(job.side): (job.side, job.plan.round) for job in jobs}.values())


def _start(job: _Job) -> Adapter:
    """Give what an organization trains: the global adapter, or its own part of it."""
    adapter, rank = job.model.adapter, job.plan.own_rank
    return first_rows(adapter, rank, job.side.spec.own_ranked) if rank else adapter


def _alike(jobs: Sequence[_Job]) -> list[list[_Job]]:
    """Part jobs into those that can go in one pass: they train the same factors, over the same base."""
    groups: dict[tuple[object, ...], list[_Job]] = {}
    for job in jobs:
        groups.setdefault((job.plan.trains, id(job.model.delta)), []).append(job)
    return list(groups.values())


def evaluate_messages(side: ClientSide, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Measure the hold-outs of one run's organizations; see `evaluate_together`."""
    return evaluate_together(side.base, lambda context: side, messages, contexts)


def evaluate_together(
    base: BaseModel, side_of: SideOf, messages: Sequence[Message], contexts: Sequence[Context]
) -> list[Message]:
    """Measure the hold-outs of a cohort's organizations over `base`; replies stand in the order of the messages.

    They may be of several runs. A message that is refused gets an error reply and leaves the others as they are.
    """
    replies: dict[int, Message] = {}
    known: _Known = {}
    alone: list[_Measurement] = []
    adapted: list[tuple[_Measurement, _Model]] = []
    for index, (message, context) in enumerate(zip(messages, contexts, strict=True)):
        side = side_of(context)
        try:
            _check_allowed(side, message, context)
            config = read_config(message)
            base_alone = read_version(config) == BASE_ALONE
            model, keep = (None, _nothing) if base_alone else _received(side.spec, message, context, known)
            job = _Measurement(index, side, message, keep, side.rows(organization(context)))
            side.observer.testing(read_round(config), organization(context))
        except Refused as refused:
            replies[index] = _error(message, refused)
            continue
        if model is None:
            alone.append(job)
        else:
            adapted.append((job, model))
    for job, result in [*_measured_alone(base, alone), *_measured(base, adapted)]:
        job.keep()
        replies[job.index] = evaluate_reply(job.message, result)
    return [replies[index] for index in range(len(messages))]


def _measured_alone(base: BaseModel, jobs: Sequence[_Measurement]) -> Iterator[tuple[_Measurement, Measured]]:
    """Measure the base alone on each hold-out."""
    measured = measure_cohort(base, None, [job.rows for job in jobs], partial(_between, jobs))
    yield from zip(jobs, measured, strict=True)


def _measured(
    base: BaseModel, adapted: Sequence[tuple[_Measurement, _Model]]
) -> Iterator[tuple[_Measurement, Measured]]:
    """Measure every hold-out under its adapter, those together for whom the same joined the base."""
    for delta in {id(model.delta): model.delta for _, model in adapted}.values():
        own = [(job, model.adapter) for job, model in adapted if model.delta is delta]
        jobs = [job for job, _ in own]
        rows, adapters = [job.rows for job in jobs], [adapter for _, adapter in own]
        yield from zip(jobs, measure_cohort(base, adapters, rows, partial(_between, jobs), delta), strict=True)


def _between(jobs: Sequence[_Measurement]) -> None:
    """Let every run in that takes part in a measurement."""
    for side in {id(job.side): job.side for job in jobs}.values():
        side.observer.between()


def organization(context: Context) -> str:
    """Give the name of the organization that a node is."""
    return str(context.node_config[ORGANIZATION])


def _check_allowed(side: ClientSide, message: Message, context: Context) -> None:
    """Raise Refused where an organization does not do what a message asks."""
    reason = side.allows(message, context)
    if reason is not None:
        raise Refused(reason)


def _nothing() -> None:
    """Keep nothing: the base alone was measured."""


def _received(
    spec: AdapterSpec, message: Message, context: Context, known: _Known
) -> tuple[_Model, Callable[[], None]]:
    """Add what came to what was kept, and read it; give it, and what keeps it. Raises Refused where it does not fit.

    It is to be kept when the message is answered: where memory runs out before, the same message comes again.
    Organizations of one process that held the same and are sent the same share what becomes of it.
    """
    sent = read_sent(message)
    held, delta = _held(sent, context)
    if sent.adapter is not None and held is not None:
        held = _once(known, (sent.adapter, held), partial(_merged, held, sent.adapter, spec))
    else:
        held = held if sent.adapter is None else sent.adapter
    if held is None:
        raise Refused(f"adapter of version {sent.version} is not here and did not come")
    if sent.delta is not None:
        brought = sent.delta
        kept = None if sent.delta_whole else delta
        delta = brought if kept is None else _once(known, (brought, kept), partial(_summed, kept, brought, spec))
    model: _Model = _once(known, (held, delta, sent.rank), partial(_read, held, delta, spec.at(sent.rank), known))
    return model, partial(_keep, context, held, delta, sent.version)


def _keep(context: Context, held: ArrayRecord, delta: ArrayRecord | None, version: int) -> None:
    context.state[HELD] = held
    context.state[HELD_VERSION] = MetricRecord({VERSION: version})
    if delta is not None:
        context.state[HELD_DELTA] = delta
    elif HELD_DELTA in context.state:
        del context.state[HELD_DELTA]


def _held(sent: Sent, context: Context) -> tuple[ArrayRecord | None, ArrayRecord | None]:
    """Give what a message builds on: the adapter, and what joined the base. Raises Refused where it is not here."""
    if sent.held == NOTHING:
        return None, None
    held, delta, kept = (context.state.get(name) for name in (HELD, HELD_DELTA, HELD_VERSION))
    if not isinstance(held, ArrayRecord) or not isinstance(kept, MetricRecord) or kept[VERSION] != sent.held:
        raise Refused(NOT_HELD)
    return held, delta if isinstance(delta, ArrayRecord) else None


def _once(known: _Known, of: tuple[object, ...], make: Callable[[], Any]) -> Any:
    """Make something of some records, or give what was made of the very same before."""
    key = (make.func, *(one if isinstance(one, int) else id(one) for one in of))  # type: ignore[attr-defined]
    if key not in known:
        # The records are kept with it: an identity means nothing once its object is gone.
        known[key] = make(), of
    return known[key][0]


def _merged(held: ArrayRecord, came: ArrayRecord, spec: AdapterSpec) -> ArrayRecord:
    """Lay tensors that came over those that were held, in the order of the spec."""
    extra = set(came) - set(spec.shapes)
    if extra:
        raise Refused(f"{len(extra)} tensors that are no part of the adapter")
    named = {**held, **came}
    return ArrayRecord(OrderedDict((name, named[name]) for name in spec.shapes if name in named))


def _summed(held: ArrayRecord, came: ArrayRecord, spec: AdapterSpec) -> ArrayRecord:
    return encode_delta(added(decode_delta(held, spec), decode_delta(came, spec).factors))


def _read(held: ArrayRecord, delta: ArrayRecord | None, spec: AdapterSpec, known: _Known) -> _Model:
    """Read both records; what joined the base is one object wherever it is one record."""
    summed = NO_DELTA if delta is None else _once(known, (delta,), partial(decode_delta, delta, spec))
    return _Model(decode(held, spec), summed)


def kept_adapter(state: RecordDict, spec: AdapterSpec) -> Adapter:
    """Read the adapter that an organization keeps. Raises Refused where it keeps none like that."""
    held = state.get(HELD)
    if not isinstance(held, ArrayRecord):
        raise Refused("the organization keeps no adapter")
    return decode(held, spec)


def keep_adapter(state: RecordDict, adapter: Adapter, delta: BaseDelta, version: int) -> None:
    """Put back into an organization's state what it kept when its process ended."""
    state[HELD] = encode(adapter)
    state[HELD_VERSION] = MetricRecord({VERSION: version})
    if delta.factors:
        state[HELD_DELTA] = encode_delta(delta)


def keep_b(state: RecordDict, adapter: Adapter) -> None:
    """Keep an organization's own B beside the A that it was sent."""
    held = state[HELD]
    state[HELD] = ArrayRecord(OrderedDict({**held, **encode(adapter, {"B"})}))


def _error(message: Message, refused: Refused) -> Message:
    logging.getLogger(__name__).warning("message refused: %s", refused)
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, str(refused)), reply_to=message)
