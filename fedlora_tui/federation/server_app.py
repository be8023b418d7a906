"""Flower's ServerApp and the server's side of a round: who is here, what each holds, what each answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flwr.app import ArrayRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp

from fedlora_tui.federation.messages import (
    BASE_ALONE,
    AdapterSpec,
    EvaluateReply,
    Refused,
    TrainReply,
    arrays_weight,
    encode,
    evaluate_content,
    read_evaluate_reply,
    read_train_reply,
    train_content,
)
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.cohort import LocalTraining


def server_app(main: Callable[[Grid, Context], None]) -> ServerApp:
    """Make the Flower app whose main function is the round loop."""
    app = ServerApp()
    app.main()(main)
    return app


def serve(grid: Grid, main: Callable[[], None]) -> None:
    """Run a main function as Flower's ServerApp on a grid of this process, and return when it does."""
    app = server_app(lambda grid, context: main())
    app(grid, Context(0, 0, {}, RecordDict(), {}))


T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """One organization's answer: its reply, or why it was refused, and the bytes of arrays that went each way."""

    organization: str
    reply: T | None
    refusal: str
    bytes_up: int
    bytes_down: int


class Server:
    """The server's memory of one run. An adapter travels to an organization only where it does not hold it already."""

    def __init__(self, grid: Grid, spec: AdapterSpec) -> None:
        self.grid = grid
        self.spec = spec
        self._nodes: dict[str, int] = {}
        self._held: dict[str, int] = {}

    def welcome(self, organization: str, node: int) -> None:
        """Remember which node an organization is; it holds nothing yet."""
        self._nodes[organization] = node
        self._held.pop(organization, None)

    def dismiss(self, organization: str) -> int:
        """Forget an organization and give the node that it was."""
        self._held.pop(organization, None)
        return self._nodes.pop(organization)

    def train(
        self, plan: LocalTraining, version: int, adapter: Adapter, organizations: Sequence[str]
    ) -> list[Answer[TrainReply]]:
        """Let organizations train from an adapter (its `version` is the round that made it)."""
        record = encode(adapter)
        contents = {
            name: train_content(plan, version, self._unless_held(name, version, record)) for name in organizations
        }
        return self._ask(
            contents, MessageType.TRAIN, plan.round, version, lambda reply: read_train_reply(reply, self.spec)
        )

    def evaluate(
        self, round: int, version: int, adapter: Adapter, organizations: Sequence[str]
    ) -> list[Answer[EvaluateReply]]:
        """Let organizations measure an adapter on their own hold-outs; what travels serves the next training too."""
        record = encode(adapter)
        contents = {
            name: evaluate_content(round, version, self._unless_held(name, version, record)) for name in organizations
        }
        return self._ask(contents, MessageType.EVALUATE, round, version, read_evaluate_reply)

    def evaluate_base(self, organizations: Sequence[str]) -> list[Answer[EvaluateReply]]:
        """Let organizations measure the base alone: no adapter travels, and none is held for it."""
        contents = {name: evaluate_content(0, BASE_ALONE, None) for name in organizations}
        return self._ask(contents, MessageType.EVALUATE, 0, BASE_ALONE, read_evaluate_reply)

    def _unless_held(self, organization: str, version: int, record: ArrayRecord) -> ArrayRecord | None:
        return None if self._held.get(organization) == version else record

    def _ask(
        self, contents: dict[str, RecordDict], kind: str, round: int, version: int, read: Callable[[Message], T]
    ) -> list[Answer[T]]:
        """Send, receive, check; answers stand in the order of names, whoever came first."""
        messages = {
            name: Message(content, self._nodes[name], kind, group_id=str(round)) for name, content in contents.items()
        }
        names = {self._nodes[name]: name for name in contents}
        replies = {names[r.metadata.src_node_id]: r for r in self.grid.send_and_receive(messages.values())}
        answers = []
        for name in sorted(replies):
            up, down = arrays_weight(replies[name]), arrays_weight(messages[name])
            try:
                answers.append(Answer(name, read(replies[name]), "", up, down))
                self._held[name] = version
            except Refused as refused:
                self._held.pop(name, None)
                answers.append(Answer(name, None, str(refused), up, down))
        return answers
