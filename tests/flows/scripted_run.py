"""A run that plays an invented script by a clock and answers commands as an engine would: 12 organizations, 20 rounds.

`ScriptedRun` is a `RunHandle`, and `ScriptedRace` has several that begin and are steered together. With a `HandClock`
they stand still until the test moves the hand; with `time.time` they play live: `python tests/flows/scripted_run.py`
opens the console on one, with `--race` on four.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fedlora_tui.protocol import commands as cmd
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.trying import Tries

SHOWN_AT = 1_790_000_000.0 // 86400 * 86400 + 14 * 3600 + 3 * 60 + 10.0
"""14:03:10 in UTC, the moment of the drawn screens: round 7, step 40."""

BEGAN_AT = SHOWN_AT - 62.0
EVAL = (3.412, 3.231, 3.118, 3.046, 2.989, 2.943, 2.905)
TRAIN = (3.266, 3.099, 3.016, 2.951, 2.904, 2.868, 2.846)
SECONDS = (9.4, 8.9, 9.0, 9.0, 9.1, 9.0)
DRIFT = (0.071, 0.060, 0.052, 0.047, 0.043, 0.041)
COSINE = (0.57, 0.63, 0.66, 0.68, 0.69, 0.70)
COSINES = {
    "bank-disputes": 0.74,
    "city-permits": 0.64,
    "hospital-ward": 0.71,
    "insurer": 0.73,
    "law-firm": 0.62,
    "pharmacy-1": 0.79,
    "pharmacy-2": 0.66,
    "port-authority": None,
    "power-grid": 0.69,
    "retailer": 0.72,
    "school": 0.58,
    "telecom-support": 0.77,
}
"""Cosine of each organization's update at the shown moment."""

KNOBS = {4: ("rate", 1e-3, 5e-4)}
"""What was turned before the shown moment, by round: knob, before, value."""

NAN = "nan or infinity in h.3.attn.c_attn.B"
TROUBLE: dict[tuple[str, int], ev.Event] = {
    ("port-authority", 4): ev.UpdateRejected("port-authority", 4, NAN),
    ("port-authority", 5): ev.UpdateRejected("port-authority", 5, NAN),
    ("pharmacy-2", 6): ev.UpdateLate("pharmacy-2", 6, "after the deadline of 9 s", 12.5),
}
"""What goes wrong in a troubled run, by organization and round."""

ADAPTER_BYTES = 147_456 * 4
ORGANIZATIONS = {
    "bank-disputes": (2.655, 2.730, 0.558, 124, 0.22),
    "city-permits": (2.948, 3.001, 0.471, 87, 0.31),
    "hospital-ward": (2.781, 2.842, 0.549, 131, 0.25),
    "insurer": (2.733, 2.801, 0.543, 118, 0.24),
    "law-firm": (3.012, 3.066, 0.432, 96, 0.35),
    "pharmacy-1": (2.590, 2.671, 0.681, 122, 0.29),
    "pharmacy-2": (2.911, 2.958, 0.402, 41, 0.30),
    "port-authority": (3.300, 3.377, 0.054, 90, 0.44),
    "power-grid": (2.877, 2.934, 0.521, 107, 0.28),
    "retailer": (2.690, 2.764, 0.575, 139, 0.20),
    "school": (3.104, 3.139, 0.391, 88, 0.37),
    "telecom-support": (2.604, 2.688, 0.613, 195, 0.18),
}
"""Train loss and hold-out loss at the shown moment, gain over the base, thousand tokens, skew."""

COUNTS = ev.TextCounts({"empty": 3}, 412, 6_100, 480, 0.98)
NEWCOMER = (2.8, 2.85, 0.5, 64, 0.27)

GIB = 2**30
GPU = ev.Gpu("A100 80G", 0, int(31.4 * GIB), 80 * GIB, int(24.9 * GIB), 0.97, 61.0, 287.0, 400.0)

Script = Iterator[ev.Event | float | None]


class HandClock:
    """A clock that stands still until its hand is moved."""

    def __init__(self, now: float = SHOWN_AT) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ScriptedRun:
    """A run without training; `play` yields events, seconds to wait, and None where it waits for the operator."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        began: float = BEGAN_AT,
        rounds: int = 20,
        steps: int = 64,
        gpu: bool = True,
        speed: float = 1.0,
        prepare_seconds: float = 0.0,
        fail_at: tuple[int, int] | None = None,
        fail_for: str = "gpu 0 is gone: NVML says GPU_IS_LOST (Xid 79).",
        starve_at: int | None = None,
        refusal: str | None = None,
        organizations: Sequence[str] = tuple(ORGANIZATIONS),
        deaf: bool = False,
        modules: int = 12,
        run: str = "1122-1402",
        learns: float = 1.0,
        troubled: bool = False,
    ) -> None:
        self._clock, self._t, self._speed = clock, began, speed
        self._rounds, self._steps, self._gpu = rounds, steps, gpu
        self._prepare_seconds, self._fail_at, self._starve_at = prepare_seconds, fail_at, starve_at
        self._fail_for = fail_for
        self._refuses, self._deaf = refusal, deaf
        self._run, self._learns = run, learns
        self._troubled, self._out = troubled, set[str]()
        self.refusal: str | None = None
        self.over = False
        self.started = False
        self.sent: list[cmd.Command] = []
        self.tries: Tries | None = None
        self._organizations = list(organizations)
        self._joining: list[str] = []
        self._leaving: list[str] = []
        self._waiting: list[tuple[str, object]] = []
        self._records: list[Record] = []
        self._seq = 0
        self._pausing = self._paused = self._finishing = self._stopping = False
        self._round = self._step = 0
        self._finished = 0
        self._added = 9
        self._modules = modules
        self._script = self._play()

    def start(self) -> None:
        self.started = True
        self.refusal = self._refuses

    def send(self, command: cmd.Command) -> None:
        self.sent.append(command)
        if not self._deaf:
            self._obey(command)

    def drain(self) -> Sequence[Record]:
        if self.started and self.refusal is None:
            self._advance(self._clock())
        records, self._records = self._records, []
        return records

    def _advance(self, now: float) -> None:
        while self._t <= now and not self.over:
            item = next(self._script, "over")
            if item == "over":
                self.over = True
            elif item is None:
                self._t = now
                if self._paused and not self._stopping:
                    return
            elif isinstance(item, float):
                self._t += item / self._speed
            else:
                self._tell(item, self._t)

    def _tell(self, event: ev.Event, t: float) -> None:
        self._seq += 1
        self._records.append(Record(self._seq, t, event))

    def _obey(self, command: cmd.Command) -> None:
        now = self._clock()
        turn: int | None = None
        value = command.value
        if isinstance(command, cmd.AddOrganization):
            name = value = command.org or f"clinic-{self._added}"
            self._added += 1
            turn = self._round + 1
            self._waiting.append(("add", name))
        elif isinstance(command, cmd.DropOrganization):
            turn = self._round + 1
            self._waiting.append(("drop", command.org))
        elif isinstance(command, cmd.Release) and command.org not in self._out:
            self._tell(ev.CommandRefused("release", value, f"{command.org} is not in quarantine"), now)
            return
        elif isinstance(command, cmd.Release):
            turn = self._round + 1
            self._waiting.append(("release", command.org))
        elif command.name in cmd.KNOBS:
            turn = self._round + 1
            self._waiting.append((command.name, command.to))
        elif isinstance(command, cmd.Export) and command.round.isdigit() and int(command.round) > self._finished:
            self._tell(ev.CommandRefused("export", value, f"round {command.round} is not finished"), now)
            return
        self._tell(ev.CommandAcknowledged(command.name, value, turn), now)
        self._act(command, now)

    def _act(self, command: cmd.Command, now: float) -> None:
        match command:
            case cmd.Pause():
                self._pausing = True
                self._tell(ev.PauseRequested(self._round), now)
            case cmd.Resume():
                self._paused = False
                self._tell(ev.RunResumed(self._round), now)
            case cmd.AddOrganization():
                self._tell(ev.OrgState(self._waiting[-1][1], "joining", self._round), now)
            case cmd.DropOrganization(org=org):
                self._tell(ev.OrgState(org, "leaving", self._round), now)
            case cmd.Undo():
                what, name = self._waiting.pop()
                if what in cmd.KNOBS or what == "release":
                    return
                undone = ev.OrgLeft(name, self._round) if what == "add" else ev.OrgState(name, "waiting", self._round)
                self._tell(undone, now)
            case cmd.Export(round=which, merged=merged):
                number = int(which) if which.isdigit() else self._finished
                path = f"runs/{self._run}/exports/round-{number:04d}" + ("-merged" if merged else "")
                self._tell(ev.AdapterExported(number, path, merged, ADAPTER_BYTES), now)
            case cmd.Finish():
                self._finishing = True
                self._tell(ev.RunFinishing(self._round), now)
            case cmd.Stop():
                self._stopping = True

    def _play(self) -> Script:
        yield from self._prepare()
        while self._round < self._rounds and not self._finishing:
            self._round += 1
            yield from self._boundary()
            yield from self._train()
            if self._stopping:
                yield ev.RunStopped(self._round, self._step, "stopped by the operator")
                return
            if self._fail_at is not None and self._fail_at[0] == self._round:
                yield ev.RunFailed(self._round, self._fail_for, self._step)
                return
            yield from self._finish_round()
        yield ev.RunFinished(self._round, self._train_loss(), self._eval_loss(), EVAL[0], self._round, 2.6, 9.0)

    def _prepare(self) -> Script:
        stages = {
            "configuration": "24 keys, 2 by --set",
            "device": "cuda:0, A100 80G, 73.5 GiB free",
            "base": "124M parameters",
            "organizations": "12 folders",
            "first look": "",
        }
        for stage, detail in stages.items():
            working = (
                ("loading", 312.0 * 2**20, 548.0 * 2**20, "bytes") if stage == "base" else (detail, None, None, "")
            )
            yield ev.Preparing(stage, "working", *working)
            if stage == "first look":
                yield self._run_started()
                yield ev.CohortSized(len(self._organizations))
                for name in self._organizations:
                    *_, thousands, skew = ORGANIZATIONS[name]
                    yield ev.OrgJoined(name, 1, 1204, thousands * 1000, 12_100, 4, skew, COUNTS)
                yield from self._evaluate(0, 2.1)
            else:
                yield self._prepare_seconds
            yield ev.Preparing(stage, "done", detail)
        yield self._telemetry()

    def _run_started(self) -> ev.RunStarted:
        return ev.RunStarted(
            run=self._run,
            model="gpt2",
            params=124_439_808,
            trainable=147_456,
            rank=4,
            alpha=8.0,
            aggregation="fedit",
            orgs=tuple(self._organizations),
            device="cuda:0" if self._gpu else "cpu",
            config={
                "federation": {"min_organizations": 2, "local_steps": self._steps, "fraction": 1.0},
                "model": {"max_length": 256},
            },
            rounds=self._rounds,
            learning_rate=1e-3,
            folder=f"runs/{self._run}",
            vocabulary=50_257,
        )

    def _boundary(self) -> Script:
        if self._round in KNOBS:
            knob, before, value = KNOBS[self._round]
            yield ev.KnobTurned(self._round, knob, before, value, 147_456)
        for what, name in self._waiting:
            if what in cmd.KNOBS:
                yield ev.KnobTurned(self._round, what, None, name, 147_456)
            elif what == "release":
                self._out.discard(str(name))
                yield ev.OrgReleased(str(name), self._round)
            elif what == "add":
                self._organizations.append(name)
                yield ev.OrgJoined(name, self._round, 640, NEWCOMER[3] * 1000, 6_400, 4, NEWCOMER[4], COUNTS)
            elif name in self._organizations:
                self._organizations.remove(name)
                yield ev.OrgLeft(name, self._round)
        self._waiting.clear()
        if self._starve_at == self._round:
            self._paused = True
            yield ev.RunPaused(self._round, 0, "needs 2 organizations, has 1")
        while self._paused and not self._stopping:
            yield None

    def _train(self) -> Script:
        names = tuple(name for name in self._organizations if name not in self._out)
        yield ev.RoundStarted(self._round, self._rounds, names, self._steps, 1e-3 if self._round < 4 else 5e-4)
        each = 8.64 / self._steps
        for step in range(1, self._steps + 1):
            self._step = step
            yield each
            if self._troubled and self._round == 7 and step == 15:
                yield ev.OrgState("pharmacy-2", "late", 7, "3.0 times the median reply")
            for name in names:
                if self._troubled and self._round == 7 and step > 14 and name == "pharmacy-2":
                    continue
                loss = self._organization_loss(name, self._round - 1 + step / self._steps)
                yield ev.TrainStep(name, self._round, step, self._steps, loss, 2048)
            if step % 8 == 0:
                yield self._telemetry()
            if self._pausing:
                self._pausing, self._paused = False, True
                yield ev.RunPaused(self._round, step)
            while self._paused and not self._stopping:
                yield None
            if self._stopping or self._fail_at == (self._round, step):
                return
        for name in names:
            loss = self._organization_loss(name, self._round - 0.5)
            if (trouble := TROUBLE.get((name, self._round))) is not None and self._troubled:
                yield trouble
                continue
            sizes = ADAPTER_BYTES, ADAPTER_BYTES * (self._round == 1)
            yield ev.UpdateReceived(name, self._round, *sizes, 131072, loss, 24, 4)

    def _finish_round(self) -> Script:
        number = self._round
        if self._troubled and number == 5:
            self._out.add("port-authority")
            yield ev.OrgQuarantined("port-authority", 5, f"2 replies refused ({NAN})", 2)
        seconds = SECONDS[number - 1] if number <= len(SECONDS) else 9.0
        yield self._aggregated(number)
        yield from self._spread(number)
        yield from self._evaluate(number, max(0.1, seconds - 8.64))
        yield ev.CheckpointWritten(number, f"checkpoints/round-{number:04d}", int(1.9 * 2**20), 0.038)
        sent = ADAPTER_BYTES * len(self._organizations)
        drift = _last(DRIFT, number)
        self._finished = number
        yield ev.RoundFinished(
            *(number, self._rounds, self._train_loss(), self._eval_loss(), sent, sent, seconds, 1_572_864, drift),
            tuple(self._good(number)),
        )

    def _good(self, number: int) -> list[str]:
        """Who gave a usable reply."""
        bad = {name for name, round in TROUBLE if round == number} if self._troubled else set()
        return [name for name in self._organizations if name not in self._out | bad]

    def _aggregated(self, number: int) -> ev.RoundAggregated:
        """Even layers lose the same, odd ones the more the later they come."""
        drift, names = _last(DRIFT, number), self._good(number)
        drifts = {
            f"transformer.h.{layer}.attn.c_attn": drift * (0.55 + (layer % 2) * layer / self._modules)
            for layer in range(self._modules)
        }
        cosines = {
            name: None if own is None else own + _last(COSINE, number) - COSINE[-1]
            for name in names
            for own in (COSINES.get(name, 0.6),)
        }
        norms = {name: None if cosine is None else cosine / (1.2 + 0.1 * number) for name, cosine in cosines.items()}
        weights = dict.fromkeys(names, 1 / len(names))
        return ev.RoundAggregated(number, tuple(names), weights, drift, 0.01, (), (), drifts, norms, cosines)

    def _spread(self, number: int) -> Script:
        """Spread each update over the modules, the last layers moving most."""
        for place, name in enumerate(self._good(number)):
            weights = {
                f"transformer.h.{layer}.attn.c_attn": 1 / (2 + (self._modules - layer + place) % self._modules)
                for layer in range(self._modules)
            }
            ordered = sorted(weights, key=lambda module: -weights[module])
            shares = {module: weights[module] / sum(weights.values()) for module in ordered}
            cosines = {module: 0.9 - 0.03 * rank for rank, module in enumerate(ordered)}
            yield ev.UpdateMeasured(name, number, shares, cosines, self._modules)

    def _evaluate(self, number: int, seconds: float) -> Script:
        names = [name for name in self._organizations if name not in self._out]
        for name in names:
            yield ev.OrgState(name, "testing", number)
        for name in names:
            yield seconds / len(self._organizations)
            loss = self._holdout_loss(name, number)
            yield ev.OrgEvaluated(name, number, loss, 12_100, ADAPTER_BYTES if number else 0, False, 2)

    def _telemetry(self) -> ev.Telemetry:
        gpus = (GPU,) if self._gpu else ()
        return ev.Telemetry(0.97, 16, int(3.1 * GIB), 251 * GIB, 1400 * GIB, 212 * 2**20, gpus)

    def _train_loss(self) -> float:
        return _at(TRAIN, self._round - 1)

    def _eval_loss(self) -> float:
        return EVAL[0] - self._learns * (EVAL[0] - _at(EVAL, self._round))

    def _organization_loss(self, name: str, rounds: float) -> float:
        now = ORGANIZATIONS.get(name, NEWCOMER)[0]
        return now + _at((3.9, *TRAIN[:6], 2.83), rounds) - 2.846

    def _holdout_loss(self, name: str, number: int) -> float:
        _, now, gain, *_ = ORGANIZATIONS.get(name, NEWCOMER)
        return now + gain - self._learns * gain * (EVAL[0] - _at(EVAL, number)) / (EVAL[0] - EVAL[6])


class ScriptedRacer(ScriptedRun):
    """One run of a scripted race."""

    def __init__(self, race: ScriptedRace, label: str, clock: Callable[[], float], **script: Any) -> None:
        super().__init__(clock, **script)
        self.label = label
        self._race = race

    def start(self) -> None:
        for racer in self._race.racers:
            ScriptedRun.start(racer)

    def send(self, command: cmd.Command) -> None:
        for racer in [self] if isinstance(command, cmd.Export) else self._race.racers:
            if not racer.over:
                ScriptedRun.send(racer, command)


class ScriptedRace:
    """Runs by their labels, each with how much of the drawn run's progress it makes, or with a script of its own."""

    def __init__(self, clock: Callable[[], float], runs: Mapping[str, float | dict[str, Any]], **script: Any) -> None:
        self.racers: list[ScriptedRacer] = []
        for label, own in runs.items():
            changes = {"learns": own} if isinstance(own, float) else own
            name = f"1122-1402-k7m-{label.replace(', ', '-').replace(' ', '-')}"
            self.racers.append(ScriptedRacer(self, label, clock, **{"run": name, **script, **changes}))


def _last(values: Sequence[float], number: int) -> float:
    """Give the value of a round, the last one for all behind it."""
    return values[min(number, len(values)) - 1]


def _at(values: Sequence[float], place: float) -> float:
    """Read between the values, and go on falling slowly behind the last one."""
    last = len(values) - 1
    if place >= last:
        return values[last] - 0.3 * (1 - 0.93 ** (place - last))
    low = int(place)
    return values[low] + (values[low + 1] - values[low]) * (place - low)


if __name__ == "__main__":
    import sys
    import tempfile
    import time
    from pathlib import Path

    from fedlora_tui.console.entry import run_console
    from fedlora_tui.console.options import ConsoleOptions
    from fedlora_tui.farewell import farewells

    gpu = "--cpu" not in sys.argv
    script: dict[str, Any] = {"began": time.time(), "prepare_seconds": 0.7, "speed": 3.0, "gpu": gpu}
    settings = {"rank 2": 0.7, "rank 4": 1.0, "rank 8": 1.2, "rank 16": 1.3}
    race = "--race" in sys.argv
    live = ScriptedRace(time.time, settings, **script).racers if race else [ScriptedRun(time.time, **script)]
    theme = "light" if "--light" in sys.argv else "dark"
    options = ConsoleOptions(model="gpt2", theme=theme, ascii="--ascii" in sys.argv)
    result = run_console(live, options, Path(tempfile.mkdtemp()) / "engine.log")
    print(f"left: {result.left}", file=sys.stderr)
    labels = settings if race else [""]
    print(farewells(list(zip(labels, result.states, strict=True))), end="", file=sys.stderr)
