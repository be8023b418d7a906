"""Flower's ServerApp and the server's side of a round: who is here, what each holds, what each answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar, runtime_checkable

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid, ServerApp

from fedlora_tui.federation.global_model import GlobalModel
from fedlora_tui.federation.last_replies import LastReplies, LastReply
from fedlora_tui.federation.ledger import weighed
from fedlora_tui.federation.messages import (
    BASE_ALONE,
    NOT_HELD,
    SECURE,
    AdapterSpec,
    EvaluateReply,
    Refused,
    Sent,
    TakenReply,
    TrainReply,
    arrays_weight,
    base_content,
    counted,
    evaluate_content,
    read_evaluate_reply,
    read_train_reply,
    train_content,
)
from fedlora_tui.federation.organizations_grid import OrganizationsGrid
from fedlora_tui.lora.adapter import BOTH
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.lora.resize import first_rows
from fedlora_tui.privacy.leaving import too_long


def server_app(main: Callable[[Grid, Context], None]) -> ServerApp:
    """Make the Flower app whose main function is the round loop."""
    app = ServerApp()
    app.main()(main)
    return app


def serve(grid: OrganizationsGrid, main: Callable[[], None]) -> None:
    """Run a main function as Flower's ServerApp on a run's grid, and return when it does."""
    assert isinstance(grid, Grid)
    app = server_app(lambda grid, context: main())
    app(grid, Context(0, 0, {}, RecordDict(), {}))


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

LOST = f"error {ErrorCode.CLIENT_APP_RAISED_EXCEPTION}: {NOT_HELD}"
"""What is read of an organization that does not hold what it was thought to hold."""

Take = Callable[[str, TrainReply], None]
"""Takes an organization's reply in. Raises Refused where it cannot be."""


@runtime_checkable
class GivesOneByOne(Protocol):
    """A grid that need not have all replies before it gives the first one; `keeps_none`: nor has them by itself."""

    @property
    def keeps_none(self) -> bool:
        """True where replies really come one by one, or a few together."""

    def as_they_come(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Send messages and give the replies as they come, none of which is kept here."""


NO_REPLY = "no reply came"
"""Why there is none from an organization that did not answer."""


@dataclass(frozen=True)
class Answer(Generic[T_co]):
    """One organization's answer: its reply, or why it was refused, and the bytes of arrays that went each way.

    `came` is False where there was no answer at all. `tensors` and `numbers` are how many a good reply held; `left` are
    the bytes of each kind that any reply held. `shares_down` are the keys and shares of a secure sum in what went down.
    """

    organization: str
    reply: T_co | None
    refusal: str
    bytes_up: int
    bytes_down: int
    came: bool = True
    tensors: int = 0
    numbers: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    shares_down: int = 0


class Server:
    """The server's memory of one run. An adapter travels to an organization only where it does not hold it already."""

    def __init__(self, grid: OrganizationsGrid | Grid, spec: AdapterSpec) -> None:
        self.grid = grid
        self.spec = spec
        self._nodes: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self.last_replies = LastReplies()

    def welcome(self, organization: str, node: int) -> None:
        """Remember which node an organization is; it holds nothing yet."""
        self._nodes[organization] = node
        self._held.pop(organization, None)

    def holds(self, organization: str, version: int) -> None:
        """Know of an organization that it holds a version: it was there before this server was."""
        self._held[organization] = version

    def node(self, organization: str) -> int:
        """Give the node that an organization is."""
        return self._nodes[organization]

    def dismiss(self, organization: str) -> int:
        """Forget an organization and give the node that it was."""
        self._held.pop(organization, None)
        self.last_replies.forget(organization)
        return self._nodes.pop(organization)

    def train(
        self, plans: Mapping[str, LocalTraining], model: GlobalModel, take: Take | None = None
    ) -> list[Answer[TrainReply | TakenReply]]:
        """Let organizations train from the global model, each by its own plan.

        Where there is somebody to `take` replies, each is handed over as soon as it comes, and its adapter is not kept.
        """
        round = next(iter(plans.values())).round

        def read(name: str, reply: Message) -> TrainReply | TakenReply:
            plan, rank = plans[name], plans[name].own_rank or model.adapter.rank
            rest = None if plan.sends == BOTH else first_rows(model.adapter, rank, self.spec.own_ranked)
            came = read_train_reply(reply, self.spec.at(rank), plan.sends, rest, bool(plan.withhold_loss))
            if (reason := too_long(came.adapter, model.adapter, plan)) is not None:
                raise Refused(reason)
            if take is not None:
                take(name, came)
            self.last_replies.keep(name, LastReply(round, came.adapter, model.delta), others=take is None)
            return came if take is None else TakenReply(came.examples, came.loss, came.tokens, came.steps)

        def ask(names: Sequence[str]) -> list[Answer[TrainReply | TakenReply]]:
            sent = self._lacking(names, model)
            contents = {name: train_content(plans[name], sent[name]) for name in names}
            return self._ask(contents, MessageType.TRAIN, round, model.version, read, one_by_one=take is not None)

        return _again_with_all(ask, list(plans))

    def train_hidden(
        self,
        plans: Mapping[str, LocalTraining],
        model: GlobalModel,
        hidden: Mapping[str, ConfigRecord],
        read: Callable[[Message], T],
    ) -> list[Answer[T]]:
        """Let organizations train as `train` does, and send what they trained masked, by what each is told for it."""
        sent = self._lacking(plans, model)
        contents = {name: train_content(plan, sent[name]) for name, plan in plans.items()}
        for name, content in contents.items():
            content[SECURE] = hidden[name]
        round = next(iter(plans.values())).round
        return self._ask(contents, MessageType.TRAIN, round, model.version, lambda name, reply: read(reply))

    def query(
        self, contents: Mapping[str, RecordDict], round: int, read: Callable[[str, Message], T]
    ) -> list[Answer[T]]:
        """Ask organizations something that has nothing to do with what they hold."""
        return self._ask(dict(contents), MessageType.QUERY, round, BASE_ALONE, read)

    def evaluate(self, round: int, model: GlobalModel, organizations: Sequence[str]) -> list[Answer[EvaluateReply]]:
        """Let organizations measure the model on their own hold-outs; what travels serves the next training too."""

        def ask(names: Sequence[str]) -> list[Answer[EvaluateReply]]:
            sent = self._lacking(names, model)
            contents = {name: evaluate_content(round, sent[name]) for name in names}
            return self._ask(contents, MessageType.EVALUATE, round, model.version, _evaluated)

        return _again_with_all(ask, organizations)

    def evaluate_base(self, organizations: Sequence[str]) -> list[Answer[EvaluateReply]]:
        """Let organizations measure the base alone: no adapter travels, and none is held for it."""
        contents = {name: base_content(0) for name in organizations}
        return self._ask(contents, MessageType.EVALUATE, 0, BASE_ALONE, _evaluated)

    def _lacking(self, organizations: Iterable[str], model: GlobalModel) -> dict[str, Sent]:
        """Give what each organization lacks; those that hold the same are sent the same records."""
        found: dict[int | None, Sent] = {}
        sent = {}
        for name in organizations:
            held = self._held.get(name)
            if held not in found:
                found[held] = model.lacking(held)
            sent[name] = found[held]
        return sent

    def _ask(
        self,
        contents: dict[str, RecordDict],
        kind: str,
        round: int,
        version: int,
        read: Callable[[str, Message], T],
        *,
        one_by_one: bool = False,
    ) -> list[Answer[T]]:
        """Send, receive, check; answers stand in the order of names, whoever came first.

        `one_by_one`: no reply is kept until the next one is here, where the grid gives them so.
        """
        messages = {
            name: Message(content, self._nodes[name], kind, group_id=str(round)) for name, content in contents.items()
        }
        names = {self._nodes[name]: name for name in contents}
        down = {name: arrays_weight(message) for name, message in messages.items()}
        answers: dict[str, Answer[T]] = {}
        for message in self._replies(messages.values(), one_by_one):
            name = names[message.metadata.src_node_id]
            if name in answers:
                continue  # who replies twice has replied once
            up, left = arrays_weight(message), weighed(message)
            try:
                reply, (tensors, numbers) = read(name, message), counted(message)
                answers[name] = Answer(name, reply, "", up, down[name], tensors=tensors, numbers=numbers, left=left)
                self._hold(name, version)
            except Refused as refused:
                self.forget(name)
                answers[name] = Answer(name, None, str(refused), up, down[name], left=left)
        for name in messages.keys() - answers.keys():
            self.forget(name)
            answers[name] = Answer(name, None, NO_REPLY, 0, down[name], came=False)
        return [answers[name] for name in sorted(answers)]

    def _replies(self, messages: Iterable[Message], one_by_one: bool) -> Iterable[Message]:
        if one_by_one and isinstance(self.grid, GivesOneByOne):
            return self.grid.as_they_come(messages)
        return self.grid.send_and_receive(messages)

    def forget(self, organization: str) -> None:
        """Rely no longer on what an organization holds: it is sent everything the next time."""
        self._held.pop(organization, None)

    def _hold(self, organization: str, version: int) -> None:
        """Remember what an organization holds; measuring the base alone leaves that as it was."""
        if version != BASE_ALONE:
            self._held[organization] = version


def _again_with_all(ask: Callable[[Sequence[str]], list[Answer[T]]], names: Sequence[str]) -> list[Answer[T]]:
    """Ask organizations, and once more those that hold nothing any more: refused, they are sent everything."""
    answers = ask(names)
    lost = [answer.organization for answer in answers if answer.refusal == LOST]
    again = {answer.organization: answer for answer in (ask(lost) if lost else ())}
    return [
        replace(again[first.organization], bytes_down=first.bytes_down + again[first.organization].bytes_down)
        if first.organization in again
        else first
        for first in answers
    ]


def _evaluated(name: str, reply: Message) -> EvaluateReply:
    return read_evaluate_reply(reply)
