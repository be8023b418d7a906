"""Organizations that misbehave, made where their replies leave them: around what answers a grid's messages.

What organizations do with a message stays honest and knows nothing of it. One that crashes does not even begin; all
others train in the passes of the honest, which their faults therefore never disturb. What is measured stays honest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Error, Message, MessageType
from flwr.common.constant import ErrorCode
from numpy.typing import NDArray

from fedlora_tui.fault_profiles import FORMS, FaultProfile
from fedlora_tui.federation.client_app import HELD, organization
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import ARRAYS
from fedlora_tui.federation.organizations_grid import OrganizationsGrid
from fedlora_tui.federation.passes import Answering, Call

CRASHED = "Crashed"
"""The reason in the error reply of an organization that crashed."""

Tensor = NDArray[np.float32]


@contextmanager
def misbehaving(grid: OrganizationsGrid, profiles: Mapping[str, FaultProfile], round: int) -> Iterator[None]:
    """Let organizations answer the train messages of a round as their profiles say; without any all is as it was."""
    if not profiles or not isinstance(grid, LocalGrid):
        yield
        return
    honest = grid.passes
    grid.passes = Faulty(honest, profiles, round)
    try:
        yield
    finally:
        grid.passes = honest


class Faulty:
    """Answers as `honest` does, but for the train replies of organizations that misbehave; a dropout gives none."""

    def __init__(self, honest: Answering, profiles: Mapping[str, FaultProfile], round: int) -> None:
        self._honest, self._profiles, self._round = honest, profiles, round

    def answer(self, kind: str, calls: Sequence[Call]) -> list[Message]:
        """Answer the calls; the replies that there are stand in the order of the calls."""
        if kind != MessageType.TRAIN:
            return self._honest.answer(kind, calls)
        kept = {context.node_id: dict(context.state) for _, context in calls if self._kind(context) == "dropout"}
        training = [call for call in calls if self._kind(call[1]) != "crash"]
        replies = iter(self._honest.answer(kind, training))
        answered = [_crashed(*call) if self._kind(call[1]) == "crash" else next(replies) for call in calls]
        for _, context in calls:
            if context.node_id in kept:
                # What it did in the round is lost with it.
                context.state.clear()
                context.state.update(kept[context.node_id])
        made = [self._made(context, reply) for (_, context), reply in zip(calls, answered, strict=True)]
        return [reply for reply in made if reply is not None]

    def _kind(self, context: Context) -> str:
        profile = self._profiles.get(organization(context))
        return "" if profile is None else profile.kind

    def _made(self, context: Context, reply: Message) -> Message | None:
        """Give what becomes of an honest reply; None where none comes."""
        if self._kind(context) == "dropout":
            return None
        profile = self._profiles.get(organization(context))
        if profile is None or not reply.has_content():
            return reply
        return _MADE[profile.kind](profile, self._round, context, reply) if profile.kind in _MADE else reply


def _crashed(message: Message, context: Context) -> Message:
    """Give the reply of an organization that crashed, and has lost all that it kept."""
    context.state.clear()
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, CRASHED), reply_to=message)


def _nan(profile: FaultProfile, round: int, context: Context, reply: Message) -> Message:
    """Put a nan into one tensor, the one in the middle."""
    record = reply.content.array_records[ARRAYS]
    name = list(record)[len(record) // 2]
    values = record[name].numpy().copy()
    values.flat[0] = np.nan
    record[name] = Array(values)
    return reply


def _garbage(profile: FaultProfile, round: int, context: Context, reply: Message) -> Message:
    """Make something of a reply that is no adapter, in the form that is asked for or in the round's turn."""
    form = profile.form or FORMS[round % len(FORMS)]
    arrays = {name: array.numpy() for name, array in reply.content.array_records[ARRAYS].items()}
    name = next(iter(arrays))
    if form == "shapes":
        arrays[name] = np.zeros((3, 5, 7), np.float32)
    elif form == "names":
        arrays["a.diary"] = arrays.pop(name)
    elif form == "dtype":
        arrays[name] = arrays[name].astype(np.float16)
    record = ArrayRecord(OrderedDict((own, Array(values)) for own, values in arrays.items()))
    if form == "bytes":
        honest = record[name]
        record[name] = Array(honest.dtype, honest.shape, honest.stype, b"\x80\x04not an array at all")
    reply.content[ARRAYS] = record
    return reply


def _poison(profile: FaultProfile, round: int, context: Context, reply: Message) -> Message:
    """Send a multiple of the update, which the check of what may travel lets pass."""
    record, begin = reply.content.array_records[ARRAYS], context.state.array_records[HELD]
    for name, array in list(record.items()):
        x0 = begin[name].numpy()
        record[name] = Array(np.ascontiguousarray(moved(x0, profile.times or 1.0, x0, array.numpy())))
    return reply


_MADE: Mapping[str, Callable[[FaultProfile, int, Context, Message], Message]] = {
    "nan": _nan,
    "garbage": _garbage,
    "poison": _poison,
}


def moved(x0: Tensor, times: float, begin: Tensor, end: Tensor) -> Tensor:
    """Give x0 + times (end - begin): an update so many times over, of which x0 and begin may hold more than travels."""
    part = tuple(map(slice, end.shape))
    change = end.astype(np.float64) - begin[part]
    # What becomes infinite is for the run's check to find.
    with np.errstate(over="ignore"):
        result: Tensor = (x0[part] + times * change).astype(end.dtype)
    return result
