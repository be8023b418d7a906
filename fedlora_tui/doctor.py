"""`fedlora-tui doctor`: what this machine has, what would be slow, what is missing, and what to do about it.

Every query has a default, so that a broken part of the machine is a line of the report and never a traceback. Heavy
packages are imported by the queries that need them.
"""

from __future__ import annotations

import importlib.metadata as metadata
import io
import locale
import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import psutil
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fedlora_tui import __version__
from fedlora_tui.errors import UserError, one_line

OK, ASIDE, LOOK = "ok", "aside", "look"
MARKS = {OK: "✓", ASIDE: "·", LOOK: "!"}
ASCII_MARKS = {OK: "v", ASIDE: ".", LOOK: "!"}
STYLES = {OK: "green", ASIDE: "dim", LOOK: "bold yellow"}

SOFTWARE, MACHINE, DEVICES, TERMINAL, BASES = "software", "machine", "devices", "terminal", "base models"
PACKAGES = ("flwr", "peft", "torch", "transformers", "tokenizers", "safetensors", "numpy", "textual", "rich", "tomli")
PROBES = ("psutil", "nvidia-ml-py")
EXTRAS = {
    "gguf": ("gguf", ".gguf base models need it"),
    "bitsandbytes": ("quantized", "base models in 8 or 4 bits need it"),
    "flwr-datasets": ("partitions", "data.partition needs it"),
    "pyarrow": ("parquet", ".parquet files need it"),
    "datasets": ("hub", 'data.source = "hub" needs it'),
    "ray": ("ray", "bench speed's comparison with Flower's own engine needs it"),
}
EMBEDDED = "embedded"
SMALLEST_SCREEN = (80, 24)
LITTLE_DISK, LITTLE_MEMORY = 2**30, 2 * 2**30
LISTED_BASES = 8


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    `state` is `ok`, `aside` (good to know, nothing is wrong) or `look` (slow or missing); `advice` says what to do.
    """

    section: str
    name: str
    found: str
    state: str = OK
    advice: str = ""


Check = Callable[[], Iterator[Line]]


def report(runs_dir: str, base: str = EMBEDDED) -> list[Line]:
    """Look at everything that a run needs; `runs_dir` is where runs would be kept, `base` its model. Never raises."""
    checks: tuple[tuple[str, Check], ...] = (
        (SOFTWARE, _python),
        (SOFTWARE, _packages),
        (SOFTWARE, _extras),
        (MACHINE, _processors),
        (MACHINE, _threads),
        (MACHINE, _memory),
        (MACHINE, partial(_runs, runs_dir)),
        (DEVICES, _devices),
        (TERMINAL, _screen),
        (TERMINAL, _signs),
        (TERMINAL, _way_here),
        (BASES, _embedded),
        (BASES, partial(_base, base)),
        (BASES, _hub),
    )
    return [line for section, check in checks for line in _guarded(section, check)]


def print_report(console: Console, runs_dir: str = "runs", base: str = EMBEDDED) -> None:
    """Write the report as aligned lines, one section under the other, and what is worth a hand at the end."""
    with console.status("looking at this machine", spinner="line"):
        lines = report(runs_dir, base)
    plain = not (_is_utf8(console.encoding) and _shows_unicode())
    marks = ASCII_MARKS if plain else MARKS
    width = max(len(line.name) for line in lines)
    for section, members in groupby(lines, lambda line: line.section):
        table = Table.grid(padding=(0, 2))
        table.add_column(width=1)
        table.add_column(width=width, no_wrap=True)
        table.add_column(overflow="fold")
        for line in members:
            style = STYLES[line.state]
            table.add_row(Text(marks[line.state], style), _words(line.name, plain), _words(line.found, plain))
            if line.advice:
                table.add_row("", "", _words(line.advice, plain, "" if line.state == LOOK else "dim"))
        console.print(Text(section, "bold"))
        console.print(Padding(table, (0, 0, 1, 2)))
    wanting = [line.name for line in lines if line.state == LOOK]
    mark = Text(marks[LOOK if wanting else OK], STYLES[LOOK if wanting else OK])
    said = f"worth a look: {', '.join(wanting)}" if wanting else "nothing that a run needs is missing"
    console.print(mark.append(f" {said}", "none"))


def _words(text: str, plain: bool, style: str = "") -> Text:
    return Text(text.encode("ascii", "replace").decode() if plain else text, style)


def _guarded(section: str, check: Check) -> Iterator[Line]:
    """Give what a check finds; where it breaks, what it had found before and one line that says so."""
    try:
        yield from check()
    except Exception as error:
        name = getattr(check, "func", check).__name__.strip("_")
        said = one_line(f"{type(error).__name__}: {error}", 160)
        yield Line(section, name, f"could not be found out: {said}", LOOK)


# software


def _python() -> Iterator[Line]:
    yield Line(SOFTWARE, "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Line(SOFTWARE, "fedlora-tui", __version__)


def _packages() -> Iterator[Line]:
    wanted = _wanted_versions()
    for name in (*PACKAGES, *PROBES):
        version = _version(name)
        asked = wanted.get(name, "")
        if version is None:
            yield Line(SOFTWARE, name, "not installed", LOOK, _reinstall(name, asked))
        elif not _fits(version, asked):
            found = f"{version}, and this release was made for {asked}"
            yield Line(SOFTWARE, name, found, LOOK, _reinstall(name, asked))
        else:
            yield Line(SOFTWARE, name, version)


def _extras() -> Iterator[Line]:
    for name, (extra, who) in EXTRAS.items():
        version = _version(name)
        if version is None:
            advice = f'only {who}: pip install "fedlora-tui[{extra}]"'
            yield Line(SOFTWARE, name, "not installed", ASIDE, advice)
        else:
            yield Line(SOFTWARE, name, version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _wanted_versions() -> dict[str, str]:
    """Give the versions that the installed package asks for, by name; none where it runs from bare source."""
    try:
        lines = metadata.requires("fedlora-tui") or []
    except metadata.PackageNotFoundError:
        return {}
    matches = (re.match(r"([A-Za-z0-9._-]+)\s*([^;]*)", line) for line in lines if "extra ==" not in line)
    return {match.group(1).lower(): match.group(2).strip() for match in matches if match}


def _fits(version: str, asked: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return True
    return SpecifierSet(asked).contains(version, prereleases=True)


def _reinstall(name: str, asked: str) -> str:
    return f'pip install "{name}{asked}"'


# machine


def _processors() -> Iterator[Line]:
    here, usable = os.cpu_count() or 1, _usable_processors()
    words = f"{usable} of {here}" if usable < here else str(here)
    formats = _float_formats()
    yield Line(MACHINE, "processors", f"{words}{', ' + formats if formats else ''}")
    load = os.getloadavg()[0]
    if load > usable:
        found = f"{load:.1f} on {usable} processors"
        yield Line(MACHINE, "load", found, LOOK, "other programs share the processors; training waits for them")


def _usable_processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _float_formats() -> str:
    """Say which number formats the processor computes in, where the system tells; empty where it does not."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    names = set(flags.group(1).split()) if flags else set()
    vectors = next((words for flag, words in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in names), "")
    half = "bfloat16 in hardware" if names & {"avx512_bf16", "amx_bf16", "bf16"} else "float32, no bfloat16 in hardware"
    return ", ".join(part for part in (vectors, half) if part)


def _threads() -> Iterator[Line]:
    import torch

    threads, usable = torch.get_num_threads(), _usable_processors()
    asked = os.environ.get("OMP_NUM_THREADS")
    why = f" (OMP_NUM_THREADS is {asked})" if asked else ""
    if threads < max(1, usable // 2):
        advice = f"OMP_NUM_THREADS={usable} would use them all"
        yield Line(MACHINE, "threads", f"torch computes with {threads}, {usable} could{why}", LOOK, advice)
    elif threads > usable:
        advice = f"more threads than processors hold each other up; OMP_NUM_THREADS={usable}"
        yield Line(MACHINE, "threads", f"torch computes with {threads} on {usable} processors{why}", LOOK, advice)
    else:
        yield Line(MACHINE, "threads", f"torch computes with {threads}{why}")
    policy = os.environ.get("OMP_WAIT_POLICY", "").upper()
    if policy == "ACTIVE":
        advice = "waiting threads spin and slow the console and each other; unset it"
        yield Line(MACHINE, "waiting", "OMP_WAIT_POLICY is ACTIVE", LOOK, advice)


def _memory() -> Iterator[Line]:
    memory = psutil.virtual_memory()
    found = f"{_size(memory.total)}, {_size(memory.available)} free"
    low = memory.available < LITTLE_MEMORY
    advice = "end other programs first: without memory the system ends the run" if low else ""
    yield Line(MACHINE, "memory", found, LOOK if low else OK, advice)


def _runs(runs_dir: str) -> Iterator[Line]:
    folder = Path(runs_dir).expanduser().absolute()
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    made = "" if folder.exists() else ", made by the first run"
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield Line(MACHINE, "runs", f"{runs_dir}: cannot be written", LOOK, "name another folder with --runs-dir")
        return
    free = psutil.disk_usage(str(place)).free
    low = free < LITTLE_DISK
    advice = "every round keeps a checkpoint there: free some, or name another folder with --runs-dir" if low else ""
    yield Line(MACHINE, "runs", f"{runs_dir}, {_size(free)} free{made}", LOOK if low else OK, advice)


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


# devices


def _devices() -> Iterator[Line]:
    import torch

    from fedlora_tui.telemetry import nvml

    driver = nvml.driver()
    if driver is not None:
        yield Line(DEVICES, "driver", f"NVIDIA {driver}")
    if torch.cuda.is_available():
        yield from _gpus()
    elif torch.backends.mps.is_available():
        yield Line(DEVICES, "mps", 'Apple GPU; chosen with model.device = "mps", auto takes processors', ASIDE)
    elif driver is not None:
        yield _hidden_gpu(torch.__version__, torch.version.cuda)
    else:
        advice = "the embedded base trains well on processors; bases above 100M parameters are slow here"
        yield Line(DEVICES, "GPU", "none; training runs on processors", ASIDE, advice)


def _gpus() -> Iterator[Line]:
    import torch

    from fedlora_tui.telemetry import nvml

    used = {index: nvml.look(index, handle, lambda index: None).memory_used for index, handle in nvml.visible()}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        # From compute capability 8.0 on, bfloat16 is computed in hardware.
        half = "bfloat16" if properties.major >= 8 else "no bfloat16: float32"
        taken = used.get(index)
        in_use = "" if taken is None else f", {_size(taken)} in use"
        yield Line(DEVICES, f"cuda:{index}", f"{properties.name}, {_size(properties.total_memory)}{in_use}, {half}")


def _hidden_gpu(version: str, cuda: str | None) -> Line:
    """Say why torch does not see the GPU that the driver does."""
    if cuda is None:
        found = f"torch {version} is a build without CUDA; training runs on processors"
        return Line(DEVICES, "GPU", found, LOOK, "install the CUDA build of the same version of torch")
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        found = f'hidden by CUDA_VISIBLE_DEVICES="{shown}"; training runs on processors'
        return Line(DEVICES, "GPU", found, LOOK, "unset it to train on the GPU")
    found = f"torch cannot use it (built for CUDA {cuda}); training runs on processors"
    return Line(DEVICES, "GPU", found, LOOK, "update the driver, or install the build of torch that suits it")


# terminal


def _screen() -> Iterator[Line]:
    screen = next((number for number in (2, 1) if _is_terminal(number)), None)
    if screen is None or not _is_terminal(0):
        found = "none: output goes to files or pipes" if screen is None else "none to read keys from"
        yield Line(TERMINAL, "terminal", found, ASIDE, "the console needs one; fedlora-tui run works without")
    else:
        yield Line(TERMINAL, "terminal", os.environ.get("TERM") or "without a name (TERM is not set)")
    if screen is not None:
        columns, rows = os.get_terminal_size(screen)
        small = columns < SMALLEST_SCREEN[0] or rows < SMALLEST_SCREEN[1]
        advice = "below 80x24 parts of the console are left out; enlarge the window" if small else ""
        yield Line(TERMINAL, "size", f"{columns}x{rows}", LOOK if small else OK, advice)
    if not _is_terminal(1):
        yield Line(TERMINAL, "stdout", "not a terminal", ASIDE)


def _signs() -> Iterator[Line]:
    drawn = Console(file=io.StringIO(), force_terminal=True)
    names = {"truecolor": "16 million", "256": "256", "standard": "16", "windows": "16"}
    colours = names.get(drawn.color_system or "", "none")
    yield Line(TERMINAL, "colours", "none (NO_COLOR is set)" if drawn.no_color else colours)
    codeset = _codeset()
    if _shows_unicode():
        yield Line(TERMINAL, "signs", codeset)
    elif os.environ.get("TERM") == "linux":
        yield Line(TERMINAL, "signs", "ASCII: the Linux console's font lacks the others", ASIDE)
    else:
        advice = "with a UTF-8 locale (LANG=C.UTF-8) curves are finer"
        yield Line(TERMINAL, "signs", f"ASCII: the locale is {codeset}", ASIDE, advice)


def _way_here() -> Iterator[Line]:
    tmux = "TMUX" in os.environ or "STY" in os.environ
    if "SSH_CONNECTION" in os.environ or "SSH_TTY" in os.environ:
        advice = "" if tmux else "started inside tmux, a run outlives a lost connection"
        yield Line(TERMINAL, "SSH", "yes; the console paints half as often", ASIDE, advice)
    if tmux:
        yield Line(TERMINAL, "tmux", "yes" if "TMUX" in os.environ else "screen")


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _codeset() -> str:
    try:
        return locale.nl_langinfo(locale.CODESET)
    except AttributeError:
        return locale.getpreferredencoding(False)


def _shows_unicode() -> bool:
    return os.environ.get("TERM") != "linux" and _is_utf8(_codeset())


def _is_utf8(encoding: str | None) -> bool:
    return (encoding or "").lower().replace("-", "").replace("_", "") == "utf8"


# base models


def _embedded() -> Iterator[Line]:
    from fedlora_tui.config import LoraConfig, ModelConfig
    from fedlora_tui.lora.base_model import load

    began = time.monotonic()
    try:
        base = load(ModelConfig(device="cpu"), LoraConfig())
    except UserError as error:
        yield Line(BASES, "embedded", str(error), LOOK, "the installation is not whole: install fedlora-tui anew")
        return
    seconds = time.monotonic() - began
    found = f"{base.parameters:,} parameters, {base.vocabulary:,} tokens, loaded in {seconds:.1f} s"
    yield Line(BASES, "embedded", found)


def _base(base: str) -> Iterator[Line]:
    """Say whether the model that a run would take can be had, without reading its weights."""
    from fedlora_tui.lora.base_model import where_is
    from fedlora_tui.lora.bases_here import weights

    if base == EMBEDDED:
        return
    try:
        where = where_is(base)
    except UserError as error:
        yield Line(BASES, "model.base", str(error), LOOK)
        return
    if where.folder is None:
        yield Line(BASES, "model.base", f"{base}: a hub id that is not here; downloaded when it is first used", ASIDE)
        return
    kind = ".gguf file" if where.gguf else "in the hub cache" if where.from_hub else "folder"
    files = [where.folder / where.gguf] if where.gguf else weights(where.folder)
    size = sum(file.stat().st_size for file in files)
    if not files:
        yield Line(BASES, "model.base", f"{base}: {kind} without weights", LOOK, "name one that transformers saved")
    elif where.gguf and _version("gguf") is None:
        advice = 'reading it needs one more package: pip install "fedlora-tui[gguf]"'
        yield Line(BASES, "model.base", f"{base}: {kind}, {_size(size)}", LOOK, advice)
    else:
        yield Line(BASES, "model.base", f"{base}: {kind}, {_size(size)} of weights")


def _hub() -> Iterator[Line]:
    from fedlora_tui.lora.bases_here import cached_bases

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        yield Line(BASES, "HF_HUB_OFFLINE", "set: only what is in the cache can be a base", ASIDE)
    bases = cached_bases()
    if not bases:
        yield Line(BASES, "hub cache", "empty; a hub id is downloaded when it is first used", ASIDE)
        return
    named = [f"{base.name} ({_size(base.bytes)})" for base in bases[:LISTED_BASES]]
    more = f" and {len(bases) - LISTED_BASES} more" if len(bases) > LISTED_BASES else ""
    yield Line(BASES, "hub cache", ", ".join(named) + more)
