"""An organization's part in a secure sum: it answers the stages' queries, and sends its update masked or not at all.

What it keeps between two messages stays in its own context: keys of one session, and over whom it summed last.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from flwr.app import ConfigRecord, Context, Message

from fedlora_tui.federation import secure_messages as wire
from fedlora_tui.federation.messages import CONFIG, SECURE, Refused, read_config, read_round
from fedlora_tui.lora.adapter import Adapter, is_one_of
from fedlora_tui.lora.cohort import LocalTraining, Trained
from fedlora_tui.privacy.secure_sum.fixed_point import Fixed, Values
from fedlora_tui.privacy.secure_sum.keys import Session
from fedlora_tui.privacy.secure_sum.member import Declined, Member

OPEN = "this organization takes part in secure sums alone: it sends no update that is not masked"


@dataclass(frozen=True)
class Hiding:
    """An organization that has its neighbours' shares and will mask what it trains."""

    member: Member
    fixed: Fixed


def answer_query(message: Message, context: Context) -> Message:
    """Answer a stage of a secure sum. Raises Refused where it is not to be answered."""
    stage, session = wire.read_stage(message)
    answer = {wire.ADVERTISE: _advertise, wire.SHARE: _share, wire.UNMASK: _unmask}[stage]
    try:
        return answer(message, context, session)
    except Declined as declined:
        raise Refused(f"secure sum: {declined}") from None


def _advertise(message: Message, context: Context, session: Session) -> Message:
    before = _kept(context)
    if before is not None and before.session == session:
        raise Declined(f"a session of round {session.round} that has begun already")
    member = Member(session, before.summed if before is not None else None)
    _keep(context, member)
    return wire.advertise_reply(message, session, member.public)


def _share(message: Message, context: Context, session: Session) -> Message:
    member, request = _member(context, session), wire.read_request(message)
    if request.place != wire.place_of(context.node_id):
        raise Declined(f"told that its place is {request.place}")
    shared = member.share(request.place, request.threshold, request.peers)
    _keep(context, member)
    return wire.share_reply(message, session, shared)


def _unmask(message: Message, context: Context, session: Session) -> Message:
    member, asked = _member(context, session), wire.read_unmasking(message)
    shares = member.unmask(asked.alive, asked.gone)
    _keep(context, member)
    return wire.unmask_reply(message, session, shares)


def begin_hiding(message: Message, context: Context, only: bool) -> Hiding | None:
    """Take the shares that came with a train message; None where its reply is not to be masked.

    `only`: this organization sends nothing that is not masked. What it was given is kept once the reply is made: where
    memory runs out before, the same message comes again. Raises Refused.
    """
    if SECURE not in message.content:
        if only:
            raise Refused(OPEN)
        return None
    hidden = wire.read_hidden(message.content)
    try:
        if read_round(read_config(message)) != hidden.session.round:
            raise Declined(f"its {CONFIG} is of another round")
        member = _member(context, hidden.session)
        member.receive(hidden.boxes)
    except Declined as declined:
        raise Refused(f"secure sum: {declined}") from None
    return Hiding(member, hidden.fixed)


def hidden_reply(
    message: Message,
    context: Context,
    hiding: Hiding,
    began: Adapter,
    trained: Trained,
    weight: int,
    plan: LocalTraining,
) -> Message:
    """Answer a train message with the masked update. Raises Refused where it holds what may not travel."""
    try:
        words = hiding.fixed.words(flat(trained.adapter, plan.sends) - flat(began, plan.sends), weight)
    except ValueError as error:
        raise Refused(str(error)) from None
    masked = hiding.member.mask(words)
    _keep(context, hiding.member)
    loss = None if plan.withhold_loss else trained.loss
    reply = wire.masked_reply(message, masked, loss, trained.tokens, trained.steps)
    wire.read_masked_reply(reply, len(words), hiding.fixed, bool(plan.withhold_loss))
    return reply


def flat(adapter: Adapter, factors: Collection[str]) -> Values:
    """Lay the tensors of some factors one behind the other, in the adapter's own order, as float64."""
    own = [tensor.numpy().ravel() for name, tensor in adapter.tensors().items() if is_one_of(name, factors)]
    return np.concatenate(own).astype(np.float64)


def _kept(context: Context) -> Member | None:
    record = context.state.get(SECURE)
    return Member.restored(json.loads(str(record["member"]))) if isinstance(record, ConfigRecord) else None


def _member(context: Context, session: Session) -> Member:
    """Give the organization as it stands in a session. Declined where that is not the one it is in."""
    member = _kept(context)
    if member is None or member.session != session:
        raise Declined(f"a message of a session in round {session.round} that this organization is not in")
    return member


def _keep(context: Context, member: Member) -> None:
    context.state[SECURE] = ConfigRecord({"member": json.dumps(member.kept())})
