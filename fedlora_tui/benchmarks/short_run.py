"""A short run from start to exit: `fedlora-tui run` against Flower's Ray engine on the same organizations and tokens.

Both are processes of their own. The organizations' documents lie in files, which the run reads, splits and tokenizes;
the rival is given the tokens. Both train and average; the run also measures what it cannot leave out (one small
hold-out a round, every organization's before the first) and writes its checkpoints.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from fedlora_tui.benchmarks.job import CONFIG, RESULT, write_job
from fedlora_tui.benchmarks.process import Ended, run_process
from fedlora_tui.benchmarks.ways import furthest, tolerance
from fedlora_tui.config import Config
from fedlora_tui.engine.plan import plan_of
from fedlora_tui.engine.prepare import Prepared, prepare
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.roster import call_roster

DOCUMENTS = 300
"""Documents of an organization that are written out: more than a short run comes to see."""

PROMPT, TEXT = "prompt", "text"
RAY_RUN = "from fedlora_tui.benchmarks.ray_app import run; run()"
SPARSELY = 1e-9
"""A share of the organizations so small that one of them measures."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class ShortRun:
    """One engine's run: seconds of each round, from start to exit, bytes at the most, each round's losses by name."""

    name: str
    rounds: tuple[float, ...]
    seconds: float
    peak_bytes: int
    losses: tuple[Mapping[str, float], ...]

    @property
    def round_seconds(self) -> float:
        """The median round from the second on: the first one loads what the others find."""
        return statistics.median(self.rounds[1:] or self.rounds)

    @property
    def took(self) -> str:
        """What it took in words: told at once, so that a measurement that is cut off has not been for nothing."""
        return f"{self.name}: {self.round_seconds:.3g} s a round, {self.seconds:.3g} s from start to exit"


@dataclass(frozen=True)
class Comparison:
    """The same short run by this engine (several times) and by Ray's in some settings, at one batch size.

    `tokens` are the target tokens of all its rounds, `failed` says why settings of Ray's gave no run.
    """

    batch_size: int
    tokens: int
    ours: tuple[ShortRun, ...]
    ray: tuple[ShortRun, ...]
    difference: float
    failed: tuple[str, ...] = ()

    def ratio(self, seconds: Callable[[ShortRun], float], kept: bool = False) -> float | None:
        """Give how many times as long Ray's best setting took as the median of ours; `kept`: of those that keep."""
        theirs = [run for run in self.ray if run.name.endswith(KEPT) == kept]
        return min(map(seconds, theirs)) / statistics.median(map(seconds, self.ours)) if theirs else None


KEPT = ", base kept"


@dataclass(frozen=True)
class RaySetting:
    """What a client of Ray's engine is given: processors, a share of a GPU; `keep`: its base stays in the worker."""

    cpus: int
    gpus: float
    keep: bool

    @property
    def name(self) -> str:
        """The setting in words."""
        share = f" {self.gpus:g} GPU" if self.gpus else ""
        return f"ray {self.cpus} CPU{share}{KEPT if self.keep else ''}"


def ray_is_here() -> bool:
    """Tell whether the extra that the rival needs is installed, without importing it."""
    return importlib.util.find_spec("ray") is not None


def ray_settings(device: torch.device, processors: int) -> list[RaySetting]:
    """Give the settings that are tried: clients side by side, or each with the whole machine."""
    if device.type == "cuda":
        shares = [(max(1, processors // 4), 0.25), (processors, 1.0)]
    else:
        shares = [(1, 0.0), (processors, 0.0)] if processors > 1 else [(1, 0.0)]
    return [RaySetting(cpus, gpus, keep) for keep in (False, True) for cpus, gpus in shares]


def written_out(config: Config, folder: Path) -> Config:
    """Write the organizations' documents into files, and give the configuration of a run over them alone."""
    roster = call_roster(config)
    for name in roster.names:
        documents = islice(roster.source.documents(name).texts, DOCUMENTS)
        lines = [json.dumps({PROMPT: own.prompt, TEXT: own.text}) + "\n" for own in documents]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    asks = PROMPT if config.data.prompt_field else ""
    data = replace(
        config.data,
        source="folder",
        path=str(folder),
        partition="natural",
        text_field=TEXT,
        prompt_field=asks,
        response_field=TEXT if asks else "",
        holdout_tokens=16,
    )
    federation = replace(
        config.federation,
        organizations=len(roster.names),
        fraction=1.0,
        fraction_evaluate=SPARSELY,
        aggregation="fedit",
        server_optimizer="none",
        server_learning_rate=1.0,
        server_cooldown=0.0,
    )
    return replace(config, data=data, federation=federation, given=config.given | {"federation.organizations"})


def compare(config: Config, batch_sizes: Sequence[int], processors: int, folder: Path, say: Say) -> list[Comparison]:
    """Run the short run at each batch size, ours and Ray's in turns. Raises UserError where one fails or differs."""
    texts = folder / "organizations"
    texts.mkdir(parents=True)
    config = written_out(config, texts)
    prepared = prepare(config, call_roster(config), lambda stage: None)
    settings = ray_settings(prepared.base.device, processors)
    return [compare_at(config, prepared, size, settings, folder / f"batch{size}", say) for size in batch_sizes]


def compare_at(
    config: Config, prepared: Prepared, batch_size: int, settings: Sequence[RaySetting], folder: Path, say: Say
) -> Comparison:
    """Run the short run at one batch size."""
    config = replace(config, federation=replace(config.federation, batch_size=batch_size))
    rows = [prepared.rows(name) for name in prepared.organizations]
    write_job(folder, config, prepared.base, prepared.adapter, plan_of(config, 1), 1, rows)
    ours, ray, failed = [], [], []
    tokens = 0
    for setting in settings:
        say(f"batch {batch_size}: a short run by fedlora-tui run")
        tokens, found = our_run(folder)
        ours.append(found)
        say(f"batch {batch_size}: {found.took}")
        say(f"batch {batch_size}: the same by Flower's Ray engine ({setting.name})")
        try:
            ray.append(ray_run(folder, config.federation.rounds, setting, prepared.organizations))
            say(f"batch {batch_size}: {ray[-1].took}")
        except UserError as error:
            # On a machine at work its processes sometimes give up on one another; the other settings still count.
            failed.append(f"batch {batch_size}: {error}")
            say(failed[-1])
    difference = max((apart(ours[0], theirs) for theirs in ray), default=0.0)
    allowed = tolerance(prepared.base.dtype)
    if not difference <= allowed:
        raise UserError(
            f"bench speed: at batch {batch_size} Ray's engine reached other losses than this one "
            f"({difference:.2g} apart, {allowed:g} allowed): they did not train the same"
        )
    return Comparison(batch_size, tokens, tuple(ours), tuple(ray), difference, tuple(failed))


def apart(ours: ShortRun, theirs: ShortRun) -> float:
    """Give the largest relative difference between two runs' losses, over organizations and rounds."""
    return max(furthest(*both) for both in zip(ours.losses, theirs.losses, strict=True))


def our_run(folder: Path) -> tuple[int, ShortRun]:
    """Run `fedlora-tui run` on a job's configuration; give the target tokens trained, and the run."""
    arguments = ["-m", "fedlora_tui", "run", "--json", "-c", str(folder / CONFIG), "--runs-dir", str(folder / "runs")]
    return read_events(run_process("fedlora-tui run", arguments))


def read_events(ended: Ended) -> tuple[int, ShortRun]:
    """Read a run's `--json` output."""
    events = [json.loads(line) for line in ended.output.splitlines()]
    finished = [event for event in events if event["type"] == "round_finished"]
    losses: list[dict[str, float]] = [{} for _ in finished]
    for event in events:
        if event["type"] == "update_received":
            loss = event["loss"]
            losses[event["round"] - 1][event["org"]] = float("nan") if loss is None else loss
    seconds = tuple(event["seconds"] for event in finished)
    run = ShortRun("fedlora-tui run", seconds, ended.seconds, ended.peak_bytes, tuple(losses))
    return sum(event["tokens"] for event in finished), run


def ray_run(folder: Path, rounds: int, setting: RaySetting, organizations: Sequence[str]) -> ShortRun:
    """Run the rival on a job."""
    keep = "keep" if setting.keep else "load"
    result = folder / RESULT
    given = [str(folder), str(rounds), str(setting.cpus), str(setting.gpus), keep]
    ended = run_process(f"Flower's Ray engine ({setting.name})", ["-c", RAY_RUN, *given])
    if not result.is_file():
        raise UserError(f"Flower's Ray engine ({setting.name}) ended without a result")
    told = json.loads(result.read_text(encoding="utf-8"))
    result.unlink()
    losses = tuple({organizations[int(place)]: loss for place, loss in own.items()} for own in told["losses"])
    return ShortRun(setting.name, tuple(told["seconds"]), ended.seconds, ended.peak_bytes, losses)
