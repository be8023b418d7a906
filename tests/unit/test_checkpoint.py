"""Checkpoints: read back bit for bit, written whole or not at all."""

from __future__ import annotations

import os

import pytest
import torch

from fedlora_tui.aggregation.server_step import ServerMemory
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.checkpoint import Checkpoint
from fedlora_tui.lora.adapter import Adapter, Factors

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
            patch.setattr(checkpoint.os, "fsync", torn)
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
