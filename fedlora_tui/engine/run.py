"""A run and its worker thread: prepare, make the folder, go through the rounds, end in exactly one way."""

from __future__ import annotations

import contextlib
import gc
import logging
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fedlora_tui.config import RULES, Config, resolved, to_mapping
from fedlora_tui.engine import folder as run_folder
from fedlora_tui.engine.course import Course, Entrant, run_id
from fedlora_tui.engine.exporting import Exporting, in_words
from fedlora_tui.engine.knobs import Change
from fedlora_tui.engine.lock import Lock
from fedlora_tui.engine.past import (
    Fork,
    Past,
    as_turned,
    check_as_begun,
    look_back,
    parent_of,
    run_continued,
    stood_by,
    with_joined,
)
from fedlora_tui.engine.steering import Steering, Stopped, Terms
from fedlora_tui.engine.stream import Inbox, Reader, Stream
from fedlora_tui.engine.trying import Tell
from fedlora_tui.errors import UserError
from fedlora_tui.organizations import elsewhere
from fedlora_tui.organizations.roster import Roster
from fedlora_tui.organizations.source import Source
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import YOU, AddOrganization, Command, Export
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.state import RunState
from fedlora_tui.protocol.trying import Question

if TYPE_CHECKING:
    from fedlora_tui.engine.prepare import Prepared
    from fedlora_tui.engine.rounds import RoundLoop
    from fedlora_tui.engine.voices import Voices

LOG = "engine.log"
TELEMETRY_SECONDS = 1.0
AT_WORK = ("starting", "running", "pausing", "finishing")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manner:
    """How a run behaves toward whoever started it.

    `patient`: a run that pauses by itself waits for the operator; else it fails. `on_folder` is told of the run's
    folder as soon as it exists. `tells_past`: readers of a run that goes on hear what its journal holds already.
    """

    patient: bool = True
    on_folder: Callable[[Path], None] = lambda folder: None
    tells_past: bool = False


@dataclass(frozen=True)
class Start:
    """Where a run begins, if not at the base alone: with a run's own folder, or with a round of another run."""

    continues: Path | None = None
    fork: Fork | None = None


class Run:
    """One run in a worker thread of this process; what a face holds as its `RunHandle`."""

    def __init__(
        self,
        config: Config,
        manner: Manner | None = None,
        clock: Callable[[], float] = time.time,
        course: Course | None = None,
        place: int = 0,
        start: Start | None = None,
    ) -> None:
        """A run of a race has its place on a course that it shares."""
        self._from = start or Start()
        self._past: Past | None = None
        self._lock: Lock | None = None
        self.config = config
        self._course, self._place = course or Course(), place
        self.manner = manner or Manner()
        self.folder: Path | None = None
        self._stream = Stream(clock)
        self._steering = Steering(self._stream, self._course.gate)
        self._inbox = Inbox()
        self._stream.subscribe(self._inbox.put)
        self._stream.subscribe(self._tell_list)
        self._refusal: str | None = None
        self._over = threading.Event()
        self._abandoned = False
        self._worker = threading.Thread(target=self._work, name="run", daemon=True)
        self._log: logging.Handler | None = None
        self._now: Callable[[], Config] = lambda: self.config
        self._unaffordable: Callable[[Config, Config, int, int], str | None] = lambda *asked: None
        self._saving: Callable[[], bool] = lambda: False
        self._exporting = Exporting(self._stream)
        self._voices: Voices | None = None

    def start(self) -> None:
        """Let the worker begin; the heavy imports happen there."""
        self._worker.start()

    def subscribe(self, reader: Reader) -> None:
        """Let a reader see every record as it happens; it must not wait."""
        self._stream.subscribe(reader)

    def warn(self, words: str) -> None:
        """Put a warning into the run's journal, while it is not over."""
        self._stream.warn(words)

    def unwritten(self) -> Sequence[Record]:
        """Give what was told and is in no journal, oldest first: how far the start is, what waits to be written."""
        state = self._stream.state
        starting = state.preparation.values() if state.started is None else ()
        return [*(Record(ev.UNRECORDED, state.t, stage) for stage in starting), *self._stream.unwritten()]

    def drain(self) -> Sequence[Record]:
        """Give the records since the last call."""
        return self._inbox.drain()

    def send(self, command: Command, by: str = YOU) -> None:
        """Hand over what somebody asks; its answer is among the records before this returns."""
        self._steering.send(command, by)

    def refuse(self, command: Command, reason: str, by: str = YOU) -> None:
        """Answer a command that is not for this run to take."""
        self._steering.refuse(command, reason, by)

    def try_text(self, asker: int, question: Question, tell: Tell) -> None:
        """Let this run's models go on with a text; what becomes of it is told to who asked, and to nobody else."""
        self._course.trying.ask(asker, question, self._voices, tell)

    def stop_trying(self, asker: int) -> None:
        """End what an asker tries."""
        self._course.trying.stop(asker)

    @property
    def last_waiting(self) -> Change | None:
        """The change that would be taken back now, None when nothing waits."""
        return self._steering.last_waiting

    @property
    def over(self) -> bool:
        """True once nothing more is told: the worker is done, or is waited for no more."""
        return self._over.is_set() or self._abandoned

    @property
    def refusal(self) -> str | None:
        """Why the run could not begin."""
        return self._refusal

    @property
    def state(self) -> RunState:
        """The run as its events tell it, up to now."""
        return self._stream.state

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; True when it came."""
        return self._over.wait(seconds)

    @property
    def writing(self) -> bool:
        """True while a checkpoint or an export is being written: whoever ends the process waits for it a while."""
        return self._saving() or self._exporting.under_way

    def give_up_exports(self, why: str) -> None:
        """Say of exports that are not done that they were not written."""
        self._exporting.give_up(why)

    def abandon(self, reason: str) -> None:
        """Write down the end of a run whose worker does not come back in time, so that the journal is whole."""
        state = self._stream.state
        if state.started is not None:
            self._stream.end(ev.RunStopped(state.round, state.step, reason))
        self.give_up_exports(reason)
        self._stream.silence()
        self.close()
        if state.started is None:
            self._vanish()
        self._abandoned = True

    def close(self) -> None:
        """Let go of the journal and the log: nothing that happens from now on is written down."""
        self._stream.close_journal()
        if self._log is not None:
            logging.getLogger().removeHandler(self._log)
            self._log.close()
        # A worker that was abandoned may still write: then the lock ends with the process.
        if self._lock is not None and self._over.is_set():
            self._lock.close()

    def _tell_list(self, record: Record) -> None:
        """Let a list of runs see a pause that the journal cannot tell."""
        if self._lock is not None and isinstance(record.event, ev.RunPaused | ev.RunResumed):
            self._lock.tell(waits=isinstance(record.event, ev.RunPaused) and bool(self._stream.trouble))

    def _work(self) -> None:
        _name_thread()
        try:
            prepared = self._prepare()
            self._refusal = self._course.start(self._place, self._refusal)
            if prepared is not None and self._refusal is None:
                self._go(prepared)
        except Exception as error:
            logger.exception("the run's folder or journal")
            self._untold(error)
        finally:
            if self._refusal is not None:
                self._vanish()
            self._course.leave(self._place)
            self._steering.close()
            self._over.set()

    def _prepare(self) -> Prepared | None:
        """Find out all that can be wrong before anything is written; None where the run is refused."""
        try:
            for stage in ("device", "base", "organizations", "first look"):
                self._say(ev.Preparing(stage, "waiting"))
            self._say(ev.Preparing("configuration", "done", f"{len(RULES)} keys, {len(self.config.given)} set"))
            if self._from.continues is None:
                run_folder.check_writable(Path(self.config.runs.dir))
            else:
                self._lock = Lock(self._from.continues)
            roster = self._course.roster(self.config)
            self._say(ev.Preparing("device", "working", "loading torch"))
            return self._prepared(roster)
        except (UserError, Stopped) as refused:
            self._refusal = str(refused)
        except Exception as error:
            logger.exception("preparing")
            self._refusal = f"cannot start: {in_words(error)}"
        return None

    def _prepared(self, roster: Roster) -> Prepared:
        """Prepare, in the way of the run that this one goes on with, where there is one."""
        if self._from.continues is not None:
            self._past = look_back(self._from.continues)
            check_as_begun(self._from.continues, self.config, self._past.started.config)
            roster = replace(roster, names=self._past.organizations)
            config = with_joined(self.config, self._past.state)
            return self._course.prepare(config, roster, self._say, stood_by(self._past.state), self._enter)
        if self._from.fork is None:
            return self._course.prepare(self.config, roster, self._say, opens=self._enter)
        roster = replace(roster, names=tuple(parent_of(self._from.fork).state["organizations"]))
        prepared = self._course.prepare(self.config, roster, self._say, opens=self._enter)
        # How many a source deals its text to stays as it was, whoever came or went since.
        return replace(prepared, config=resolved(prepared.config, self.config.federation.organizations))

    def _untold(self, error: Exception) -> None:
        """End a run whose folder or journal cannot be written (a full disk): its readers hear of it all the same."""
        self._stream.close_journal()
        state = self._stream.state
        if state.started is None:
            self._refusal = f"cannot start: {in_words(error)}"
        else:
            self._stream.end(ev.RunFailed(state.round, in_words(error), state.step))

    def _say(self, stage: ev.Preparing) -> None:
        if self._steering.stop_reason is not None:
            raise Stopped(self._steering.stop_reason)
        # Where nodes are waited for the same is said until one comes.
        if self._stream.state.preparation.get(stage.stage) != stage:
            self._stream.mention(stage)

    def _go(self, prepared: Prepared) -> None:
        early = self.folder is not None
        if self._from.continues is None:
            self.config = prepared.config
        try:
            self._enter()
        except UserError as refused:
            self._refusal = str(refused)
            return
        if early and self.folder is not None and self._from.continues is None:
            # Now it says how many organizations were found.
            run_folder.write_config(self.folder, self.config)
        self._through(prepared)

    def _enter(self) -> None:
        """Go into the run's folder, unless it is there already. Raises UserError or OSError where there can be none."""
        if self.folder is not None:
            return
        if self._from.continues is not None:
            self.folder = self._from.continues
            self._keep_log(self.folder)
            self.manner.on_folder(self.folder)
            return
        self.folder = run_folder.create(Path(self.config.runs.dir), self.config.runs.name, self._stream.clock())
        try:
            self._furnish(self.folder)
        except OSError:
            self._vanish()
            raise

    def _vanish(self) -> None:
        """Take away the folder of a run that does not begin: nothing but whole run folders lies in the runs folder."""
        if self.folder is None or self._from.continues is not None:
            return
        self.close()
        folder, self.folder = self.folder, None
        shutil.rmtree(folder, ignore_errors=True)

    def _through(self, prepared: Prepared) -> None:
        """Go through the rounds, and tell how that ended."""
        began = time.monotonic()
        with self._telemetry(prepared):
            try:
                self._through_the_rounds(prepared)
                self._finished(time.monotonic() - began)
            except Stopped as stopped:
                state = self._stream.state
                self._end(ev.RunStopped(state.round, state.step, str(stopped)))
            except Exception as error:
                logger.exception("the run failed")
                state = self._stream.state
                self._end(ev.RunFailed(state.round, in_words(error), state.step))

    def _end(self, event: ev.Event) -> None:
        """Tell the end; what is asked from here on is refused, so that nothing but exports comes after it."""
        self._steering.close()
        self._stream.end(event)

    def _furnish(self, folder: Path) -> None:
        """Put into a new folder what a run needs before its first event."""
        self._lock = Lock(folder)
        self._keep_log(folder)
        if self._from.fork is not None:
            run_folder.write_parent(folder, self._from.fork.folder)
        run_folder.write_config(folder, self.config)
        self._stream.open_journal(folder)
        # Whoever comes by what this opens reads the journal.
        self.manner.on_folder(folder)

    def _through_the_rounds(self, prepared: Prepared) -> None:
        from fedlora_tui.federation.server_app import serve

        assert self.folder is not None
        if self._past is None:
            self._stream.emit(_run_started(prepared, self.folder, self._from.fork))
            for warning in prepared.warnings:
                self._stream.emit(warning)
            self._steering.open(self._terms(prepared), prepared.organizations, prepared.config.federation.rounds)
        else:
            self._take_up(prepared, self._past, self.folder)
        loop = self._loop(prepared, self.folder)
        self._now, self._saving = (lambda: loop.config), (lambda: loop.keeping.writing)
        self._unaffordable = loop.guard.unaffordable
        with _set_aside():
            serve(loop.grid, self._first_step(loop))

    def _take_up(self, prepared: Prepared, past: Past, folder: Path) -> None:
        """Take up the journal of a run that goes on, and what was asked of it."""
        mended = self._stream.open_journal(folder)
        self._stream.take_up(past.records, self.manner.tells_past)
        if mended:
            self._stream.emit(ev.Warned(f"the journal's last line was torn: {mended} bytes of it were cut off"))
        for warning in past.warnings:
            self._stream.emit(ev.Warned(warning))
        if past.told is not None:
            self._stream.emit(past.told)
        config = as_turned(self.config, past.state)
        adapter = past.checkpoint.adapter if past.checkpoint is not None else prepared.adapter
        names, asked = past.organizations, past.outstanding
        self._stream.emit(run_continued(past.round, past.reason, names, config, adapter, asked, past.losses))
        self._now = lambda: config
        self._steering.open(self._terms(prepared), names, config.federation.rounds, asked)
        self._steering.tell_outstanding()

    def _first_step(self, loop: RoundLoop) -> Callable[[], None]:
        """Give what the run begins with: the base alone, a round of its own, or one of another run."""
        fork = self._from.fork
        # A long journal's records are not held on to.
        past, self._past = self._past, None
        if past is not None:
            state = past.state
            loop.guard.go_on_from(state, (own.event for own in past.records if own.seq > state.get("seq", 0)))
        if past is not None and past.checkpoint is not None:
            loop.restore(past.checkpoint)
            return partial(loop.go_on, past.round)
        fork = fork if past is None else past.parent
        return loop.run if fork is None else partial(loop.begin_fork, fork)

    def _loop(self, prepared: Prepared, folder: Path) -> RoundLoop:
        from fedlora_tui.engine.rounds import RoundLoop
        from fedlora_tui.engine.voices import Voices
        from fedlora_tui.engine.watching import Watching
        from fedlora_tui.federation.client_app import ClientSide
        from fedlora_tui.federation.messages import spec_of
        from fedlora_tui.federation.server_app import Server

        config, base = prepared.config, prepared.base
        spec = spec_of(config.lora, base.targets)
        withheld = config.privacy.withhold_losses
        watching = Watching(self._stream, self._steering, run_id(self._place), len(prepared.bases), withheld)
        side = ClientSide(base, spec, prepared.rows, watching, config.privacy.secure_sum)
        laid = self._course.lay(self._place, Entrant(prepared, side, self._steering.rest))
        for event in (ev.CohortSized(laid.cohort, len(prepared.bases)), *laid.told):
            self._stream.emit(event)
        server = Server(laid.grid, spec)
        self._voices = Voices(folder, server.last_replies)
        steering, patient = self._steering, self.manner.patient
        return RoundLoop(
            prepared, laid.grid, server, self._stream, steering, folder, patient, watching, laid.attendance
        )

    def _terms(self, prepared: Prepared) -> Terms:
        source = prepared.texts.source
        return Terms(
            min_organizations=prepared.config.federation.min_organizations,
            another=source.another,
            no_more=source.names_left_reason,
            elsewhere=partial(_elsewhere, source),
            cannot_export=self._cannot_export,
            export=lambda command, by: self._exporting.begin(command, by, lambda asked: self._export(asked, prepared)),
            config=lambda: self._now(),
            come_to_round=partial(self._course.come_to_round, self._place),
            patient=self.manner.patient,
            alone=self._course.alone,
            unaffordable=lambda *asked: self._unaffordable(*asked),
        )

    def _cannot_export(self, command: Export) -> str | None:
        from fedlora_tui.engine.exports import chosen_round

        assert self.folder is not None
        try:
            chosen_round(self.folder, command.round)
        except UserError as error:
            return str(error)
        return None

    def _export(self, command: Export, prepared: Prepared) -> ev.AdapterExported:
        from fedlora_tui.engine.exports import settings_of, write

        assert self.folder is not None
        return write(self.folder, command, prepared.base, settings_of(to_mapping(prepared.config)))

    def _finished(self, seconds: float) -> None:
        state = self._stream.state
        best = state.best
        self._end(
            ev.RunFinished(
                rounds=max((row.round for row in state.history), default=0),
                train_loss=state.train_loss,
                eval_loss=state.eval_loss,
                base_loss=state.base_loss,
                best_round=best.round if best else None,
                best_loss=best.eval_loss if best else None,
                seconds=seconds,
                reason=state.reason if state.phase == "finishing" else "",
            )
        )

    def _keep_log(self, folder: Path) -> None:
        self._log = logging.FileHandler(folder / LOG, encoding="utf-8")
        self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(self._log)

    @contextlib.contextmanager
    def _telemetry(self, prepared: Prepared) -> Iterator[None]:
        """Look at the machine at a steady pace while the run is at work; a run at rest says nothing."""
        from fedlora_tui.lora.base_model import bytes_on
        from fedlora_tui.telemetry.probe import Probe

        probe = Probe(self.folder, bytes_on)
        ended = threading.Event()

        def look() -> None:
            try:
                while not ended.wait(TELEMETRY_SECONDS):
                    # A journal's first line is the run's start, however long that takes.
                    if self._stream.state.started is not None:
                        self._stream.emit_while(AT_WORK, probe.look())
            except Exception:
                # A machine that cannot be looked at is no reason to end the run that it carries.
                logger.exception("telemetry ends here")

        sampler = threading.Thread(target=look, name="telemetry", daemon=True)
        sampler.start()
        try:
            yield
        finally:
            ended.set()
            sampler.join()


@contextlib.contextmanager
def _set_aside() -> Iterator[None]:
    """Take all objects that there are now, those of torch and transformers above all, out of garbage collections.

    A full collection goes through all of half a million of them: 0.3 s in which nothing else runs, no key is answered.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _name_thread() -> None:
    """Give the system this thread's name, where it takes one: `top -H` then tells what trains from what draws.

    Threads that torch and the telemetry start from here inherit it.
    """
    with contextlib.suppress(OSError):
        Path("/proc/thread-self/comm").write_text(threading.current_thread().name)


def log_to_files_alone() -> None:
    """Let loggers and warnings go to a run's engine.log and nowhere else; before there is one they are dropped."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(logging.NullHandler())
    # A log that cannot be written (a full disk) must not put tracebacks on the operator's screen.
    logging.raiseExceptions = False
    logging.captureWarnings(True)


def _run_started(prepared: Prepared, folder: Path, fork: Fork | None) -> ev.RunStarted:
    from fedlora_tui.engine.workable import rank_terms

    config, base = prepared.config, prepared.base
    keeps_rank, unequal_ranks = rank_terms(config)
    return ev.RunStarted(
        run=folder.name,
        model=base.name,
        params=base.parameters,
        trainable=prepared.adapter.parameters,
        rank=config.lora.default_rank,
        alpha=config.lora.alpha,
        aggregation=config.federation.aggregation,
        orgs=prepared.organizations,
        device=", ".join(str(own.device) for own in prepared.devices),
        config=to_mapping(config),
        rounds=config.federation.rounds,
        learning_rate=config.federation.learning_rate,
        target_modules=tuple(target.name for target in base.targets),
        dtype=str(base.dtype).removeprefix("torch."),
        folder=str(folder),
        keeps_rank=keeps_rank,
        unequal_ranks=unequal_ranks,
        parent=fork.folder.name if fork is not None else "",
        parent_round=fork.round if fork is not None else None,
        vocabulary=len(base.tokenizer),
    )


def _elsewhere(
    source: Source, command: AddOrganization, places: Collection[str], taken: Collection[str]
) -> tuple[str, str]:
    """Give name and place of one that is to join; the place is empty where the source has its text."""
    if command.like:
        return elsewhere.alike(source, command.like, taken), ""
    if command.hub:
        name, place = elsewhere.in_hub(command.hub)
    else:
        name, place = elsewhere.in_folder(command.folder, command.each, places, taken)
    return elsewhere.shown_name(command.org) if command.org else name, place
