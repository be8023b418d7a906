"""Checkpoints: read back bit for bit, written whole or not at all."""

from __future__ import annotations

import os
import random
import re

import pytest
import torch

from fedlora_tui.aggregation.server_step import ServerMemory
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.checkpoint import Checkpoint
from fedlora_tui.engine.keeping import Keeping
from fedlora_tui.engine.past import newest_whole
from fedlora_tui.errors import UserError
from fedlora_tui.lora.adapter import Adapter, Factors
from fedlora_tui.lora.delta import BaseDelta

# Not in the order of the alphabet, which is safetensors' own.
MODULES = ("z.last", "a.first", "m.middle")


def adapter(seed=0, rank=2, alpha=5.5):
    generator = torch.Generator().manual_seed(seed)
    factors = {
        name: Factors(torch.randn(rank, 5, generator=generator), torch.randn(7, rank, generator=generator))
        for name in MODULES
    }
    return Adapter(factors, rank, alpha)


def state(**more):
    return {"rounds": 3, "eval_loss": 2.5, "organizations": ["größe"], "modules": list(MODULES), **more}


def content(one):
    return [(name, tensor.numpy().tobytes(), tuple(tensor.shape)) for name, tensor in one.tensors().items()]


def test_a_checkpoint_is_read_back_bit_for_bit_in_the_models_order(tmp_path):
    size = checkpoint.write(tmp_path, Checkpoint(7, adapter(), state(train_loss=None)))
    again = checkpoint.read(tmp_path, 7)
    assert content(again.adapter) == content(adapter())
    assert list(again.adapter.factors) == list(MODULES)
    assert (again.round, again.adapter.rank, again.adapter.alpha) == (7, 2, 5.5)
    assert {key: again.state[key] for key in state()} == state()
    assert again.state["train_loss"] is None
    folder = tmp_path / "checkpoints" / "round-0007"
    assert sorted(file.name for file in folder.iterdir()) == ["SHA256SUMS", "adapter.safetensors", "state.json"]
    assert size == sum(file.stat().st_size for file in folder.iterdir())


def test_tensors_that_do_not_lie_in_one_piece_are_kept_by_their_values(tmp_path):
    turned = Adapter({name: Factors(f.a.T.contiguous().T, f.b) for name, f in adapter().factors.items()}, 2, 5.5)
    checkpoint.write(tmp_path, Checkpoint(1, turned, state()))
    assert content(checkpoint.read(tmp_path, 1).adapter) == content(adapter())


def test_rounds_are_listed_in_order_and_half_written_ones_are_not(tmp_path):
    assert checkpoint.rounds(tmp_path) == []
    for round in (10, 0, 2, 12345):
        checkpoint.write(tmp_path, Checkpoint(round, adapter(round), state()))
    (tmp_path / "checkpoints" / ".round-0011.part").mkdir()
    (tmp_path / "checkpoints" / "round-x").mkdir()
    assert checkpoint.rounds(tmp_path) == [0, 2, 10, 12345]


class Torn(OSError):
    pass


@pytest.mark.parametrize("step", ["second file", "sync", "rename"])
def test_a_torn_write_leaves_the_older_checkpoint_whole(tmp_path, monkeypatch, step):
    checkpoint.write(tmp_path, Checkpoint(1, adapter(1), state()))

    def torn(*arguments, **more):
        raise Torn

    with monkeypatch.context() as patch:
        if step == "second file":
            patch.setattr(checkpoint.json, "dumps", torn)
        elif step == "sync":
            patch.setattr(os, "fsync", torn)
        else:
            patch.setattr(checkpoint.Path, "rename", torn)
        with pytest.raises(Torn):
            checkpoint.write(tmp_path, Checkpoint(2, adapter(2), state()))
    assert checkpoint.rounds(tmp_path) == [1]
    assert content(checkpoint.read(tmp_path, 1).adapter) == content(adapter(1))
    # What was left behind does not stand in the way of the next attempt.
    checkpoint.write(tmp_path, Checkpoint(2, adapter(2), state()))
    assert checkpoint.rounds(tmp_path) == [1, 2]
    assert os.listdir(tmp_path / "checkpoints").count(".round-0002.part") == 0


def test_a_number_that_is_not_finite_is_refused_rather_than_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        checkpoint.write(tmp_path, Checkpoint(1, adapter(), state(eval_loss=float("nan"))))
    assert checkpoint.rounds(tmp_path) == []


def test_a_checkpoint_of_a_newer_version_is_refused_by_its_version(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "VERSION", 2)
        checkpoint.write(tmp_path, Checkpoint(1, adapter(), state()))
    assert checkpoint.fault(tmp_path, 1) is None
    said = r"checkpoints/round-0001/state.json: checkpoint version 2, this program reads up to 1; upgrade fedlora-tui"
    for read in (checkpoint.read, checkpoint.is_full, lambda run, round: newest_whole(run)):
        with pytest.raises(UserError, match=said):
            read(tmp_path, 1)


def test_no_pickle_is_in_a_checkpoint(tmp_path):
    checkpoint.write(tmp_path, Checkpoint(1, adapter(), state()))
    data = (tmp_path / "checkpoints" / "round-0001" / "adapter.safetensors").read_bytes()
    assert not data.startswith((b"PK", b"\x80"))
    assert data[8:9] == b"{"


def test_what_a_servers_optimizer_keeps_is_read_back_bit_for_bit(tmp_path):
    first = {key: tensor.double() / 3 for key, tensor in adapter(1).tensors().items()}
    second = {key: tensor.double() ** 2 for key, tensor in adapter(2).tensors().items()}
    checkpoint.write(tmp_path, Checkpoint(1, adapter(), state(), ServerMemory(4, first, second)))
    again = checkpoint.read(tmp_path, 1).server
    assert again.steps == 4
    for kept, read in ((first, again.first), (second, again.second)):
        assert {key: tensor.numpy().tobytes() for key, tensor in kept.items()} == {
            key: tensor.numpy().tobytes() for key, tensor in read.items()
        }
        assert all(tensor.dtype == torch.float64 for tensor in read.values())


def full(round=1):
    """A checkpoint that has every file there is."""
    tensors = {key: tensor.double() for key, tensor in adapter(1).tensors().items()}
    delta = BaseDelta({name: Factors(torch.ones(1, 5), torch.ones(7, 1)) for name in MODULES})
    squares = {key: tensor**2 for key, tensor in tensors.items()}
    return Checkpoint(round, adapter(), state(), ServerMemory(4, tensors, squares), delta, {"one": adapter(2)})


def test_every_flipped_bit_in_every_file_is_found(tmp_path):
    checkpoint.write(tmp_path, full())
    home = tmp_path / "checkpoints" / "round-0001"
    assert checkpoint.fault(tmp_path, 1) is None
    files = sorted(home.iterdir())
    assert len(files) == 6
    draw = random.Random(5)
    for file in files:
        data = file.read_bytes()
        places = range(len(data)) if len(data) < 600 else draw.sample(range(len(data)), 300)
        for place in places:
            file.write_bytes(data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :])
            assert checkpoint.fault(tmp_path, 1) is not None, (file.name, place)
        for short in (b"", data[:-1], data + b"\n"):
            file.write_bytes(short)
            assert checkpoint.fault(tmp_path, 1) is not None, file.name
        file.write_bytes(data)
    assert checkpoint.fault(tmp_path, 1) is None


@pytest.mark.parametrize("file", ["adapter", "server", "base-delta", "organizations"])
def test_a_missing_file_is_named(tmp_path, file):
    checkpoint.write(tmp_path, full())
    (tmp_path / "checkpoints" / "round-0001" / f"{file}.safetensors").unlink()
    assert checkpoint.fault(tmp_path, 1) == f"round-0001/{file}.safetensors is missing"


def test_what_is_thinned_out_keeps_adapter_and_base_and_is_whole_but_not_full(tmp_path):
    checkpoint.write(tmp_path, full())
    assert checkpoint.is_full(tmp_path, 1)
    checkpoint.thin_out(tmp_path, 1)
    checkpoint.thin_out(tmp_path, 1)
    home = tmp_path / "checkpoints" / "round-0001"
    names = {file.name for file in home.iterdir()}
    assert names == {"SHA256SUMS", "state.json", "adapter.safetensors", "base-delta.safetensors"}
    assert checkpoint.fault(tmp_path, 1) is None
    assert not checkpoint.is_full(tmp_path, 1)
    assert content(checkpoint.read(tmp_path, 1).adapter) == content(adapter())
    assert set(checkpoint.read(tmp_path, 1).delta.factors) == set(MODULES)


def test_thinning_out_that_is_ended_in_between_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    checkpoint.write(tmp_path, full())

    def torn(*arguments, **more):
        raise Torn

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Path, "unlink", torn)
        with pytest.raises(Torn):
            checkpoint.thin_out(tmp_path, 1)
    assert checkpoint.fault(tmp_path, 1) is None
    assert not checkpoint.is_full(tmp_path, 1)
    # What lies there without a checksum may hold anything: it is not read, and goes when the run is taken up.
    left = tmp_path / "checkpoints" / "round-0001" / "server.safetensors"
    left.write_bytes(left.read_bytes()[:-8])
    read = checkpoint.read(tmp_path, 1)
    assert not read.server.first
    assert not read.own
    Keeping(tmp_path, newest=1)
    names = {file.name for file in left.parent.iterdir()}
    assert names == {"SHA256SUMS", "state.json", "adapter.safetensors", "base-delta.safetensors"}
    assert checkpoint.fault(tmp_path, 1) is None


@pytest.fixture
def thinned_amid_reading(tmp_path, monkeypatch):
    """Thin a full checkpoint out right after the first of its files that is read from now on."""
    checkpoint.write(tmp_path, full())
    home = tmp_path / "checkpoints" / "round-0001"
    reads = {"read_bytes": checkpoint.Path.read_bytes, "load_file": checkpoint.load_file}
    thinned = []

    def read(by, path):
        data = reads[by](path)
        if path.name != "SHA256SUMS" and not thinned:
            thinned.append(path.name)
            checkpoint.thin_out(tmp_path, 1)
            assert not (home / "server.safetensors").exists()
        return data

    monkeypatch.setattr(checkpoint.Path, "read_bytes", lambda path: read("read_bytes", path))
    monkeypatch.setattr(checkpoint, "load_file", lambda path: read("load_file", path))
    return thinned


def test_one_that_is_thinned_out_while_it_is_looked_at_is_whole(tmp_path, thinned_amid_reading):
    assert checkpoint.fault(tmp_path, 1) is None
    assert thinned_amid_reading == ["state.json"]


def test_one_that_is_thinned_out_while_it_is_read_gives_what_stays(tmp_path, thinned_amid_reading):
    kept = checkpoint.read(tmp_path, 1)
    assert thinned_amid_reading == ["adapter.safetensors"]
    assert content(kept.adapter) == content(adapter())
    assert set(kept.delta.factors) == set(MODULES)
    assert (kept.server.first, kept.own) == ({}, {})


def test_sums_that_were_not_yet_put_in_place_are_no_hindrance_and_go(tmp_path, monkeypatch):
    checkpoint.write(tmp_path, full())

    def torn(*arguments, **more):
        raise Torn

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Path, "rename", torn)
        with pytest.raises(Torn):
            checkpoint.thin_out(tmp_path, 1)
    assert checkpoint.is_full(tmp_path, 1)
    assert checkpoint.fault(tmp_path, 1) is None
    checkpoint.thin_out(tmp_path, 1)
    names = {file.name for file in (tmp_path / "checkpoints" / "round-0001").iterdir()}
    assert names == {"SHA256SUMS", "state.json", "adapter.safetensors", "base-delta.safetensors"}


def test_the_sums_are_those_that_sha256sum_reads(tmp_path):
    checkpoint.write(tmp_path, full())
    lines = (tmp_path / "checkpoints" / "round-0001" / "SHA256SUMS").read_text().splitlines()
    assert all(re.fullmatch(r"[0-9a-f]{64}  [a-z-]+\.(safetensors|json)", line) for line in lines)
    assert len(lines) == 5
