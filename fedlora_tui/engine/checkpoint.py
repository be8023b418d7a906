"""All that a round leaves behind, written whole or not at all: safetensors and JSON, never pickle."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from fedlora_tui.aggregation.server_step import ServerMemory
from fedlora_tui.engine.synced import sync, sync_names, write_synced
from fedlora_tui.errors import UserError
from fedlora_tui.lora.adapter import A_SUFFIX, B_SUFFIX, Adapter, Factors, from_tensors
from fedlora_tui.lora.delta import NO_DELTA, BaseDelta

VERSION = 1
FOLDER = "checkpoints"
ADAPTER, SERVER, STATE = "adapter.safetensors", "server.safetensors", "state.json"
DELTA, OWN = "base-delta.safetensors", "organizations.safetensors"
SUMS = "SHA256SUMS"
FIRST, SECOND = "first.", "second."


@dataclass(frozen=True)
class Checkpoint:
    """The global adapter of a finished round, what is known of the run then, and what the server's optimizer keeps.

    `delta` is what joined the base by then, `own` the adapters of organizations that go on from one of their own.
    """

    round: int
    adapter: Adapter
    state: Mapping[str, Any]
    server: ServerMemory = field(default_factory=ServerMemory)
    delta: BaseDelta = NO_DELTA
    own: Mapping[str, Adapter] = field(default_factory=dict)


def name(round: int) -> str:
    """Give the name of a round's folder."""
    return f"round-{round:04d}"


def write(run: Path, checkpoint: Checkpoint) -> int:
    """Write a checkpoint aside, sync it, and rename it into place; give its size in bytes. Raises OSError."""
    home = run / FOLDER
    if not home.exists():
        home.mkdir()
        sync_names(run)
    aside = home / f".{name(checkpoint.round)}.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    adapter = checkpoint.adapter
    others = {SERVER: _named(checkpoint.server), DELTA: _delta_tensors(checkpoint.delta), OWN: _own_tensors(checkpoint)}
    tensors = {ADAPTER: {key: tensor.contiguous() for key, tensor in adapter.tensors().items()}}
    tensors |= {file: kept for file, kept in others.items() if kept}
    state = {**checkpoint.state, "v": VERSION, "round": checkpoint.round, "files": [*tensors, STATE]}
    state |= {"rank": adapter.rank, "alpha": adapter.alpha, "alphas": dict(adapter.alphas)}
    state["server_steps"] = checkpoint.server.steps
    sums: dict[str, str] = {}
    size = 0
    for file, kept in tensors.items():
        size += _write_summed(aside, file, save(kept), sums)
    size += _write_summed(aside, STATE, json.dumps(state, indent=1, allow_nan=False).encode(), sums)
    size += write_synced(aside / SUMS, _sum_lines(sums))
    sync(aside)
    place = home / name(checkpoint.round)
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)
    sync(home)
    return size


def remove_torn(run: Path) -> None:
    """Remove what writes left behind that never ended."""
    for aside in (run / FOLDER).glob(".round-*.part"):
        shutil.rmtree(aside, ignore_errors=True)


def thin_out(run: Path, round: int) -> None:
    """Let go of what only a resume from this round needs; its adapter and what joined the base stay.

    The sums are written first: whatever ends this in between, the checkpoint is one of the two, and what was let go of
    and still lies there goes when this is done again.
    """
    folder = run / FOLDER / name(round)
    sums = _read_sums(folder)
    if sums.keys() & {SERVER, OWN}:
        aside = folder / f"{SUMS}.part"
        write_synced(aside, _sum_lines({file: own for file, own in sums.items() if file not in (SERVER, OWN)}))
        aside.rename(folder / SUMS)
        sync(folder)
    clear(run, round)


def clear(run: Path, round: int) -> None:
    """Remove what lies in a checkpoint without a checksum; of one that is broken nothing is touched."""
    folder = run / FOLDER / name(round)
    sums = _read_sums(folder)
    left = [folder / file for file in (SERVER, OWN, f"{SUMS}.part") if file not in sums and (folder / file).exists()]
    if left and fault(run, round) is None:
        for path in left:
            path.unlink(missing_ok=True)


def fault(run: Path, round: int) -> str | None:
    """Say which file of a checkpoint is missing or is not what was written; None where it is whole."""
    folder = run / FOLDER / name(round)
    found, before = None, None
    # A run that is at work may thin it out meanwhile: what is amiss is so by sums that still hold then.
    while True:
        try:
            sums = _read_sums(folder)
        except (OSError, ValueError):
            return f"{name(round)}/{SUMS} is missing or broken"
        if sums == before:
            return found
        found, before = _fault(folder, sums), sums
        if found is None:
            return None


def _fault(folder: Path, sums: Mapping[str, str]) -> str | None:
    for file in dict.fromkeys((STATE, ADAPTER, *sums)):
        try:
            data = (folder / file).read_bytes()
        except FileNotFoundError:
            return f"{folder.name}/{file} is missing"
        except (OSError, ValueError) as error:
            return f"{folder.name}/{file!r} cannot be read: {error}"
        if hashlib.sha256(data).hexdigest() != sums.get(file):
            return f"{folder.name}/{file} is not what was written"
    kept = set(json.loads((folder / STATE).read_text(encoding="utf-8"))["files"]) - {SERVER, OWN}
    missing = sorted(kept - sums.keys())
    return f"{folder.name}/{missing[0]} is missing" if missing else None


def is_full(run: Path, round: int) -> bool:
    """Tell whether a whole checkpoint still has all that a resume needs."""
    return set(read_state(run, round)["files"]) <= _read_sums(run / FOLDER / name(round)).keys()


def _write_summed(folder: Path, file: str, data: bytes, sums: dict[str, str]) -> int:
    sums[file] = hashlib.sha256(data).hexdigest()
    return write_synced(folder / file, data)


def _sum_lines(sums: Mapping[str, str]) -> bytes:
    """Lay checksums out as `sha256sum --check` reads them."""
    return "".join(f"{own}  {file}\n" for file, own in sums.items()).encode()


def _read_sums(folder: Path) -> dict[str, str]:
    """Read the checksums of a checkpoint's files. Raises OSError or ValueError where there are none."""
    *lines, end = (folder / SUMS).read_bytes().decode().split("\n")
    if end:
        raise ValueError("the last line is torn")
    return {file: own for own, file in (line.split("  ", 1) for line in lines)}


def _named(server: ServerMemory) -> dict[str, Tensor]:
    first = {FIRST + name: tensor.contiguous() for name, tensor in server.first.items()}
    return first | {SECOND + name: tensor.contiguous() for name, tensor in server.second.items()}


def _delta_tensors(delta: BaseDelta) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for module, own in delta.factors.items():
        tensors |= {module + A_SUFFIX: own.a.contiguous(), module + B_SUFFIX: own.b.contiguous()}
    return tensors


def _own_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Give the B of each organization that keeps its own; their A is the global adapter's."""
    return {
        f"{organization}/{name}": tensor.contiguous()
        for organization, own in checkpoint.own.items()
        for name, tensor in own.tensors().items()
        if name.endswith(B_SUFFIX)
    }


def rounds(run: Path) -> list[int]:
    """Give the rounds that have a whole checkpoint, in order."""
    matches = (re.fullmatch(r"round-(\d{4,})", entry.name) for entry in (run / FOLDER).glob("round-*"))
    return sorted(int(match.group(1)) for match in matches if match)


def read_state(run: Path, round: int) -> dict[str, Any]:
    """Read what a checkpoint knows of its run, without the adapter. Raises UserError where a newer version wrote it."""
    place = run / FOLDER / name(round) / STATE
    state: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    if state.get("v", VERSION) > VERSION:
        said = f"checkpoint version {state['v']}, this program reads up to {VERSION}"
        raise UserError(f"{place}: {said}; upgrade fedlora-tui to read this run")
    return state


def read(run: Path, round: int) -> Checkpoint:
    """Read one checkpoint back: of its files those that have a checksum, for only these were looked at."""
    state = read_state(run, round)
    kept = _read_summed(run / FOLDER / name(round))
    tensors = kept.get(ADAPTER, {})
    ordered = {key: tensors[key] for key in _module_order(tensors, state.get("modules"))}
    adapter = from_tensors(ordered, int(state["rank"]), float(state["alpha"]), state.get("alphas", {}))
    server, delta = _server_of(kept.get(SERVER, {}), state), _delta_of(kept.get(DELTA, {}), list(adapter.factors))
    return Checkpoint(round, adapter, state, server, delta, _own_of(kept.get(OWN, {}), adapter))


def _read_summed(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Read the tensors of each file that has a checksum."""
    sums = _read_sums(folder)
    try:
        return {file: load_file(folder / file) for file in (ADAPTER, SERVER, DELTA, OWN) if file in sums}
    except FileNotFoundError:
        # A run that is at work may have thinned it out meanwhile.
        if _read_sums(folder) == sums:
            raise
        return _read_summed(folder)


def _delta_of(kept: Mapping[str, Tensor], modules: Sequence[str]) -> BaseDelta:
    return BaseDelta(
        {own: Factors(kept[own + A_SUFFIX], kept[own + B_SUFFIX]) for own in modules if own + A_SUFFIX in kept}
    )


def _own_of(kept: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Adapter]:
    shared = {name: tensor for name, tensor in adapter.tensors().items() if name.endswith(A_SUFFIX)}
    found: dict[str, Adapter] = {}
    for organization in dict.fromkeys(key.partition("/")[0] for key in kept):
        own = {key.partition("/")[2]: tensor for key, tensor in kept.items() if key.startswith(f"{organization}/")}
        tensors = {name: own[name] if name in own else shared[name] for name in adapter.tensors()}
        found[organization] = from_tensors(tensors, adapter.rank, adapter.alpha, adapter.alphas)
    return found


def _server_of(kept: Mapping[str, Tensor], state: Mapping[str, Any]) -> ServerMemory:
    first = {key.removeprefix(FIRST): tensor for key, tensor in kept.items() if key.startswith(FIRST)}
    second = {key.removeprefix(SECOND): tensor for key, tensor in kept.items() if key.startswith(SECOND)}
    return ServerMemory(int(state.get("server_steps", 0)), first, second)


def _module_order(tensors: Mapping[str, Any], modules: list[str] | None) -> list[str]:
    """Safetensors sorts its names; the adapter keeps the order of the model's modules."""
    if not modules:
        return list(tensors)
    return [module + suffix for module in modules for suffix in (A_SUFFIX, B_SUFFIX)]
