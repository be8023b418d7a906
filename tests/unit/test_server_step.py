"""The server's step: Flower's own strategies as oracles, and what every optimizer keeps to."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fedlora_tui.federation  # noqa: F401  (takes Flower's log handler away)
from fedlora_tui.aggregation.server_step import OPTIMIZERS, ServerMemory, ServerStep, advance, cooled, warmed
from fedlora_tui.config import RULES
from fedlora_tui.lora.adapter import Adapter, Factors

NUMBERS = ServerStep(rate=0.05, momentum=0.8, decay=0.95, tau=1e-2)
ADAPTIVE = [name for name in OPTIMIZERS if name not in ("none", "fedavgm")]


def adapter(seed, outputs=6):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 5, generator=generator), torch.randn(outputs, 2, generator=generator)
    return Adapter({"h.0.attn": Factors(a, b), "h.1.mlp": Factors(b.T.contiguous(), a.T.contiguous())}, 2, 4.0)


def gone(step, ends, start=None):
    """Go from one aggregate to the next, each the answer to the adapter before."""
    sent, memory = start or adapter(0), ServerMemory()
    for end in ends:
        sent, memory = advance(step, memory, sent, end)
    return sent, memory


def flowers(name, step):
    from flwr.serverapp import strategy as flower

    if name == "fedavgm":
        return flower.FedAvgM(server_learning_rate=step.rate, server_momentum=step.momentum)
    if name == "fedadagrad":
        return flower.FedAdagrad(eta=step.rate, tau=step.tau)
    kind = {"fedadam": flower.FedAdam, "fedyogi": flower.FedYogi}[name]
    return kind(eta=step.rate, beta_1=step.momentum, beta_2=step.decay, tau=step.tau)


def flower_gone(monkeypatch, strategy, start, ends):
    """Let Flower's strategy take the same rounds from the same means."""
    from flwr.app import Array, ArrayRecord
    from flwr.serverapp.strategy import FedAvg

    def record(tensors):
        return ArrayRecord(OrderedDict((key, Array(tensor.double().numpy())) for key, tensor in tensors.items()))

    sent = {key: tensor.double() for key, tensor in start.tensors().items()}
    for round, end in enumerate(ends, 1):
        monkeypatch.setattr(FedAvg, "aggregate_train", lambda *_, end=end: (record(end.tensors()), None))
        momentum = hasattr(strategy, "server_momentum")
        strategy.current_arrays = record(sent) if momentum else {key: tensor.numpy() for key, tensor in sent.items()}
        arrays, _ = strategy.aggregate_train(round, [])
        sent = {key: torch.from_numpy(array.numpy().copy()) for key, array in arrays.items()}
    return sent


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "none"])
def test_it_is_flowers_own_step(monkeypatch, name):
    step = replace(NUMBERS, optimizer=name, momentum=0.0 if name == "fedadagrad" else 0.8)
    ends = [adapter(seed) for seed in (1, 2, 3)]
    ours, _ = gone(step, ends)
    theirs = flower_gone(monkeypatch, flowers(name, step), adapter(0), ends)
    for key, tensor in ours.tensors().items():
        torch.testing.assert_close(tensor.double(), theirs[key], rtol=1e-6, atol=1e-6)


def test_without_an_optimizer_a_rate_of_one_is_the_aggregate_itself_and_others_go_a_part_of_the_way():
    sent, end = adapter(1), adapter(2)
    assert advance(ServerStep(), ServerMemory(), sent, end)[0] is end
    half, memory = advance(ServerStep(rate=0.5), ServerMemory(), sent, end)
    for name, tensor in half.tensors().items():
        middle = (sent.tensors()[name].double() + end.tensors()[name].double()) / 2
        assert torch.allclose(tensor.double(), middle, atol=1e-7)
        assert tensor.dtype == torch.float32
    assert memory == ServerMemory(1)


def test_momentum_carries_on_when_the_replies_stand_still():
    step = ServerStep("fedavgm", momentum=0.5)
    first, memory = advance(step, ServerMemory(), adapter(0), adapter(1))
    second, _ = advance(step, memory, first, first)
    for name, tensor in second.tensors().items():
        moved = (first.tensors()[name] - adapter(0).tensors()[name]) / 2
        torch.testing.assert_close(tensor, first.tensors()[name] + moved, rtol=1e-5, atol=1e-6)


@given(st.sampled_from(OPTIMIZERS), st.integers(0, 3), st.floats(0.0, 0.95))
@settings(deadline=None)
def test_replies_that_change_nothing_leave_a_fresh_server_where_it_was(name, seed, momentum):
    step = ServerStep(name, rate=0.3, momentum=momentum)
    after, _ = advance(step, ServerMemory(), adapter(seed), adapter(seed))
    for key, tensor in after.tensors().items():
        assert torch.equal(tensor, adapter(seed).tensors()[key])


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_steps_are_as_long_for_small_updates_as_for_large_ones(name):
    step = ServerStep(name, rate=0.1, momentum=0.0, decay=0.9, tau=1e-12)
    sent, end = adapter(0), adapter(1)
    tenth = Adapter(
        {
            module: Factors(f.a + (end.factors[module].a - f.a) / 10, f.b + (end.factors[module].b - f.b) / 10)
            for module, f in sent.factors.items()
        },
        sent.rank,
        sent.alpha,
    )
    far, near = (advance(step, ServerMemory(), sent, one)[0] for one in (end, tenth))
    for key, tensor in far.tensors().items():
        torch.testing.assert_close(tensor, near.tensors()[key], rtol=1e-3, atol=1e-4)


def test_momentum_grows_evenly_and_is_whole_from_the_last_round_of_its_warm_up_on():
    assert [warmed(round, 4) for round in (1, 2, 3, 4, 5, 400)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert warmed(1, 0) == warmed(1, 1) == 1.0


def test_the_rate_is_whole_and_then_falls_evenly_so_that_the_last_round_still_counts():
    assert [cooled(round, 6, 0.5) for round in range(1, 7)] == [1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert [cooled(round, 2, 1.0) for round in (1, 2)] == [2 / 3, 1 / 3]


@given(st.integers(1, 500), st.floats(0.0, 1.0))
def test_a_server_without_a_cooldown_keeps_its_rate_and_with_one_it_never_stands_still(rounds, share):
    falling = [cooled(round, rounds, share) for round in range(1, rounds + 1)]
    assert all(cooled(round, rounds, 0.0) == 1.0 for round in range(1, rounds + 1))
    assert all(0 < after <= before <= 1.0 for before, after in zip(falling, falling[1:] or falling, strict=False))
    assert falling.count(1.0) == rounds - int(share * rounds)


def test_a_memory_of_other_shapes_is_refused():
    step = ServerStep("fedadam")
    _, memory = gone(step, [adapter(1)])
    with pytest.raises(ValueError, match=r"h\.0\.attn"):
        advance(step, memory, adapter(0, outputs=7), adapter(1, outputs=7))


def test_the_configuration_takes_every_optimizer():
    assert RULES["federation.server_optimizer"].words == OPTIMIZERS
