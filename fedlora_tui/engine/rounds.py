"""The round loop, readable top to bottom, with the boundaries where commands take effect."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fedlora_tui.aggregation import METHODS
from fedlora_tui.aggregation.server_step import ServerMemory, widened
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.aggregating import Aggregating, Guarded, Learned
from fedlora_tui.engine.attendance import ALWAYS_HERE, Attendance
from fedlora_tui.engine.checkpoint import Checkpoint, is_full
from fedlora_tui.engine.conduct import Conduct
from fedlora_tui.engine.guarding import Guard
from fedlora_tui.engine.health import diverging, mean
from fedlora_tui.engine.keeping import Keeping, Standing
from fedlora_tui.engine.knobs import KEYS, Change, setting, turned
from fedlora_tui.engine.one_by_one import Taking
from fedlora_tui.engine.one_thread import one_thread
from fedlora_tui.engine.past import Fork, Losses, as_turned, parent_of, read_journal, run_continued
from fedlora_tui.engine.plan import most_steps, own_plan, plan_of
from fedlora_tui.engine.prepare import Counts, Prepared
from fedlora_tui.engine.reception import Closing, Reception, RoundSums, check_enough, reception
from fedlora_tui.engine.round_errors import RoundError, TooFewError, TooFewRepliesError, UnusableRoundError
from fedlora_tui.engine.sampling import measured, sampled
from fedlora_tui.engine.steering import Steering
from fedlora_tui.engine.stream import Stream
from fedlora_tui.engine.summing import secure_round
from fedlora_tui.engine.watching import Watching
from fedlora_tui.engine.workable import rank_terms
from fedlora_tui.errors import UserError
from fedlora_tui.federation.client_app import HELD, keep_adapter, keep_b
from fedlora_tui.federation.faults import misbehaving
from fedlora_tui.federation.global_model import GlobalModel
from fedlora_tui.federation.messages import EvaluateReply, TrainReply
from fedlora_tui.federation.organizations_grid import OrganizationsGrid
from fedlora_tui.federation.secure_messages import AnyReply
from fedlora_tui.federation.secure_rounds import SecureRound
from fedlora_tui.federation.server_app import Answer, Server
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.lora.resize import first_rows, resize
from fedlora_tui.lora.rows import generator_seed
from fedlora_tui.protocol import events as ev

WAITING_SECONDS = 0.05
"""How long a round that waits for slow organizations does so before it looks whether the operator wants something."""


class RoundLoop:
    """One run from its first look at the base to its last round."""

    def __init__(
        self,
        prepared: Prepared,
        grid: OrganizationsGrid,
        server: Server,
        stream: Stream,
        steering: Steering,
        folder: Path,
        patient: bool,
        watching: Watching,
        attendance: Attendance = ALWAYS_HERE,
    ) -> None:
        """`patient` runs wait for the operator when they pause by themselves; the others fail."""
        self.config = prepared.config
        self.prepared = prepared
        self.organizations = list(prepared.organizations)
        self.model = GlobalModel(0, prepared.adapter)
        self.own: dict[str, Adapter] = {}
        self.server_memory = ServerMemory()
        self.grid, self.server, self.stream, self.steering = grid, server, stream, steering
        self.aggregating = Aggregating(prepared, grid, server, stream)
        self.folder = folder
        self.patient = patient
        self.watching = watching
        self.attendance = attendance
        self.conduct = Conduct()
        self.guard = Guard()
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
        self.conduct = Conduct.restored(kept.state["conduct"])
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
        if self._guarded:
            # What the parent made later was made of the same organizations.
            since = (own.event for own in read_journal(fork.folder) if own.seq > kept.state["seq"])
            self.guard.go_on_from(kept.state, since)
        lost = self._resize(fork.round + 1)
        if lost:
            self.stream.emit(ev.Warned(f"rank {kept.adapter.rank} to {self.model.adapter.rank}: {lost:.1%} of it lost"))
        self._give_back_own()
        loss = self._evaluate(RoundSums(fork.round), self._measured())
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
        while self._goes_on(round) and self._boundary(round) and self._can_afford(round):
            round += self._one_round(round)

    @property
    def _guarded(self) -> bool:
        return self.config.privacy.mechanism != "none"

    def _can_afford(self, round: int) -> bool:
        """Tell whether the privacy budget lasts for a round; where it does not the run ends by itself."""
        reason = self.guard.exhausted(round, self.config, self.organizations) if self._guarded else None
        if reason is not None:
            self.stream.emit(ev.Warned(f"{reason}: the run ends with round {round - 1}"))
            self.steering.finish_by_itself(reason)
        return reason is None

    def _first_look(self) -> float | None:
        """Measure the base alone: the first adapter's B is zero, so it changes nothing, and it serves round 1."""
        self.stream.emit(ev.Preparing("first look", "working", "loss of the base on each hold-out"))
        loss = self._evaluate(RoundSums(0), self._measured())
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
            self._look_who_is_here(round)
            if round > self.config.federation.rounds:
                return False
            self.steering.now_present(self.organizations, self.conduct.quarantined)
            lack = self.steering.lack()
            if lack is None:
                if self._all_read(round):
                    return True
                continue
            if not self.steering.finish_asked and self.attendance.awaits(f"round {round} {lack}"):
                continue
            if not self.patient:
                raise TooFewError(f"round {round} {lack} (federation.min_organizations)")
            self.steering.wait_for_organizations(round, lack)
            if self.steering.finish_asked:
                return False

    def _look_who_is_here(self, round: int) -> None:
        """Let go of those who are gone, and let in those who have come by themselves."""
        seen = self.attendance.look(self.organizations, self.config, self.conduct.new_refusals())
        for event in (*seen.warnings, *seen.refused):
            self.stream.emit(event)
        for name, reason in seen.gone.items():
            self._leave(name)
            self.stream.emit(ev.OrgLeft(name, round, reason))
        for name in seen.come:
            self._apply(Change("add", name), round)

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
            self.stream.emit(ev.OrgCounted(name, round, **texts.told(name)))
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
        self.conduct.take(ev.OrgLeft(name, 0))
        self.grid.leave(self.server.dismiss(name))
        self.prepared.texts.forget(name)

    def _apply(self, change: Change, round: int) -> None:
        if change.command in KEYS:
            self._turn(change, round)
            return
        if change.command == "drop":
            self.attendance.dropped(change.org)
            self._leave(change.org)
            self.stream.emit(ev.OrgLeft(change.org, round, "dropped by the operator"))
            return
        if change.command == "release":
            if change.org in self.conduct.quarantined:
                self._tell(ev.OrgReleased(change.org, round))
            return
        self.prepared.texts.lie_at(change.org, change.to)
        counts = self._read(change.org, round)
        if counts is None:
            return
        self.config = turned(self.config, change)
        self.organizations.append(change.org)
        self._welcome(change.org, round)
        if counts.notice:
            self.stream.emit(ev.Warned(counts.notice, change.org))
        if not self.config.privacy.withhold_losses:
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
        self.stream.emit(ev.OrgJoined(name, round, rank=rank, **texts.told(name)))

    def _one_round(self, round: int) -> bool:
        """Go through a round; False where it has to be gone through again, once the operator has put it right."""
        sums, rounds = RoundSums(round), self.config.federation.rounds
        started, paused = self._at_work(), self.steering.paused_seconds
        plan = plan_of(self.config, round)
        names = self._sample(round)
        steps = most_steps(self.config, (self.prepared.texts.counts(name).more.rows for name in names))
        self.stream.emit(ev.RoundStarted(round, rounds, names, steps, plan.learning_rate))
        if self._guarded:
            self._charge(round)
            plan = self.guard.plan(plan, self.config)
        try:
            replies, summed = self._train(
                {name: own_plan(plan, self.config, name, self.model.adapter.rank) for name in names}, sums
            )
            with one_thread() as threads:
                lost, train_loss = self._aggregate(round, replies, summed, threads)
        except UnusableRoundError as trouble:
            self.guard.draw_anew()
            if not self.patient or not self.steering.alone:
                raise RoundError(f"round {round}: {trouble}") from None
            self.steering.wait_for_organizations(round, str(trouble))
            return False
        eval_loss = self._evaluate(sums, self._measured())

        def seconds() -> float:
            return self._at_work() - started

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
        self._look_whether_it_diverges(round)
        return True

    def _charge(self, round: int) -> None:
        """Charge a round, on the disk before anything of it leaves an organization; wait where that cannot be."""
        self.stream.emit(self.guard.charge(round, self.config, self.organizations))
        while True:
            try:
                self.stream.sync()
                return
            except OSError as error:
                trouble = error.strerror or str(error)
                if not self.patient or self.steering.finish_asked:
                    raise RoundError(f"round {round} cannot be charged to the privacy budget: {trouble}") from None
                self.steering.wait_by_itself(trouble)

    def _look_whether_it_diverges(self, round: int) -> None:
        """Pause by itself where training makes the base worse; where nobody steers, or others race, warn."""
        past = [row.eval_loss for row in self.stream.state.history if 0 < row.round <= round]
        reason = diverging(self.base_loss, past, self.config.federation.divergence_margin)
        if reason is None or round >= self.config.federation.rounds:
            return
        if self.patient and self.steering.alone and not self.steering.finish_asked:
            self.steering.wait_by_itself(reason)
        else:
            self.stream.emit(ev.Warned(f"round {round}: {reason}"))

    def _sample(self, round: int, beyond: bool = True) -> tuple[str, ...]:
        """Draw who trains in a round; not `beyond`: without those whose replies it can do without."""
        federation = self.config.federation
        names = [name for name in self.organizations if name not in self.conduct.quarantined]
        if self._guarded:
            return tuple(sorted(self.guard.draw(round, self.config, self.organizations).names & set(names)))
        least, oversample = federation.min_organizations, federation.oversample if beyond else 0.0
        return sampled(names, federation.fraction, least, federation.seed, round, oversample)

    def _measured(self) -> tuple[str, ...]:
        """Name who measures: the same in every round, but for those in quarantine, to whom nothing is sent."""
        federation = self.config.federation
        names = measured(self.organizations, federation.fraction_evaluate, federation.seed)
        return tuple(name for name in names if name not in self.conduct.quarantined)

    def _train(
        self, plans: Mapping[str, LocalTraining], sums: RoundSums
    ) -> tuple[dict[str, AnyReply], SecureRound | Taking | None]:
        """Exchange the train messages; give the replies that passed the check and are in time, and their sum.

        There is none where the replies themselves are here.
        """
        replies, round = dict[str, AnyReply](), sums.round
        if not plans:
            return {}, None
        goal = len(self._sample(round, beyond=False))
        taking_in = reception(self.config.federation, self.config.faults, plans, round, goal, self._at_work)
        self.watching.begin_training(taking_in)
        began = self._at_work()
        largest, noised = max(map(self._weight, plans)), self.guard.terms(self.config)
        secure = secure_round(self.server, self.config, round, largest, noised)
        taking = self.aggregating.begin(round, self.config, self._learned, len(plans), noised)
        answers: Sequence[Answer[AnyReply]]
        with misbehaving(self.grid, taking_in.profiles, round):
            if secure is not None:
                answers = secure.train(plans, self.model)
            else:
                answers = self.server.train(plans, self.model, None if taking is None else taking.take)
        closing = taking_in.close(answers)
        self._wait_for(answers, taking_in, closing, began)
        if secure is not None:
            answers = secure.unmask(answers, closing.late)
        for answer in answers:
            sums.bytes_up += answer.bytes_up
            sums.bytes_down += answer.bytes_down
            event = taking_in.event_of(answer, closing)
            self._tell(event)
            if isinstance(event, ev.UpdateReceived) and answer.reply is not None:
                sums.tokens += answer.reply.tokens
                replies[answer.organization] = answer.reply
            else:
                self._without(answer.organization, late=isinstance(event, ev.UpdateLate))
        if secure is not None and secure.failed:
            self.stream.emit(ev.SecureFailed(round, secure.failed, secure.untold))
        self._punish(round)
        if secure is not None and secure.failed:
            raise TooFewRepliesError(f"the secure sum failed, and no update was seen: {secure.failed}")
        # Under a protection a sum of nobody is one, too: that there is none would tell who replied.
        if not self._guarded:
            check_enough(len(replies), [answer.refusal for answer in answers], self.config.federation.min_replies)
        return replies, secure or taking

    @property
    def _learned(self) -> Learned:
        return Learned(self.model, self.own, self.server_memory)

    def _weight(self, name: str) -> int:
        return self.prepared.texts.counts(name).tokens

    def _at_work(self) -> float:
        """Give the seconds of a clock that stands still while the run does."""
        return time.monotonic() - self.steering.seconds_at_rest

    def _wait_for(
        self, answers: Sequence[Answer[AnyReply]], taking_in: Reception, closing: Closing, began: float
    ) -> None:
        """Wait until the round closes, where organizations are slower than this process trained them."""
        if taking_in.arrivals is None or began + closing.seconds <= self._at_work():
            return
        for name, times in taking_in.slow(answers, closing).items():
            self.stream.emit(ev.OrgState(name, "late", taking_in.round, f"{times:.1f} times the median reply"))
        while (left := began + closing.seconds - self._at_work()) > 0:
            time.sleep(min(left, WAITING_SECONDS))
            self.watching.between()

    def _tell(self, event: ev.Event) -> None:
        """Emit an event that organizations are judged by."""
        self.stream.emit(event)
        self.conduct.take(event)

    def _without(self, name: str, late: bool) -> None:
        """Go on without an organization's reply: where its B stays at home, what it made of it does not count.

        Who is late has its B of before; who gave no usable reply is sent everything anew, B as well.
        """
        if not METHODS[self.config.federation.aggregation].keeps_b_at_home:
            return
        if not late:
            self.own.pop(name, None)
            return
        state, began = self.grid.state(self.server.node(name)), self.own.get(name, self.model.adapter)
        if HELD in state:
            keep_b(state, first_rows(began, self.config.lora.rank_of(name), self.server.spec.own_ranked))

    def _punish(self, round: int) -> None:
        """Put in quarantine who has gone without a usable reply for too long."""
        for name, offender in self.conduct.offenders(self.config.federation.quarantine_after).items():
            self._tell(ev.OrgQuarantined(name, round, offender.reason, offender.rounds))
        self.steering.now_quarantined(self.conduct.quarantined)

    def _aggregate(
        self, round: int, replies: Mapping[str, AnyReply], summed: SecureRound | Taking | None, threads: int
    ) -> tuple[float | None, float | None]:
        """Make the new global adapter; give the round's drift and mean train loss, found on `threads` at most."""
        before = self._learned
        terms = self.guard.terms(self.config)
        guarded = None if terms is None else Guarded(terms, self.guard.source(round, self.config))
        if isinstance(summed, Taking):
            made = self.aggregating.aggregate_taken(round, self.config, before, summed, threads, guarded)
        elif summed is not None:
            made = self.aggregating.aggregate_sum(round, self.config, before, summed, guarded)
        else:
            seen = {name: reply for name, reply in replies.items() if isinstance(reply, TrainReply)}
            made = self.aggregating.aggregate(round, self.config, before, seen, threads, guarded)
        self.model, self.own, self.server_memory = made.learned.model, dict(made.learned.own), made.learned.server
        self.trained_by |= replies.keys()
        return made.drift, mean((reply.loss, reply.tokens) for reply in replies.values())

    def _evaluate(self, sums: RoundSums, names: Sequence[str]) -> float | None:
        """Let organizations measure the global model, unless losses are withheld; give the mean, weighted by tokens."""
        if self.config.privacy.withhold_losses:
            return None
        answers = self.server.evaluate(sums.round, self.model, names)
        sums.bytes_down += self._report_losses(sums.round, answers)
        return mean((answer.reply.loss, answer.reply.tokens) for answer in answers if answer.reply is not None)

    def _report_losses(self, round: int, answers: Sequence[Answer[EvaluateReply]]) -> int:
        """Tell each hold-out loss; give the bytes that went to the organizations for it."""
        own = METHODS[self.config.federation.aggregation].keeps_b_at_home
        for answer in answers:
            name, reply = answer.organization, answer.reply
            if reply is None:
                self.stream.emit(ev.Warned(f"hold-out of {name} in round {round}: {answer.refusal}", name))
            else:
                told = reply.loss, reply.tokens, answer.bytes_down, own and round > 0, answer.numbers
                self.stream.emit(ev.OrgEvaluated(name, round, *told))
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
                size = self.keeping.write(kept)
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
            conduct=self.conduct.kept(),
            privacy=self.guard.kept(),
            marks=[mark for mark, holds in (("knob", turned), ("pause", paused)) if holds],
        )

    def _best(self, round: int, eval_loss: float | None) -> int | None:
        """Give the round with the lowest hold-out loss so far, this one included."""
        best = self.stream.state.best
        if best is None or best.eval_loss is None or (eval_loss is not None and eval_loss < best.eval_loss):
            return round
        return best.round
