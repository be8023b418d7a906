"""The round loop, readable top to bottom, with the boundaries where commands take effect."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fedlora_tui.aggregation import METHODS, Aggregated, Reply, Start, shares
from fedlora_tui.aggregation.drift import losses, ratio
from fedlora_tui.aggregation.products import updates
from fedlora_tui.aggregation.robust import Defended, defend
from fedlora_tui.aggregation.server_step import ServerMemory, ServerStep, advance, cooled, warmed, widened
from fedlora_tui.config import Config
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.checkpoint import Checkpoint, is_full
from fedlora_tui.engine.keeping import Keeping, Standing
from fedlora_tui.engine.knobs import KEYS, Change, setting, turned
from fedlora_tui.engine.past import Fork, Losses, as_turned, parent_of, run_continued
from fedlora_tui.engine.prepare import Counts, Prepared
from fedlora_tui.engine.sampling import measured, sampled
from fedlora_tui.engine.steering import Steering
from fedlora_tui.engine.stream import Stream
from fedlora_tui.engine.workable import rank_terms
from fedlora_tui.errors import UserError
from fedlora_tui.federation.client_app import keep_adapter, kept_adapter
from fedlora_tui.federation.global_model import GlobalModel
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import EvaluateReply, TrainReply
from fedlora_tui.federation.server_app import Answer, Server
from fedlora_tui.lora.adapter import Adapter, with_b_of
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.lora.resize import first_rows, resize, started
from fedlora_tui.lora.rows import generator_seed
from fedlora_tui.protocol import events as ev


class RoundError(Exception):
    """A round that cannot be used: the run ends as failed, with this reason."""


class TooFewError(RoundError):
    """A round that cannot begin for want of organizations, in a run that nobody steers."""


@dataclass
class _RoundSums:
    """What a round adds up while its answers come in."""

    round: int
    bytes_up: int = 0
    bytes_down: int = 0
    tokens: int = 0


class RoundLoop:
    """One run from its first look at the base to its last round."""

    def __init__(
        self,
        prepared: Prepared,
        grid: LocalGrid,
        server: Server,
        stream: Stream,
        steering: Steering,
        folder: Path,
        patient: bool,
    ) -> None:
        """`patient` runs wait for the operator when they pause by themselves; the others fail."""
        self.config = prepared.config
        self.prepared = prepared
        self.organizations = list(prepared.organizations)
        self.model = GlobalModel(0, prepared.adapter)
        self.own: dict[str, Adapter] = {}
        self.server_memory = ServerMemory()
        self.grid, self.server, self.stream, self.steering = grid, server, stream, steering
        self.folder = folder
        self.patient = patient
        self.trained_by: set[str] = set()
        self.base_loss: float | None = None
        self.keeping = Keeping(folder, self.config.runs.keep_full)

    def run(self) -> None:
        """Measure the base, then go round by round until the last one or until an end is asked for."""
        for name in self.organizations:
            self._welcome(name, 1)
        self.base_loss = self._first_look()
        self._save(0, None, self.base_loss)
        self._rounds_from(1)

    def restore(self, kept: Checkpoint) -> None:
        """Stand where the run stood after the round of a checkpoint; nothing is told."""
        self.config = as_turned(self.config, kept.state)
        self.organizations = list(kept.state["organizations"])
        self.model = GlobalModel(0, kept.adapter, kept.delta)
        self.own = dict(kept.own)
        self.server_memory = kept.server
        self.trained_by = set(kept.state["trained_by"])
        self.base_loss = kept.state["base_loss"]

    def go_on(self, round: int) -> None:
        """Go on after a round that was restored: organizations hold nothing but what never leaves them."""
        for name in self.organizations:
            self.server.welcome(name, self.grid.join(name))
        self._give_back_own()
        self._rounds_from(round + 1)

    def begin_fork(self, fork: Fork) -> None:
        """Measure the base alone, then the adapter that another run had after a round, and go on from there."""
        for name in self.organizations:
            self._welcome(name, fork.round + 1)
        self.base_loss = self._first_look()
        kept, config = parent_of(fork), self.config
        self.model = self.model.taken_over(kept.adapter, kept.delta)
        self.own, self.trained_by = dict(kept.own), set(kept.state["trained_by"])
        self._take_over_memory(kept, fork)
        lost = self._resize(fork.round + 1)
        if lost:
            self.stream.emit(ev.Warned(f"rank {kept.adapter.rank} to {self.model.adapter.rank}: {lost:.1%} of it lost"))
        self._give_back_own()
        loss = self._evaluate(_RoundSums(fork.round), self._measured())
        losses = Losses(kept.state["train_loss"], loss, self.base_loss)
        self._save(fork.round, losses.train, losses.evaluated)
        names, asked = self.organizations, self.steering.outstanding()
        reason = f"forked from {fork.folder.name}"
        told = run_continued(fork.round, reason, names, config, self.model.adapter, asked, losses)
        self.stream.emit(told)
        self._rounds_from(fork.round + 1)

    def _take_over_memory(self, kept: Checkpoint, fork: Fork) -> None:
        """Take over what the parent's server kept, or say that there is none of it."""
        optimizer = self.config.federation.server_optimizer
        before = kept.state["config"]["federation"]["server_optimizer"]
        if optimizer == before and is_full(fork.folder, fork.round):
            self.server_memory = kept.server
        elif optimizer != "none":
            why = "was let go of" if optimizer == before else f"is {before}'s"
            said = f"{optimizer} starts anew: what the server kept of round {fork.round} of {fork.folder.name} {why}"
            self.stream.emit(ev.Warned(said))

    def _give_back_own(self) -> None:
        """Put back what organizations keep that never leaves them: their process is this one."""
        for name in sorted(self.own.keys() & set(self.organizations)):
            self.server.holds(name, self.model.version)
            state = self.grid.state(self.server.node(name))
            keep_adapter(state, self.own[name], self.model.delta, self.model.version)

    def _rounds_from(self, round: int) -> None:
        while self._goes_on(round) and self._boundary(round):
            self._one_round(round)
            round += 1

    def _first_look(self) -> float | None:
        """Measure the base alone: the first adapter's B is zero, so it changes nothing, and it serves round 1."""
        self.stream.emit(ev.Preparing("first look", "working", "loss of the base on each hold-out"))
        loss = self._evaluate(_RoundSums(0), self._measured())
        self.stream.emit(ev.Preparing("first look", "done", "loss of the base on each hold-out"))
        return loss

    def _goes_on(self, round: int) -> bool:
        """Tell whether there is such a round; how many there are may change until the last one is over."""
        self.steering.come_to_round()
        if round > self.config.federation.rounds:
            for change in self.steering.take_rounds():
                self._turn(change, round)
        return not self.steering.finish_asked and round <= self.config.federation.rounds

    def _boundary(self, round: int) -> bool:
        """Let what waits take effect; wait here for the operator while organizations are too few.

        False where an early end was asked for meanwhile.
        """
        while True:
            for change in self.steering.begin_round(round):
                self._apply(change, round)
            if round > self.config.federation.rounds:
                return False
            self.steering.now_present(self.organizations)
            lack = self.steering.lack()
            if lack is None:
                if self._all_read(round):
                    return True
                continue
            if not self.patient:
                raise TooFewError(f"round {round} {lack} (federation.min_organizations)")
            self.steering.wait_for_organizations(round, lack)
            if self.steering.finish_asked:
                return False

    def _all_read(self, round: int) -> bool:
        """Read the text of those in the round whose text was not needed before; False where one had to leave for it."""
        texts, all_stay = self.prepared.texts, True
        for name in sorted({*self._sample(round), *self._measured()}):
            if texts.known(name):
                continue
            self.steering.between(round - 1, 0)
            self.stream.emit(ev.OrgState(name, "waiting", round, "reading its text"))
            counts = self._read(name, round)
            if counts is None:
                self._leave(name)
                all_stay = False
                continue
            self.stream.emit(
                ev.OrgCounted(name, round, counts.documents, counts.tokens, counts.holdout_tokens, texts.skew(name))
            )
            self.stream.emit(ev.OrgState(name, "waiting", round))
            if counts.notice:
                self.stream.emit(ev.Warned(counts.notice, name))
        return all_stay

    def _read(self, name: str, round: int) -> Counts | None:
        """Read an organization's text; None, and the reason told, where it cannot take part."""
        try:
            return self.prepared.texts.read(name)
        except UserError as error:
            self.stream.emit(ev.Warned(f"{name} cannot join: {error}", name))
            self.stream.emit(ev.OrgLeft(name, round, "cannot join"))
            return None

    def _leave(self, name: str) -> None:
        self.organizations.remove(name)
        self.own.pop(name, None)
        self.grid.leave(self.server.dismiss(name))
        self.prepared.texts.forget(name)

    def _apply(self, change: Change, round: int) -> None:
        if change.command in KEYS:
            self._turn(change, round)
            return
        if change.command == "drop":
            self._leave(change.org)
            self.stream.emit(ev.OrgLeft(change.org, round, "dropped by the operator"))
            return
        counts = self._read(change.org, round)
        if counts is None:
            return
        self.organizations.append(change.org)
        self._welcome(change.org, round)
        if counts.notice:
            self.stream.emit(ev.Warned(counts.notice, change.org))
        # A late joiner measures the base too, so that its gain can be told.
        self._report_losses(0, self.server.evaluate_base([change.org]))

    def _turn(self, change: Change, round: int) -> None:
        """Turn a knob: from this round on the run is set another way."""
        if change.org and change.org not in self.organizations:
            return  # whose rank it is could not join after all
        before = setting(self.config, change)
        self.config = turned(self.config, change)
        self.steering.now_rounds(self.config.federation.rounds)
        lost = self._resize(round) if change.command == "rank" else 0.0
        trainable = self.model.adapter.parameters
        terms = rank_terms(self.config) if change.command == "aggregation" else ()
        self.stream.emit(ev.KnobTurned(round, change.command, before, change.to, trainable, change.org, lost, *terms))

    def _resize(self, round: int) -> float:
        """Bring the global adapter to the rank that is wanted now; give the relative error of that.

        What the server's optimizer keeps goes along where the rank grows; a lower rank has another basis, in which it
        would mean nothing.
        """
        lora, before = self.config.lora, self.model.adapter
        wanted = lora.highest_rank
        if wanted == before.rank:
            return 0.0
        seed = generator_seed("rank", self.config.federation.seed, "", round)
        resized = resize(before, wanted, seed, self.server.spec.own_ranked)
        self.model = self.model.resized(resized.adapter)
        grown = wanted > before.rank
        self.server_memory = widened(self.server_memory, resized.adapter) if grown else ServerMemory()
        return resized.lost

    def _welcome(self, name: str, round: int) -> None:
        self.server.welcome(name, self.grid.join(name))
        texts, rank = self.prepared.texts, self.config.lora.rank_of(name)
        if not texts.known(name):
            self.stream.emit(ev.OrgJoined(name, round, None, None, None, rank))
            return
        counts = texts.counts(name)
        self.stream.emit(
            ev.OrgJoined(name, round, counts.documents, counts.tokens, counts.holdout_tokens, rank, texts.skew(name))
        )

    def _one_round(self, round: int) -> None:
        sums, rounds = _RoundSums(round), self.config.federation.rounds
        started, paused = time.monotonic(), self.steering.paused_seconds
        plan = plan_of(self.config, round)
        names = self._sample(round)
        steps = self._steps(names)
        self.stream.emit(ev.RoundStarted(round, rounds, names, steps, plan.learning_rate))
        replies = self._train({name: self._own_plan(plan, name) for name in names}, sums)
        lost, train_loss = self._aggregate(round, replies)
        eval_loss = self._evaluate(sums, self._measured())

        def seconds() -> float:
            return time.monotonic() - started - (self.steering.paused_seconds - paused)

        finished = ev.RoundFinished(
            round,
            rounds,
            train_loss,
            eval_loss,
            sums.bytes_up,
            sums.bytes_down,
            seconds(),
            sums.tokens,
            lost,
            tuple(sorted(replies)),
            self.base_loss,
        )
        self._save(round, train_loss, eval_loss, finished, self.steering.paused_seconds > paused)
        self.stream.emit(replace(finished, seconds=seconds()))

    def _sample(self, round: int) -> tuple[str, ...]:
        federation = self.config.federation
        least = federation.min_organizations
        return sampled(self.organizations, federation.fraction, least, federation.seed, round)

    def _measured(self) -> tuple[str, ...]:
        federation = self.config.federation
        return measured(self.organizations, federation.fraction_evaluate, federation.seed)

    def _steps(self, names: Sequence[str]) -> int:
        """The largest number of local steps among the organizations of a round."""
        federation = self.config.federation
        if not federation.local_epochs:
            return federation.local_steps
        rows = max(len(self.prepared.texts.rows(name).train) for name in names)
        return federation.local_epochs * -(-rows // federation.batch_size)

    def _train(self, plans: Mapping[str, LocalTraining], sums: _RoundSums) -> dict[str, TrainReply]:
        """Exchange the train messages; give the replies that passed the check."""
        replies, round = {}, sums.round
        for answer in self.server.train(plans, self.model):
            sums.bytes_up += answer.bytes_up
            sums.bytes_down += answer.bytes_down
            reply = answer.reply
            if reply is None:
                self.stream.emit(ev.UpdateRejected(answer.organization, round, answer.refusal))
                continue
            sums.tokens += reply.tokens
            replies[answer.organization] = reply
            self.stream.emit(
                ev.UpdateReceived(
                    answer.organization, round, answer.bytes_up, answer.bytes_down, reply.tokens, reply.loss
                )
            )
        if not replies:
            raise RoundError(f"round {round}: none of {len(plans)} replies could be used: {answer.refusal}")
        return replies

    def _aggregate(self, round: int, replies: dict[str, TrainReply]) -> tuple[float, float | None]:
        """Make the new global adapter; give the round's drift and mean train loss."""
        started = time.monotonic()
        method, sent = METHODS[self.config.federation.aggregation], self.model.adapter
        weighted = [Reply(name, self._whole(name, reply), reply.examples) for name, reply in replies.items()]
        start = Start(round, sent, partial(self._anew, round))
        defended = self._defended(weighted, start)
        accepted = defended.replies
        if defended.adapter is None:
            aggregated = method.aggregate(accepted, start)
        else:
            aggregated = Aggregated(defended.adapter)
        parts = losses(accepted, aggregated)
        lost = ratio(parts.values())
        moved = updates(weighted, sent, self._began(weighted))
        adapter, self.server_memory = advance(
            server_step_of(self.config, round), self.server_memory, sent, aggregated.adapter, method.trains(round)
        )
        self.model = self.model.after(adapter, aggregated.delta)
        self._keep_own(aggregated)
        self.trained_by |= replies.keys()
        weights = {reply.organization: share for share, reply in shares(accepted)}
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
                {name: update.norm for name, update in moved.items()},
                {name: update.cosine for name, update in moved.items()},
            )
        )
        return lost, _mean((reply.loss, reply.tokens) for reply in replies.values())

    def _defended(self, replies: Sequence[Reply], start: Start) -> Defended:
        """Let the defence look at the replies, where there is one."""
        federation = self.config.federation
        if federation.robust == "none":
            return Defended(tuple(replies))
        try:
            return defend(federation.robust, federation.byzantine, replies, start)
        except ValueError as error:
            raise RoundError(f"round {start.round}: {error}") from None

    def _whole(self, name: str, reply: TrainReply) -> Adapter:
        """Give what an organization trained; where its B stays at home, this process is that home and looks there."""
        if not METHODS[self.config.federation.aggregation].keeps_b_at_home:
            return reply.adapter
        at_home = kept_adapter(self.grid.state(self.server.node(name)), self.server.spec.at(reply.adapter.rank))
        return with_b_of(reply.adapter, at_home)

    def _anew(self, round: int) -> Adapter:
        """Give an adapter like the global one that has learned nothing.

        Its scales are those that the run began with: alpha has moved with the rank since, but not for modules that have
        a rank of their own.
        """
        lora, targets = self.prepared.config.lora, self.prepared.base.targets
        seed = generator_seed("anew", self.config.federation.seed, "", round)
        return started(targets, lora.default_rank, lora.alpha, seed, self.model.adapter.rank)

    def _own_plan(self, plan: LocalTraining, name: str) -> LocalTraining:
        """Give an organization's plan: the round's, at its own rank."""
        rank = self.config.lora.rank_of(name)
        return plan if rank == self.model.adapter.rank else replace(plan, own_rank=rank)

    def _began(self, replies: Sequence[Reply]) -> dict[str, Adapter]:
        """Give the adapters of organizations that began the round with another than the global one."""
        sent = self.model.adapter
        narrow = {
            reply.organization: first_rows(sent, reply.adapter.rank, self.server.spec.own_ranked)
            for reply in replies
            if reply.adapter.rank < sent.rank
        }
        return {**self.own, **narrow}

    def _keep_own(self, aggregated: Aggregated) -> None:
        """Remember what organizations go on from that have an adapter of their own: all of them take the new A."""
        if METHODS[self.config.federation.aggregation].keeps_b_at_home:
            self.own |= aggregated.own
            self.own = {name: with_b_of(self.model.adapter, own) for name, own in self.own.items()}

    def _evaluate(self, sums: _RoundSums, names: Sequence[str]) -> float | None:
        """Let organizations measure the global model; give the mean loss, weighted by tokens."""
        answers = self.server.evaluate(sums.round, self.model, names)
        sums.bytes_down += self._report_losses(sums.round, answers)
        return _mean((answer.reply.loss, answer.reply.tokens) for answer in answers if answer.reply is not None)

    def _report_losses(self, round: int, answers: Sequence[Answer[EvaluateReply]]) -> int:
        """Tell each hold-out loss; give the bytes that went to the organizations for it."""
        for answer in answers:
            name, reply = answer.organization, answer.reply
            if reply is None:
                self.stream.emit(ev.Warned(f"hold-out of {name} in round {round}: {answer.refusal}", name))
            else:
                self.stream.emit(ev.OrgEvaluated(name, round, reply.loss, reply.tokens, answer.bytes_down))
        return sum(answer.bytes_down for answer in answers)

    def _save(
        self,
        round: int,
        train_loss: float | None,
        eval_loss: float | None,
        finished: ev.RoundFinished | None = None,
        paused: bool = False,
    ) -> None:
        """Write the round's checkpoint; where that cannot be done, wait for the operator, or fail."""
        started = time.monotonic()
        while True:
            state = self._standing(round, train_loss, eval_loss, finished, paused).state()
            kept = Checkpoint(round, self.model.adapter, state, self.server_memory, self.model.delta, self.own)
            try:
                # A checkpoint never knows more than the journal, whatever ends the machine.
                self.stream.sync()
                size = checkpoint.write(self.folder, kept)
                break
            except OSError as error:
                where = error.filename or self.folder / checkpoint.FOLDER
                trouble = f"checkpoint of round {round} cannot be written: {error.strerror or error} ({where})"
                if not self.patient or self.steering.finish_asked:
                    raise RoundError(trouble) from None
                self.steering.wait_by_itself(trouble)
        self.keeping.wrote(round, bool(state["marks"]), self._best(round, eval_loss))
        path = f"{checkpoint.FOLDER}/{checkpoint.name(round)}"
        self.stream.emit(ev.CheckpointWritten(round, path, size, time.monotonic() - started))

    def _standing(
        self,
        round: int,
        train_loss: float | None,
        eval_loss: float | None,
        finished: ev.RoundFinished | None,
        paused: bool,
    ) -> Standing:
        turned = any(mark.round == round for mark in self.stream.state.marks)
        return Standing(
            run=self.folder.name,
            config=self.config,
            organizations=self.organizations,
            trained_by=self.trained_by,
            modules=list(self.model.adapter.factors),
            train_loss=train_loss,
            eval_loss=eval_loss,
            base_loss=self.base_loss,
            outstanding=self.steering.outstanding(),
            finished=finished,
            cohort=self.stream.state.cohort,
            lanes=len(self.prepared.bases),
            marks=[mark for mark, holds in (("knob", turned), ("pause", paused)) if holds],
        )

    def _best(self, round: int, eval_loss: float | None) -> int | None:
        """Give the round with the lowest hold-out loss so far, this one included."""
        best = self.stream.state.best
        if best is None or best.eval_loss is None or (eval_loss is not None and eval_loss < best.eval_loss):
            return round
        return best.round


def plan_of(config: Config, round: int) -> LocalTraining:
    """Give what every organization does in a round."""
    federation, method = config.federation, METHODS[config.federation.aggregation]
    return LocalTraining(
        round=round,
        seed=federation.seed,
        local_steps=federation.local_steps,
        local_epochs=federation.local_epochs,
        batch_size=federation.batch_size,
        learning_rate=federation.learning_rate,
        clip_norm=federation.clip_norm,
        proximal_mu=federation.proximal_mu,
        dropout=config.lora.dropout,
        train_a=int("A" in method.trains(round)),
        train_b=int("B" in method.trains(round)),
        keep_b=int(method.keeps_b_at_home),
    )


def server_step_of(config: Config, round: int) -> ServerStep:
    """Give how the server goes on from a round."""
    federation = config.federation
    grown = warmed(round, federation.server_warmup) if federation.server_optimizer == "fedavgm" else 1.0
    return ServerStep(
        federation.server_optimizer,
        federation.server_learning_rate * cooled(round, federation.rounds, federation.server_cooldown),
        federation.server_momentum * grown,
        federation.server_decay,
        federation.server_tau,
    )


def _mean(losses: Iterable[tuple[float, int]]) -> float | None:
    """Mean of losses weighted by their tokens, None where there are none."""
    pairs = list(losses)
    tokens = sum(count for _, count in pairs)
    return sum(loss * count for loss, count in pairs) / tokens if tokens else None
