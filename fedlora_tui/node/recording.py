"""An organization's own account of each message: written to its ledger before its reply leaves, or nothing leaves."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from flwr.app import Context, Error, Message, MessageType
from flwr.common.constant import ErrorCode

from fedlora_tui.federation.introduction import INTRODUCE
from fedlora_tui.federation.ledger import INTRODUCTION, SHARES, weighed
from fedlora_tui.federation.messages import SECURE, arrays_weight, counted, secure_weight
from fedlora_tui.lora.cohort import StepDone
from fedlora_tui.node import events as ev
from fedlora_tui.node.journal import NodeJournal, read_ledger
from fedlora_tui.node.ledger import folded
from fedlora_tui.node_policy import UNWRITTEN

TOLD_EVERY = 5.0
"""Seconds between two lines that tell how a round's training goes on."""

logger = logging.getLogger(__name__)


class Recording:
    """One message at an organization's node, from its coming to its reply; watches the training in between."""

    def __init__(self, folder: Path, message: Message, run: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Write down that a message came. Raises OSError where the ledger takes nothing."""
        self.folder = folder
        self.run = run
        self.kind = kind_of(message)
        self.round = round_of(message)
        self._clock = clock
        self._began = self._told = clock()
        self._steps: list[StepDone] = []
        self._unwritten = False
        arrays = sum(len(record) for record in message.content.array_records.values())
        shares = secure_weight(message.content.config_records.get(SECURE, {}))
        weight, digest = arrays_weight(message), digest_of_arrays(message)
        self._journal = NodeJournal(folder)
        try:
            self._journal.append(ev.MessageReceived(run, self.kind, self.round, arrays, weight, shares, digest))
        except OSError:
            self._journal.close()
            raise

    def allows(self, judge: Callable[[Message, Context], str | None]) -> Callable[[Message, Context], str | None]:
        """Give a judge of messages whose refusals are written down."""

        def judged(message: Message, context: Context) -> str | None:
            reason = judge(message, context)
            if reason is not None:
                self.refused(reason)
            return reason

        return judged

    def refused(self, reason: str) -> None:
        """Write down what the policy does not allow of what is asked."""
        self._write(ev.MessageRefused(self.run, self.kind, self.round, reason))

    def not_set_up(self, reason: str) -> None:
        """Write down why the node cannot take part as it is set up."""
        self._write(ev.NotSetUp(self.run, self.kind, self.round, reason))

    def trained_before(self) -> int:
        """Give how many rounds of this run were trained here. Raises UserError where the ledger cannot be read."""
        return folded(read_ledger(self.folder)).rounds.get(self.run, 0)

    def reply(self, message: Message, reply: Message) -> Message:
        """Write down what is about to leave, and give it; where that cannot be written nothing leaves but that."""
        if self._steps:
            # What was trained on its text counts against the policy's limit, be it that the reply stays here.
            self._write(self._trained())
        self._write(self._answered(reply))
        self._journal.close()
        return unwritten(message) if self._unwritten else reply

    def broken_off(self) -> None:
        """Write down that nobody works on it any more: what was trained till now counts, and nothing leaves."""
        if self._steps:
            self._write(self._trained())
        seconds = self._clock() - self._began
        self._write(ev.MessageAnswered(self.run, self.kind, self.round, error=ev.BROKEN_OFF, seconds=seconds))
        self._journal.close()

    def _trained(self) -> ev.Trained:
        tokens = sum(step.tokens for step in self._steps)
        loss = sum(step.loss * step.tokens for step in self._steps) / max(tokens, 1)
        return ev.Trained(self.run, self.round, len(self._steps), tokens, loss, self._clock() - self._began)

    def _answered(self, reply: Message) -> ev.MessageAnswered:
        seconds = self._clock() - self._began
        if reply.has_error():
            reason, left = reply.error.reason or "", weighed(reply)
            return ev.MessageAnswered(self.run, self.kind, self.round, left=left, error=reason, seconds=seconds)
        tensors, numbers = counted(reply)
        weight, left = arrays_weight(reply), weighed(reply)
        if self.kind == ev.SECURE_SUM:
            left = {SHARES: weight}
        elif self.kind == ev.INTRODUCE:
            left = {INTRODUCTION: sum(left.values())}
        digest = digest_of_arrays(reply)
        return ev.MessageAnswered(self.run, self.kind, self.round, tensors, numbers, weight, left, digest, "", seconds)

    def _write(self, event: ev.NodeEvent) -> None:
        try:
            self._journal.append(event)
        except OSError as error:
            logger.error("the ledger cannot be written: %s", error)
            self._unwritten = True

    def steps(self, round: int, done: Sequence[StepDone]) -> None:
        """A local step is over."""
        self._steps += done
        now = self._clock()
        if now - self._told >= TOLD_EVERY:
            self._told = now
            last = done[-1]
            self._write(ev.TrainingGoesOn(self.run, round, last.step, last.steps, last.loss))

    def testing(self, round: int, organization: str) -> None:
        """The organization begins to measure; that stands in the ledger already."""

    def between(self) -> None:
        """Nobody waits."""

    def lanes_begin(self, count: int) -> None:
        """There is one."""

    def lane_began(self, lane: int) -> None:
        """There is one."""

    def lane_has(self, runs: Collection[int]) -> None:
        """There is one."""

    def lane_ended(self) -> None:
        """There is one."""

    def shrunk(self, cohort: int) -> None:
        """It goes alone."""


def recorded(
    folder: Path | None, message: Message, context: Context, answer: Callable[[Recording | None], Message]
) -> Message:
    """Answer a message, with an account of it in the ledger of a folder; None: the node keeps none.

    What breaks is answered by its bare name: Flower itself would send the whole text of an error.
    """
    try:
        recording = None if folder is None else Recording(folder, message, str(context.run_id))
    except OSError as error:
        logger.error("the ledger cannot be written: %s", error)
        return unwritten(message)
    try:
        reply = answer(recording)
    except KeyboardInterrupt:
        # By this Flower ends a process whose task was given up.
        if recording is not None:
            recording.broken_off()
        raise
    except Exception as error:
        logger.exception("a message of round %d could not be answered", round_of(message))
        reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, type(error).__name__[:40]), reply_to=message)
    return reply if recording is None else recording.reply(message, reply)


def unwritten(message: Message) -> Message:
    """Answer that nothing leaves, for it could not be written down."""
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, UNWRITTEN), reply_to=message)


def kind_of(message: Message) -> str:
    """Give what kind of message one is, of a list of kinds."""
    named = message.metadata.message_type
    if named in (MessageType.TRAIN, MessageType.EVALUATE):
        return ev.TRAIN if named == MessageType.TRAIN else ev.EVALUATE
    if named == INTRODUCE:
        return ev.INTRODUCE
    return ev.SECURE_SUM if SECURE in message.content else ev.OTHER


def round_of(message: Message) -> int:
    """Give the round that a message belongs to, 0 where it names none."""
    group = message.metadata.group_id or ""
    return int(group) if group.isdecimal() and len(group) < 10 else 0


def digest_of_arrays(message: Message) -> str:
    """Give the SHA-256 of a message's arrays, in the order of their names; empty where it has none."""
    digest, seen = hashlib.sha256(), False
    for name, record in sorted(message.content.array_records.items()):
        for tensor, array in sorted(record.items()):
            digest.update(f"{name}/{tensor}/{array.dtype}/{list(array.shape)}/{len(array.data)}\n".encode())
            digest.update(array.data)
            seen = True
    return digest.hexdigest() if seen else ""
