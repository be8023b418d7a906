"""`bench streaming`: what a server holds of a round's replies that it keeps, and of those that it adds up as they come.

Each way in a process of its own: replies are made one after the other, read, checked and aggregated by FedIT, as in a
run; no base is loaded, nothing trains, drift is not measured. The adapter has 5 MB: 106 modules of 768 by 768, rank 8.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
import torch

from fedlora_tui.aggregation import METHODS, Reply, Start
from fedlora_tui.benchmarks.process import forget_high_water, high_water, run_process
from fedlora_tui.benchmarks.report import Cell, Report
from fedlora_tui.engine.one_by_one import Taking
from fedlora_tui.engine.one_thread import one_thread
from fedlora_tui.federation.global_model import GlobalModel
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import AdapterSpec, TrainReply, train_reply
from fedlora_tui.federation.passes import Call, Replies
from fedlora_tui.federation.server_app import Server
from fedlora_tui.lora.adapter import Adapter, TargetModule, from_tensors, initial, shapes
from fedlora_tui.lora.cohort import LocalTraining, Trained
from fedlora_tui.node.client_app import app

MODULES, SIDE, RANK, ALPHA = 106, 768, 8, 16.0
DIFFERENT = 4
"""Adapters that replies are copies of."""

KEPT, STREAMED = "kept until all are in", "added up as they come"

HEADINGS = {
    "name": "",
    "replies": "replies",
    "memory_mib": "memory MiB",
    "adapters": "as so many adapters",
    "seconds": "seconds",
}
MIB = 2**20


@dataclass(frozen=True)
class Streaming:
    """The benchmark: how many replies there are in a round, and whom to tell."""

    replies: tuple[int, ...]
    say: Callable[[str], None]

    def report(self) -> Report:
        """Measure both ways with each number of replies."""
        rows = [self._row(name, number) for number in self.replies for name in (KEPT, STREAMED)]
        ratios = {
            str(kept["replies"]): _over(streamed["memory_mib"], kept["memory_mib"])
            for kept, streamed in zip(rows[::2], rows[1::2], strict=True)
        }
        return Report("streaming", rows, {"memory_of_kept": ratios}, _notes(), headings=HEADINGS)

    def _row(self, name: str, number: int) -> dict[str, Cell]:
        self.say(f"{number} replies: {name}")
        code = "from fedlora_tui.benchmarks.streaming import main; main()"
        ended = run_process(f"bench streaming ({name})", ["-c", code, name, str(number)], watched=False)
        found = json.loads(ended.output)
        return {"name": name, "replies": number, **found}


def _over(part: Cell, whole: Cell) -> float | None:
    return part / whole if isinstance(part, float) and isinstance(whole, float) and whole else None


def _notes() -> list[str]:
    return [
        "memory: the most that the server's side held beyond what it held before the first reply, what is made of the "
        "replies included",
        "seconds: reading, checking and aggregation; where replies are added up, each one's norm as well",
    ]


class _MadeUp:
    """Answers every train message with an adapter near the one that was sent."""

    def __init__(self, sent: Adapter) -> None:
        generator = torch.Generator().manual_seed(7)
        self._made = [self._near(sent, generator) for _ in range(DIFFERENT)]

    def answer(self, kind: str, calls: Sequence[Call]) -> Replies:
        """Give a reply a call."""
        replies = []
        for message, context in calls:
            adapter = self._made[context.node_id % DIFFERENT]
            replies.append(train_reply(message, Trained("", adapter, 1.0, 1000, 1), 1000 + context.node_id))
        return replies

    def _near(self, sent: Adapter, generator: torch.Generator) -> Adapter:
        tensors = {
            name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in sent.tensors().items()
        }
        return from_tensors(tensors, sent.rank, sent.alpha)


def main() -> None:
    """Go through one round in this process, and say on stdout what it took."""
    name, number = sys.argv[1], int(sys.argv[2])
    targets = [TargetModule(f"h.{place}", SIDE, SIDE, False) for place in range(MODULES)]
    sent = initial(targets, RANK, ALPHA, 7)
    names = [f"org-{place:05d}" for place in range(number)]
    start = Start(1, sent, lambda: sent)
    plans = dict.fromkeys(names, LocalTraining(1, 7, 1, 0, 1, 1e-3))

    def server(at_once: int) -> Server:
        grid = LocalGrid(app, _MadeUp(sent), at_once=at_once)
        found = Server(grid, AdapterSpec(shapes(targets, RANK), RANK, ALPHA))
        for own in names:
            found.welcome(own, grid.join(own))
        return found

    go = _kept if name == KEPT else _streamed
    # What is imported and made once is not the round's.
    go(server(1), dict(list(plans.items())[:1]), GlobalModel(0, sent), start)
    working = server(1)
    forget_high_water()
    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    go(working, plans, GlobalModel(0, sent), start)
    seconds, most = time.perf_counter() - began, high_water(os.getpid()) - before
    told = {"memory_mib": most / MIB, "adapters": most / (4 * sent.parameters)}
    print(json.dumps({**told, "seconds": seconds}))


def _kept(server: Server, plans: dict[str, LocalTraining], model: GlobalModel, start: Start) -> None:
    answers = server.train(plans, model)
    replies = [
        Reply(answer.organization, answer.reply.adapter, answer.reply.examples)
        for answer in answers
        if isinstance(answer.reply, TrainReply)
    ]
    with one_thread():
        METHODS["fedit"].aggregate(replies, start)


def _streamed(server: Server, plans: dict[str, LocalTraining], model: GlobalModel, start: Start) -> None:
    taking = Taking(METHODS["fedit"], start, None)
    server.train(plans, model, taking.take)
    taking.made(None)
