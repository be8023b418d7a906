"""From a round's replies to the next global adapter, and what is told of it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from fedlora_tui.aggregation import METHODS, Aggregated, Method, Reply, Start, shares
from fedlora_tui.aggregation.drift import losses, ratio
from fedlora_tui.aggregation.products import updates
from fedlora_tui.aggregation.robust import Defended, defend
from fedlora_tui.aggregation.server_step import ServerMemory, advance
from fedlora_tui.config import Config
from fedlora_tui.engine.health import check_finite, merged
from fedlora_tui.engine.one_by_one import Taking, one_by_one
from fedlora_tui.engine.plan import server_step_of
from fedlora_tui.engine.prepare import Prepared
from fedlora_tui.engine.round_errors import TooFewRepliesError
from fedlora_tui.engine.spread import by_module
from fedlora_tui.engine.stream import Stream
from fedlora_tui.engine.summing import summed
from fedlora_tui.federation.client_app import kept_adapter
from fedlora_tui.federation.global_model import GlobalModel
from fedlora_tui.federation.messages import TrainReply
from fedlora_tui.federation.organizations_grid import OrganizationsGrid
from fedlora_tui.federation.secure_rounds import SecureRound
from fedlora_tui.federation.server_app import GivesOneByOne, Server
from fedlora_tui.lora.adapter import Adapter, with_b_of
from fedlora_tui.lora.cohort_size import free_bytes
from fedlora_tui.lora.resize import first_rows, started
from fedlora_tui.lora.rows import generator_seed
from fedlora_tui.privacy.clipping import moved
from fedlora_tui.privacy.noise import Bits
from fedlora_tui.privacy.summing import Terms, noised_mean, noised_total
from fedlora_tui.protocol import events as ev


@dataclass(frozen=True)
class Learned:
    """What a run has learned so far: the global model, adapters of organizations that have their own, the server's."""

    model: GlobalModel
    own: Mapping[str, Adapter]
    server: ServerMemory


@dataclass(frozen=True)
class Made:
    """What a round's replies became, and how much of them the method lost, None where nobody saw them."""

    learned: Learned
    drift: float | None


@dataclass(frozen=True)
class Guarded:
    """How the changes of a round are protected, and what the server's noise is made of."""

    terms: Terms
    source: Bits


class Aggregating:
    """Makes the replies of one round after the other into the global adapter; it keeps nothing from round to round."""

    def __init__(self, prepared: Prepared, grid: OrganizationsGrid, server: Server, stream: Stream) -> None:
        self.prepared = prepared
        self.grid, self.server, self.stream = grid, server, stream
        self._free = free_bytes(torch.device("cpu"))

    def aggregate(
        self,
        round: int,
        config: Config,
        before: Learned,
        replies: Mapping[str, TrainReply],
        threads: int,
        guarded: Guarded | None = None,
    ) -> Made:
        """Make the new global adapter, on `threads` at most, and tell of it. Raises UnusableRoundError.

        Where it is `guarded`, every organization weighs the same, and what the method is given is their noised mean.
        """
        started = time.monotonic()
        method, sent = METHODS[config.federation.aggregation], before.model.adapter
        weighted = [
            Reply(name, self._whole(config, name, reply), reply.examples if guarded is None else 1.0)
            for name, reply in replies.items()
        ]
        start = Start(round, sent, partial(self._anew, config, sent, round))
        defended = _defended(config, weighted, start)
        accepted, settled = defended.replies, defended.adapter
        if guarded is not None:
            aggregated = _noised(method, accepted, start, guarded)
        else:
            aggregated = merged(method, accepted, start) if settled is None else Aggregated(settled)
        parts = losses(accepted, aggregated, threads) if accepted else {}
        lost = ratio(parts.values()) if accepted else math.nan
        each = updates(weighted, sent, self._began(before, weighted), threads) if weighted else {}
        adapter, memory = _advanced(round, config, before, aggregated, looked_at=settled is None)
        model = before.model.after(adapter, aggregated.delta)
        own = _own(before.own, aggregated, model.adapter) if method.keeps_b_at_home else before.own
        weights = _weights(accepted, guarded)
        seconds = time.monotonic() - started
        self.stream.emit(
            ev.RoundAggregated(
                round,
                tuple(sorted(replies)),
                weights,
                lost,
                seconds,
                defended.left_out,
                defended.shortened,
                {module: ratio([part]) for module, part in parts.items()},
                {name: update.norm for name, update in each.items()},
                {name: update.cosine for name, update in each.items()},
            )
        )
        for event in by_module(round, each):
            self.stream.emit(event)
        return Made(Learned(model, own, memory), lost)

    def begin(self, round: int, config: Config, before: Learned, replies: int, terms: Terms | None) -> Taking | None:
        """Begin to add up so many replies of a round as they come; None where they are kept until all are in.

        `terms` are those of a protection, where there is one.
        """
        sent = before.model.adapter
        gives_so = isinstance(self.grid, GivesOneByOne) and self.grid.keeps_none
        if not one_by_one(config, sent, replies, self._free, gives_so):
            return None
        start = Start(round, sent, partial(self._anew, config, sent, round))
        return Taking(METHODS[config.federation.aggregation], start, terms)

    def aggregate_taken(
        self,
        round: int,
        config: Config,
        before: Learned,
        taking: Taking,
        threads: int,
        guarded: Guarded | None = None,
    ) -> Made:
        """Make the new global adapter of replies that were taken in one by one, and tell of it.

        Raises UnusableRoundError. What cannot be told without the replies themselves is null.
        """
        started = time.monotonic()
        intake = taking.intake
        aggregated = taking.made(None if guarded is None else guarded.source)
        parts = intake.losses(aggregated, threads) if intake.weights else {}
        lost = None if parts is None else ratio(parts.values()) if intake.weights else math.nan
        adapter, memory = _advanced(round, config, before, aggregated)
        model = before.model.after(adapter, aggregated.delta)
        each = {name: intake.updates[name] for name in sorted(intake.updates)}
        if guarded is None:
            weights = {name: share for share, name in intake.shares()}
        else:
            weights = dict.fromkeys(each, 1 / guarded.terms.expected)
        self.stream.emit(
            ev.RoundAggregated(
                round,
                tuple(sorted(intake.weights)),
                weights,
                lost,
                time.monotonic() - started,
                drifts={module: ratio([part]) for module, part in (parts or {}).items()},
                norms={name: update.norm for name, update in each.items()},
                cosines=dict.fromkeys(each),
            )
        )
        for event in by_module(round, each):
            self.stream.emit(event)
        return Made(Learned(model, before.own, memory), lost)

    def aggregate_sum(
        self, round: int, config: Config, before: Learned, secure: SecureRound, guarded: Guarded | None = None
    ) -> Made:
        """Make the new global adapter of a sum alone, and tell of it. Raises UnusableRoundError.

        The method is given the mean update as one reply: what needs a sum makes of it what it makes of all of them.
        """
        started = time.monotonic()
        assert secure.mean is not None
        method, sent = METHODS[config.federation.aggregation], before.model.adapter
        start = Start(round, sent, partial(self._anew, config, sent, round))
        change = secure.change(sent, method.trains(round))
        if guarded is None:
            mean = moved(sent, change)
        else:
            count = len(secure.summed)
            total = {name: count * tensor for name, tensor in change.items()}
            mean = noised_total(total, count, sent, guarded.terms, guarded.source)
        aggregated = merged(method, [Reply("", mean, secure.mean.weight)], start)
        adapter, memory = _advanced(round, config, before, aggregated)
        learned = Learned(before.model.after(adapter, aggregated.delta), before.own, memory)
        for event in summed(secure, round):
            self.stream.emit(event)
        self.stream.emit(ev.RoundAggregated(round, secure.summed, {}, None, time.monotonic() - started))
        return Made(learned, None)

    def _whole(self, config: Config, name: str, reply: TrainReply) -> Adapter:
        """Give what an organization trained; where its B stays at home, this process is that home and looks there."""
        if not METHODS[config.federation.aggregation].keeps_b_at_home:
            return reply.adapter
        at_home = kept_adapter(self.grid.state(self.server.node(name)), self.server.spec.at(reply.adapter.rank))
        return with_b_of(reply.adapter, at_home)

    def _anew(self, config: Config, sent: Adapter, round: int) -> Adapter:
        """Give an adapter like the global one that has learned nothing.

        Its scales are those that the run began with: alpha has moved with the rank since, but not for modules that have
        a rank of their own.
        """
        lora, targets = self.prepared.config.lora, self.prepared.base.targets
        seed = generator_seed("anew", config.federation.seed, "", round)
        return started(targets, lora.default_rank, lora.alpha, seed, sent.rank)

    def _began(self, before: Learned, replies: Sequence[Reply]) -> dict[str, Adapter]:
        """Give the adapters of organizations that began the round with another than the global one."""
        sent = before.model.adapter
        narrow = {
            reply.organization: first_rows(sent, reply.adapter.rank, self.server.spec.own_ranked)
            for reply in replies
            if reply.adapter.rank < sent.rank
        }
        return {**before.own, **narrow}


def _noised(method: Method, replies: Sequence[Reply], start: Start, guarded: Guarded) -> Aggregated:
    """Let a method make what it makes of the noised mean of the replies, as if one organization had sent that.

    A B that stays at home is as its organization trained it.
    """
    factors = method.sends(start.round)
    # The order of names, so that a seeded run repeats to the byte.
    adapters = [reply.adapter for reply in sorted(replies, key=lambda reply: reply.organization)]
    mean = noised_mean(adapters, start.sent, factors, guarded.terms, guarded.source)
    aggregated = merged(method, [Reply("", mean, 1.0)], start)
    own = {reply.organization: reply.adapter for reply in replies} if method.keeps_b_at_home else {}
    return replace(aggregated, own={name: with_b_of(aggregated.adapter, adapter) for name, adapter in own.items()})


def _advanced(
    round: int, config: Config, before: Learned, aggregated: Aggregated, *, looked_at: bool = True
) -> tuple[Adapter, ServerMemory]:
    """Let the server take its step; an adapter that nobody has `looked_at` is seen to be finite, each of them once."""
    trains = METHODS[config.federation.aggregation].trains(round)
    adapter, memory = advance(
        server_step_of(config, round), before.server, before.model.adapter, aggregated.adapter, trains
    )
    if not looked_at or adapter is not aggregated.adapter:
        check_finite(adapter)
    return adapter, memory


def _weights(replies: Sequence[Reply], guarded: Guarded | None) -> dict[str, float]:
    """Give each organization's weight in the result: those of a noised mean add up to 1 on the average alone."""
    if guarded is not None:
        return {reply.organization: 1 / guarded.terms.expected for reply in replies}
    return {reply.organization: share for share, reply in shares(replies)}


def _defended(config: Config, replies: Sequence[Reply], start: Start) -> Defended:
    """Let the defence look at the replies, where there is one."""
    federation = config.federation
    if federation.robust == "none":
        return Defended(tuple(replies))
    try:
        return defend(federation.robust, federation.byzantine, replies, start)
    except ValueError as error:
        raise TooFewRepliesError(str(error)) from None


def _own(before: Mapping[str, Adapter], aggregated: Aggregated, adapter: Adapter) -> dict[str, Adapter]:
    """Give what organizations go on from that have an adapter of their own: all of them take the new A."""
    return {name: with_b_of(adapter, own) for name, own in {**before, **aggregated.own}.items()}
