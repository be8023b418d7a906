"""What the setup screen has found out for it, in a process of its own: torch and the disk never hold up a key.

The process is forked before the screen has the terminal, and ends when the screen does.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from fedlora_tui.config import Config, LoraConfig
from fedlora_tui.console.setup.offer import (
    AUTO,
    BASE,
    DEVICE,
    EMBEDDED,
    ORGANIZATIONS,
    PATH,
    PROTECTION,
    RANK,
    READ,
    UNPROTECTED,
    Choice,
    Chosen,
    Figures,
    Found,
    Judged,
    Lost,
)
from fedlora_tui.errors import UserError
from fedlora_tui.setup_choice import settled

if TYPE_CHECKING:
    from fedlora_tui.data_report import TextCounts
    from fedlora_tui.estimate import Machine
    from fedlora_tui.lora.base_size import BaseSize

END_SECONDS = 1.0
LISTED_BASES = 20
STILL_SECONDS = 0.25
"""For how long nothing changes before a choice is looked at: half of a path that is typed may be a large folder."""


class AdvisingProcess:
    """The process, and this end of the line to it; a context that ends it."""

    def __init__(self) -> None:
        forking = multiprocessing.get_context("fork")
        self._line, theirs = forking.Pipe()
        self._process = forking.Process(target=_advise, args=(theirs, self._line), daemon=True)
        self._process.start()
        theirs.close()
        self._gone = False

    def __enter__(self) -> AdvisingProcess:
        """Give itself."""
        return self

    def __exit__(self, *problem: object) -> None:
        """End the process, whatever it is at."""
        self._line.close()
        self._process.kill()
        self._process.join(END_SECONDS)

    def ask(self, chosen: Chosen) -> None:
        """Let it look at this; what was asked before does not matter any more."""
        try:
            self._line.send(chosen)
        except OSError:
            return  # `told` says that it is gone

    def told(self) -> Sequence[Found | Judged | Lost]:
        """Give what it has said since the last call, without waiting."""
        found: list[Found | Judged | Lost] = []
        try:
            while not self._gone and self._line.poll():
                found.append(self._line.recv())
        except (EOFError, OSError):
            self._gone = True
            found.append(Lost("unknown: the process that looks at this machine has ended"))
        return found


def _advise(line: Connection, other_end: Connection) -> None:
    """Be that process: look at the machine, then at each choice, until nobody is at the other end."""
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        line.send(Found(bases=bases_here(Path())))
        line.send(Found(devices=devices_here()))
        judge = Judge()
        while True:
            chosen = line.recv()
            while line.poll(STILL_SECONDS):
                chosen = line.recv()
            for judged in judge.judge(chosen):
                line.send(judged)
                if line.poll():
                    break
    except (EOFError, OSError):
        return


def bases_here(folder: Path) -> tuple[Choice, ...]:
    """Give the bases that are here already: the embedded one, those below a folder, those in the hub's cache."""
    from fedlora_tui.lora.bases_here import BaseHere, bases_below, cached_bases

    found: list[BaseHere] = []
    places: tuple[Callable[[], list[BaseHere]], ...] = (partial(bases_below, folder), cached_bases)
    for look in places:
        try:
            found += look()
        except Exception:  # what cannot be looked at offers nothing; any base can be typed
            logging.getLogger(__name__).exception("looking for bases")
    choices = [Choice(base.name, f"{base.kind}, {base.bytes / 2**20:,.0f} MiB of weights") for base in found]
    return (Choice(EMBEDDED, "comes along"), *choices[:LISTED_BASES])


def devices_here() -> tuple[Choice, ...]:
    """Give the devices that torch sees here, as `model.device` names them, auto with what it takes."""
    import torch

    threads = torch.get_num_threads()
    processors = f"processors, torch computes with {threads} thread{'' if threads == 1 else 's'}"
    gpus = [
        Choice(f"cuda:{index}", f"{torch.cuda.get_device_name(index)}, {_free(index) / 2**30:.1f} GiB free")
        for index in range(torch.cuda.device_count())
    ]
    taken = f"processors here: {threads} thread{'' if threads == 1 else 's'}"
    if gpus:
        taken = gpus[0].remark if len(gpus) == 1 else f"all {len(gpus)} GPUs"
    others = (Choice("mps", "Apple GPU"),) if torch.backends.mps.is_available() else ()
    return (Choice(AUTO, taken), Choice("cpu", processors), *gpus, *others)


def _free(index: int) -> int:
    import torch

    return int(torch.cuda.mem_get_info(index)[0])


@dataclass(frozen=True)
class Text:
    """What a folder of texts, or a table, holds, in counts."""

    organizations: int
    documents: int = 0
    tokens: int = 0
    holdout: int = 0


class Finding:
    """What was found out of one choice so far."""

    def __init__(self, chosen: Chosen) -> None:
        self.chosen = chosen
        self.complaints: dict[str, str] = {}
        self.remarks: dict[str, str] = {}

    def told(self, doing: str = "", figures: Figures | None = None) -> Judged:
        """Give it as the screen is told of it; settled unless something is looked at still."""
        return Judged(self.chosen, dict(self.complaints), dict(self.remarks), figures, settled=not doing, doing=doing)


class Judge:
    """Finds out what a run would make of a choice; what it has once found of a base, a folder, a device it keeps."""

    def __init__(self) -> None:
        self._sizes: dict[str, BaseSize | None] = {}
        self._texts: dict[tuple[str, str, str, int | None], Text] = {}
        self._rates: dict[str, float | None] = {}

    def judge(self, chosen: Chosen) -> Iterator[Judged]:
        """Tell of a choice, first what is known at once; the last one told is settled."""
        config, finding = settled(chosen), Finding(chosen)
        text = size = None
        field = BASE
        try:
            size = self._size(config)
            finding.remarks |= _of_base(size, chosen)
            if chosen.source in READ:
                field = PATH
                text = yield from self._text(config, finding, size is not None)
                finding.remarks |= _of_text(text, chosen)
            organizations = chosen.organizations if text is None else text.organizations
            finding.complaints |= _of_protection(config, chosen, organizations)
            if size is not None and organizations is not None:
                field = DEVICE
                yield from self._figures(config, finding, size, organizations, 0 if text is None else text.holdout)
                return
        except UserError as error:
            finding.complaints[field] = str(error)
        yield finding.told()

    def _size(self, config: Config) -> BaseSize | None:
        """Give the size of a base whose tokenizer a run would take, None where it is not here. Raises UserError."""
        from fedlora_tui.lora.base_model import load_tokenizer, where_is
        from fedlora_tui.lora.base_size import base_size

        base = config.model.base
        if self._sizes.get(base) is None:
            where = where_is(base)
            if where.folder is not None:
                load_tokenizer(config.model)
            self._sizes[base] = base_size(config.model, LoraConfig(), where)
        return self._sizes[base]

    def _text(self, config: Config, finding: Finding, counts: bool) -> Generator[Judged, None, Text]:
        """Count the texts as `doctor --data` does, without a tokenizer its organizations alone. Raises UserError."""
        from fedlora_tui.data_report import counted
        from fedlora_tui.organizations.roster import call_roster

        key = (config.model.base, config.data.source, config.data.path, config.organizations)
        if key in self._texts:
            return self._texts[key]
        yield finding.told(config.data.path)
        roster = call_roster(config)
        if not counts:
            return Text(len(roster.names))
        found: list[TextCounts] = []
        for one in counted(config, roster):
            if one.refusal:
                raise UserError(one.refusal)
            found.append(one)
            finding.remarks[PATH] = f"{len(found)} of {len(roster.names)} organizations read"
            yield finding.told(config.data.path)
        sums = [
            sum(numbers) for numbers in zip(*((one.documents, one.tokens, one.holdout) for one in found), strict=True)
        ]
        self._texts[key] = Text(len(found), *sums)
        return self._texts[key]

    def _figures(
        self, config: Config, finding: Finding, size: BaseSize, organizations: int, holdout: int
    ) -> Iterator[Judged]:
        """Tell what a run would take, without a speed as long as that is measured. Raises UserError."""
        device = config.model.device
        machine = _machine(config)
        if device not in self._rates:
            yield finding.told("this machine", _figures(config, size, organizations, machine, holdout))
            self._rates[device] = _measured(config)
        machine = replace(machine, rate=self._rates[device])
        yield finding.told("", _figures(config, size, organizations, machine, holdout))


def _machine(config: Config) -> Machine:
    """Give the machine that a device is; its speed is not known yet. Raises UserError where it is not here."""
    import psutil
    import torch

    from fedlora_tui.estimate import Machine
    from fedlora_tui.lora.base_model import find_device, find_dtype, further_devices
    from fedlora_tui.lora.lanes import MOST_LANES

    device = find_device(config.model.device)
    number = find_dtype(config.model.dtype, device).itemsize
    if device.type == "cuda":
        return Machine("cuda", number, 1, _free(device.index or 0), devices=1 + len(further_devices(config.model)))
    lanes = max(1, min(torch.get_num_threads(), MOST_LANES)) if device.type == "cpu" else 1
    return Machine(device.type, number, lanes, int(psutil.virtual_memory().available))


def _measured(config: Config) -> float | None:
    """Measure large matrix products for a fraction of a second; None where there is no room for them."""
    from fedlora_tui.benchmarks.products import matrix_rate
    from fedlora_tui.lora.base_model import find_device, find_dtype

    device = find_device(config.model.device)
    try:
        return matrix_rate(device, find_dtype(config.model.dtype, device))
    except RuntimeError:
        return None


def _of_base(size: BaseSize | None, chosen: Chosen) -> dict[str, str]:
    if size is None:
        return {BASE: "not on this disk: downloaded when a run first uses it"}
    numbers = size.adapter_parameters(chosen.rank)
    adapter = f"adapters of {numbers:,} numbers, {numbers / size.parameters:.2%} of the base's"
    return {BASE: f"{size.parameters / 1e6:,.1f}M parameters, {size.vocabulary:,} tokens", RANK: adapter}


def _of_protection(config: Config, chosen: Chosen, organizations: int | None) -> dict[str, str]:
    """Say why so many organizations cannot be protected as was chosen."""
    if chosen.protection == UNPROTECTED or organizations is None:
        return {}
    from fedlora_tui.engine.workable import unworkable

    refused = unworkable(config, [str(number) for number in range(organizations)], 1)
    return {} if refused is None else {PROTECTION: refused}


def _of_text(text: Text, chosen: Chosen) -> dict[str, str]:
    if not text.documents:
        found = f"{text.organizations} organizations; counted when the base is here"
    else:
        found = f"{text.organizations} organizations, {text.documents:,} documents, {text.tokens:,} tokens"
    all_of_them = {ORGANIZATIONS: f"all {text.organizations} that there are"}
    return {PATH: found, **(all_of_them if chosen.organizations is None else {})}


def _figures(config: Config, size: BaseSize, organizations: int, machine: Machine, holdout: int) -> Figures:
    from fedlora_tui.estimate import estimate

    found = estimate(config, size, organizations, machine, holdout)
    several = f" on each of {machine.devices}" if machine.devices > 1 else ""
    return Figures(
        device=f"{machine.kind}{several}",
        libraries=found.libraries,
        base=found.base,
        adapters=found.adapters,
        passes=found.passes,
        free=machine.free,
        trained=found.trained,
        measured=found.measured,
        operations=found.operations,
        rate=None if machine.rate is None else machine.rate * machine.devices,
        speed=found.speed,
        seconds=found.seconds,
    )
