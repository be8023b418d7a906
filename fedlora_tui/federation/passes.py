"""How the organizations of this process are taken through the base: shared out over lanes, so many in one pass.

Where there are several lanes (one a GPU, or several on processors), each takes an equal share of the messages, at the
same time as the others. Where the memory of a pass runs out, fewer organizations go together from then on, and those
that failed go again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Protocol

from flwr.app import Context, Message

from fedlora_tui.lora.lanes import in_lanes, parted
from fedlora_tui.lora.memory import OutOfMemory, give_back, ran_out

CohortFunction = Callable[[Sequence[Message], Sequence[Context]], list[Message]]

Lane = Mapping[str, CohortFunction]
"""The cohort functions, by message type, of one copy of the base."""

Call = tuple[Message, Context]
"""A message and what the organization that it goes to has kept."""


class Answering(Protocol):
    """What answers the messages of one type that go out together."""

    def answer(self, kind: str, calls: Sequence[Call]) -> list[Message]:
        """Answer every call; the replies stand in the order of the calls."""


class Watch(Protocol):
    """Who watches the lanes at work."""

    def lanes_begin(self, count: int) -> None:
        """So many lanes begin to answer messages."""

    def lane_began(self, lane: int) -> None:
        """The calling thread is one of them, counted from 0, until it says that it is done."""

    def lane_has(self, runs: Collection[int]) -> None:
        """The calling lane has messages of these runs yet, by Flower's number, and tells of no others any more."""

    def lane_ended(self) -> None:
        """One of them is done."""

    def shrunk(self, cohort: int) -> None:
        """Memory ran out: from now on so many organizations go together, and those that failed go again."""


class Passes:
    """Lanes that answer messages, at most `cohort` of them in one pass; the watches are told of it."""

    def __init__(self, lanes: Sequence[Lane], cohort: int = 1, watches: Iterable[Watch] = ()) -> None:
        self.lanes = tuple(lanes)
        self.cohort = cohort
        self.watches = tuple(watches)
        self._changing = threading.Lock()

    def answer(self, kind: str, calls: Sequence[Call]) -> list[Message]:
        """Answer messages of one type, an equal share in each lane."""
        shares = parted(calls, len(self.lanes))
        for watch in self.watches:
            watch.lanes_begin(len(shares))

        def answer(numbered: tuple[int, Lane], own: Sequence[Call]) -> list[Message]:
            number, lane = numbered
            for watch in self.watches:
                watch.lane_began(number)
            try:
                return self._in_lane(lane[kind], own)
            finally:
                for watch in self.watches:
                    watch.lane_ended()

        return in_lanes(list(enumerate(self.lanes)), shares, answer)

    def _in_lane(self, together: CohortFunction, calls: Sequence[Call]) -> list[Message]:
        replies: list[Message] = []
        while len(replies) < len(calls):
            left = {context.run_id for _, context in calls[len(replies) :]}
            for watch in self.watches:
                watch.lane_has(left)
            replies += self._in_memory(together, calls[len(replies) :][: self.cohort]) or ()
        return replies

    def _in_memory(self, together: CohortFunction, calls: Sequence[Call]) -> list[Message] | None:
        """Answer calls in one pass; None where there is no memory for so many, and fewer are to be tried."""
        messages, contexts = zip(*calls, strict=True)
        try:
            return together(messages, contexts)
        except Exception as error:
            if not ran_out(error):
                raise
            if len(calls) == 1:
                raise OutOfMemory(
                    "memory ran out on one organization alone: lower federation.batch_size or model.max_length, "
                    "or set model.gradient_checkpointing = true"
                ) from error
        # Only outside the clause above is nothing of the pass that failed held by its traceback any more.
        give_back()
        with self._changing:
            # Another lane may have found out by itself.
            if len(calls) // 2 < self.cohort:
                self.cohort = len(calls) // 2
                for watch in self.watches:
                    watch.shrunk(self.cohort)
        return None


Sent = tuple[str, Sequence[Call]]
"""What a run sends at once: the type of its messages, and the calls."""

Replies = list[Message]
"""The replies to what a run sent, in the order of the calls."""


def answered_together(passes: Answering, sent: Mapping[int, Sent]) -> dict[int, Replies]:
    """Answer what several runs sent, by seat, in the same passes wherever it is of one type."""
    replies: dict[int, Replies] = {seat: [] for seat in sent}
    for kind in dict.fromkeys(kind for kind, _ in sent.values()):
        of_kind = {seat: calls for seat, (own, calls) in sent.items() if own == kind}
        # One organization after the other, each in all runs: every lane then has as many of every run.
        turns = zip_longest(*([(seat, call) for call in calls] for seat, calls in of_kind.items()))
        ordered = [pair for pair in chain.from_iterable(turns) if pair is not None]
        answers = passes.answer(kind, [call for _, call in ordered])
        for (seat, _), answer in zip(ordered, answers, strict=True):
            replies[seat].append(answer)
    return replies


class Shared:
    """One run's way to passes that it shares: what it sends is brought together with what others send."""

    def __init__(self, bring: Callable[[Sent], Replies]) -> None:
        self._bring = bring

    def answer(self, kind: str, calls: Sequence[Call]) -> list[Message]:
        """Answer calls together with those of the other runs."""
        return self._bring((kind, calls))
