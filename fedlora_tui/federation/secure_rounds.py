"""The server's way through one round's secure sum: keys, shares, masked vectors, and what takes the masks out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from flwr.app import Message, RecordDict

from fedlora_tui.federation import secure_messages as wire
from fedlora_tui.federation.global_model import GlobalModel
from fedlora_tui.federation.ledger import SHARES, WORDS
from fedlora_tui.federation.messages import Refused, secure_weight
from fedlora_tui.federation.secure_messages import AnyReply, MaskedReply
from fedlora_tui.federation.server_app import Answer, Server
from fedlora_tui.lora.adapter import Adapter, is_one_of
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.privacy.secure_sum.fixed_point import EXTRA_WORDS, Fixed, Mean, unit_of
from fedlora_tui.privacy.secure_sum.keys import NONCE_BYTES, Session
from fedlora_tui.privacy.secure_sum.member import Shared
from fedlora_tui.privacy.secure_sum.server import Adder, SumFailed

T = TypeVar("T")


@dataclass(frozen=True)
class SecureTerms:
    """How a run sums: the share of holders that gives a secret, how many neighbours one has, the range of updates."""

    threshold: float
    neighbours: int
    range: float


@dataclass(frozen=True)
class Cost:
    """What a sum took beyond a plain one: bytes of keys and shares, and seconds, without training."""

    bytes_up: int
    bytes_down: int
    seconds: float


class SecureRound:
    """One try of one round. `failed` says why there is no sum; `mean` is there once it was unmasked.

    `untold` are the bytes of keys and shares of those whom no answer is given of in the end.
    """

    def __init__(self, server: Server, terms: SecureTerms, round: int, largest: int) -> None:
        """`largest` is the largest weight that an organization of the round has."""
        self.failed = ""
        self.mean: Mean | None = None
        self.summed: tuple[str, ...] = ()
        self.gone: tuple[str, ...] = ()
        self._server, self._terms, self._largest = server, terms, largest
        self._session = Session(round, secrets.token_bytes(NONCE_BYTES))
        self._adder = Adder(self._session, terms.neighbours, terms.threshold)
        self._fixed = Fixed(1, 1, terms.range)
        self._length, self._withheld = 0, False
        self._sharing: tuple[str, ...] = ()
        self.untold: dict[str, int] = {}
        self._sent: dict[str, tuple[int, int]] = {}
        self._words: dict[str, int] = {}
        self._delivered: dict[str, int] = {}
        self._seconds = 0.0

    @property
    def threshold(self) -> int:
        """How many holders of shares must be there in the end."""
        return self._adder.threshold

    @property
    def holders(self) -> int:
        """How many organizations hold shares of each one's secrets, itself included."""
        return max((len(own) for own in self._adder.graph.values()), default=-1) + 1

    @property
    def bound(self) -> float:
        """How far any number of the mean can be off by rounding."""
        return self._fixed.bound(len(self.summed), self.mean.weight) if self.mean is not None else 0.0

    @property
    def cost(self) -> Cost:
        """What the sum's own stages took so far."""
        up, down = (sum(sizes[way] for sizes in self._sent.values()) for way in (0, 1))
        return Cost(up, down, self._seconds)

    def train(self, plans: Mapping[str, LocalTraining], model: GlobalModel) -> list[Answer[MaskedReply]]:
        """Let organizations train and send what they trained masked; answers stand in the order of names.

        Where too few are left before that, the sum has failed, and the answers are those of who went wrong.
        """
        lost: dict[str, Answer[MaskedReply]] = {}
        first = next(iter(plans.values()))
        sends, self._withheld = first.sends, bool(first.withhold_loss)
        self._length = sum(t.numel() for name, t in model.adapter.tensors().items() if is_one_of(name, sends))
        self._length += EXTRA_WORDS
        try:
            boxes = self._exchange(plans, lost)
        except SumFailed as failed:
            self.failed = str(failed)
            return [lost[name] for name in sorted(lost)]
        self._fixed = Fixed(len(boxes), unit_of(self._largest), self._terms.range)
        hidden = {name: wire.hidden_record(self._session, self._fixed, own) for name, own in boxes.items()}
        for name, record in hidden.items():
            up, down = self._sent[name]
            self._sent[name] = up, down + secure_weight(record)
        self._delivered = {name: secure_weight(record) for name, record in hidden.items()}
        taking_part = {name: plan for name, plan in plans.items() if name in hidden}
        answers = self._server.train_hidden(taking_part, model, hidden, self._read_masked)
        self._sharing = tuple(sorted(hidden))
        return sorted([*answers, *lost.values()], key=lambda answer: answer.organization)

    def unmask(self, answers: Sequence[Answer[AnyReply]], late: Collection[str]) -> list[Answer[AnyReply]]:
        """Take the masks out of the sum of all replies that are in time; give the answers with all bytes in them."""
        if not self.failed:
            masked = {own.organization: own.reply.words for own in answers if isinstance(own.reply, MaskedReply)}
            in_time = {name: words for name, words in masked.items() if name not in late}
            try:
                self._unmask(in_time)
            except (SumFailed, ValueError) as failed:
                self.failed = str(failed)
        told = {own.organization for own in answers}
        self.untold = {name: up for name, (up, _) in self._sent.items() if up and name not in told}
        return [self._weighed(own) for own in answers]

    def _weighed(self, answer: Answer[AnyReply]) -> Answer[AnyReply]:
        """Give an answer with what its keys and shares weighed; those in the train message are counted already."""
        up, down = self._sent.get(answer.organization, (0, 0))
        more = down - self._delivered.get(answer.organization, 0)
        more_left = {SHARES: up, WORDS: self._words.get(answer.organization, 0)}
        left = {**answer.left, **{kind: answer.left.get(kind, 0) + size for kind, size in more_left.items() if size}}
        up, more = answer.bytes_up + up, answer.bytes_down + more
        return replace(answer, bytes_up=up, bytes_down=more, left=left, shares_down=down)

    @property
    def range(self) -> float:
        """What every number of an update was cut to."""
        return self._terms.range

    def change(self, sent: Adapter, sends: Collection[str]) -> dict[str, torch.Tensor]:
        """Give the mean change to the adapter that was sent, float64, by the names of the tensors that travel."""
        assert self.mean is not None
        left, found = self.mean.values, {}
        for name, tensor in sent.tensors().items():
            if is_one_of(name, sends):
                own, left = left[: tensor.numel()], left[tensor.numel() :]
                found[name] = torch.from_numpy(own.reshape(tuple(tensor.shape)).copy())
        return found

    def _exchange(
        self, plans: Mapping[str, LocalTraining], lost: dict[str, Answer[MaskedReply]]
    ) -> dict[str, dict[int, bytes]]:
        """Go through the stages before training; give the sealed shares that each organization is to be sent."""
        places = {name: wire.place_of(self._server.node(name)) for name in plans}
        names = {place: name for name, place in places.items()}
        asking = {name: wire.advertise_content(self._session) for name in plans}
        shown = self._query(asking, lambda name, reply: wire.read_keys(reply, self._session), lost)
        requests = self._adder.advertised({places[name]: own for name, own in shown.items()})
        asking = {names[place]: wire.share_content(self._session, own) for place, own in requests.items()}
        shared = self._query(asking, lambda name, reply: self._read_shared(places[name], reply), lost)
        boxes = self._adder.shared({places[name]: own for name, own in shared.items()})
        return {names[place]: own for place, own in boxes.items()}

    def _unmask(self, masked: Mapping[str, np.ndarray]) -> None:
        places = {name: wire.place_of(self._server.node(name)) for name in self._sharing}
        names = {place: name for name, place in places.items()}
        began = time.monotonic()
        asked = self._adder.ask([places[name] for name in masked])
        asking = {names[place]: wire.unmask_content(self._session, own) for place, own in asked.items()}
        self._seconds += time.monotonic() - began
        unheard: dict[str, Answer[MaskedReply]] = {}

        def read(name: str, reply: Message) -> dict[int, bytes]:
            return wire.read_shares(reply, self._session, asked[places[name]])

        shares = self._query(asking, read, unheard)
        began = time.monotonic()
        for name, own in shares.items():
            self._adder.revealed(places[name], own)
        total = self._adder.total({places[name]: words for name, words in masked.items()})
        mean = self._fixed.mean(total)
        # Where noise was added for weights of 1 each, fewer would make every update in the sum longer than its limit.
        if not len(masked) <= mean.weight <= len(masked) * self._fixed.unit:
            raise SumFailed(f"its {len(masked)} weights add up to {mean.weight:,}, which they may not")
        self.mean = mean
        self.summed = tuple(sorted(masked))
        self.gone = tuple(sorted(set(places) - set(masked)))
        self._seconds += time.monotonic() - began

    def _query(
        self,
        contents: Mapping[str, RecordDict],
        read: Callable[[str, Message], T],
        lost: dict[str, Answer[MaskedReply]],
    ) -> dict[str, T]:
        """Ask organizations; give what they answered, and note who gave no usable answer in `lost`."""
        began = time.monotonic()
        found = {}
        for answer in self._server.query(contents, self._session.round, read):
            name = answer.organization
            up, down = self._sent.get(name, (0, 0))
            self._sent[name] = up + answer.bytes_up, down + answer.bytes_down
            if answer.reply is not None:
                found[name] = answer.reply
            else:
                lost[name] = Answer(name, None, answer.refusal, 0, 0, answer.came)
                self._words[name] = self._words.get(name, 0) + answer.left.get(WORDS, 0)
        self._seconds += time.monotonic() - began
        return found

    def _read_shared(self, place: int, reply: Message) -> Shared:
        shared = wire.read_shared(reply, self._session, place)
        if not self._adder.fits(place, shared):
            raise Refused("shares for others than its neighbours")
        return shared

    def _read_masked(self, reply: Message) -> MaskedReply:
        return wire.read_masked_reply(reply, self._length, self._fixed, self._withheld)
