"""Flower's ClientApp: what an organization does when a message comes.

`train_messages` is the one way to train: the ClientApp calls it with one message, LocalGrid with a cohort's worth. Same
codec, same checks, equal replies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode

from fedlora_tui.federation.messages import (
    ARRAYS,
    BASE_ALONE,
    CONFIG,
    VERSION,
    AdapterSpec,
    Refused,
    decode,
    evaluate_reply,
    read_plan,
    read_round,
    read_version,
    train_reply,
)
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.cohort import LocalTraining, StepDone, measure_cohort, train_cohort
from fedlora_tui.lora.rows import Rows

ORGANIZATION = "organization"
"""The key of a node's own configuration that names its organization."""

HELD, HELD_VERSION = "held-adapter", "held-adapter-version"


class Observer(Protocol):
    """Who watches organizations at work; every call may wait, and may raise to end the work."""

    def steps(self, round: int, done: Sequence[StepDone]) -> None:
        """One local step of a cohort is over."""

    def testing(self, round: int, organization: str) -> None:
        """An organization begins to measure its hold-out."""

    def between(self) -> None:
        """One pass of a measurement is over."""

    def lanes_begin(self, count: int) -> None:
        """So many lanes begin to answer messages at the same time."""

    def lane_ended(self) -> None:
        """One of them is done."""

    def shrunk(self, cohort: int) -> None:
        """Memory ran out: from now on so many organizations go together, and those that failed go again."""


@dataclass(frozen=True)
class ClientSide:
    """What organizations of this process share: the frozen base, the way to their rows, and who watches."""

    base: BaseModel
    spec: AdapterSpec
    rows: Callable[[str], Rows]
    observer: Observer


def client_app(side: ClientSide) -> ClientApp:
    """Make the Flower app that trains and measures one organization at a time."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return train_messages(side, [message], [context])[0]

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return evaluate_messages(side, [message], [context])[0]

    return app


_Known = dict[int, Adapter]
"""Adapters by the identity of the record that they were read from, for as long as the messages of one call live."""


@dataclass(frozen=True)
class _Job:
    index: int
    message: Message
    start: Adapter
    rows: Rows
    plan: LocalTraining


@dataclass(frozen=True)
class _Measurement:
    index: int
    message: Message
    rows: Rows


def train_messages(side: ClientSide, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Train the organizations of a cohort at once; replies stand in the order of the messages.

    A message that is refused gets an error reply and leaves the others as they are.
    """
    replies: dict[int, Message] = {}
    known: _Known = {}
    jobs: list[_Job] = []
    for index, (message, context) in enumerate(zip(messages, contexts, strict=True)):
        try:
            start = _received(side.spec, message, context, known)
            plan = read_plan(_config(message))
            jobs.append(_Job(index, message, start, side.rows(organization(context)), plan))
        except Refused as refused:
            replies[index] = _error(message, refused)
    for round in dict.fromkeys(job.plan.round for job in jobs):
        own = [job for job in jobs if job.plan.round == round]
        trained = train_cohort(
            side.base,
            [job.start for job in own],
            [job.rows for job in own],
            [job.plan for job in own],
            partial(side.observer.steps, round),
        )
        for job, result in zip(own, trained, strict=True):
            replies[job.index] = train_reply(job.message, result, job.rows.train_tokens)
    return [replies[index] for index in range(len(messages))]


def evaluate_messages(side: ClientSide, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
    """Measure the hold-outs of a cohort's organizations; replies stand in the order of the messages.

    A message that is refused gets an error reply and leaves the others as they are.
    """
    replies: dict[int, Message] = {}
    known: _Known = {}
    alone: list[_Measurement] = []
    adapted: list[tuple[_Measurement, Adapter]] = []
    for index, (message, context) in enumerate(zip(messages, contexts, strict=True)):
        try:
            config = _config(message)
            adapter = None if read_version(config) == BASE_ALONE else _received(side.spec, message, context, known)
            job = _Measurement(index, message, side.rows(organization(context)))
            side.observer.testing(read_round(config), organization(context))
        except Refused as refused:
            replies[index] = _error(message, refused)
            continue
        if adapter is None:
            alone.append(job)
        else:
            adapted.append((job, adapter))
    found = measure_cohort(side.base, None, [job.rows for job in alone], side.observer.between)
    adapters = [adapter for _, adapter in adapted]
    found += measure_cohort(side.base, adapters, [job.rows for job, _ in adapted], side.observer.between)
    for job, measured in zip([*alone, *(job for job, _ in adapted)], found, strict=True):
        replies[job.index] = evaluate_reply(job.message, measured)
    return [replies[index] for index in range(len(messages))]


def organization(context: Context) -> str:
    """Give the name of the organization that a node is."""
    return str(context.node_config[ORGANIZATION])


def _config(message: Message) -> ConfigRecord:
    config = message.content.get(CONFIG)
    if not isinstance(config, ConfigRecord):
        raise Refused("the message has no config")
    return config


def _received(spec: AdapterSpec, message: Message, context: Context, known: _Known) -> Adapter:
    """Take the adapter that came, and keep it; without one, use the one kept from before if it is the right version.

    Organizations of one process are sent the same record, which is read once: they share what it holds.
    """
    version = read_version(_config(message))
    arrived = message.content.get(ARRAYS)
    if isinstance(arrived, ArrayRecord):
        adapter = _read(arrived, spec, known)
        context.state[HELD] = arrived
        context.state[HELD_VERSION] = MetricRecord({VERSION: version})
        return adapter
    held, kept = context.state.get(HELD), context.state.get(HELD_VERSION)
    if not isinstance(held, ArrayRecord) or not isinstance(kept, MetricRecord) or kept[VERSION] != version:
        raise Refused(f"adapter of version {version} is not here and did not come")
    return _read(held, spec, known)


def _read(record: ArrayRecord, spec: AdapterSpec, known: _Known) -> Adapter:
    if id(record) not in known:
        known[id(record)] = decode(record, spec)
    return known[id(record)]


def _error(message: Message, refused: Refused) -> Message:
    logging.getLogger(__name__).warning("message refused: %s", refused)
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, str(refused)), reply_to=message)
