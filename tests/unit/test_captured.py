"""Passes that are captured give what other passes give; a processor stands in for what only a GPU can capture."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch

from fedlora_tui.lora import cohort
from fedlora_tui.lora.captured import GRAPHS, LAYOUTS, MORE_OFTEN, Captures, Kept
from fedlora_tui.lora.given import laid_out
from fedlora_tui.lora.memory import give_back
from fedlora_tui.lora.rows import IGNORED, Row, packed, padded
from tests.peft_alone import PLAN, content, packed_rows, three, trained
from tests.tiny_models import base_of, gpt2, llama, random_adapter, random_rows

PROCESSOR = torch.device("cpu")


class StandIn:
    """Captures by keeping the computation, as it was bound, and computing it again."""

    def __init__(self):
        self.captured = self.replayed = 0

    def __call__(self, device, pool, compute):
        self.captured += 1
        means = compute()

        def replay():
            self.replayed += 1
            means.copy_(compute())

        return replay, means


@pytest.fixture
def captured_on_a_processor(monkeypatch):
    monkeypatch.setattr(cohort, "used", lambda piece, device: piece == "graph")


def base_with(capture, model=gpt2):
    base = base_of(model())
    object.__setattr__(base, "captures", Captures(PROCESSOR, capture))
    return base


def plainly(starts, rows, plan, model=gpt2):
    """What passes give that are not captured."""
    with pytest.MonkeyPatch.context() as undone:
        undone.setattr(cohort, "used", lambda piece, device: False)
        return trained(base_of(model()), starts, rows, plan)


def near(ours, theirs, tolerance=1e-5):
    for one, other in zip(ours, theirs, strict=True):
        assert (one.organization, one.steps, one.tokens) == (other.organization, other.steps, other.tokens)
        assert one.loss == pytest.approx(other.loss, abs=tolerance)
        for key, value in other.adapter.tensors().items():
            assert (one.adapter.tensors()[key] - value).norm() <= tolerance * value.norm()


@pytest.mark.parametrize("model", [gpt2, llama])
@pytest.mark.parametrize("rows", [three(), [packed_rows(name, 20, 1) for name in "abc"]])
def test_captured_passes_train_what_passes_train(captured_on_a_processor, model, rows):
    stand_in = StandIn()
    base = base_with(stand_in, model)
    plan = replace(PLAN, local_steps=6, clip_norm=0.5, proximal_mu=0.1)
    expected, told = plainly([random_adapter(base)] * 3, rows, plan, model)
    for _ in range(3):
        found, losses = trained(base, [random_adapter(base)] * 3, rows, plan)
        near(found, expected)
        for name, own in told.items():
            assert losses[name] == pytest.approx(own, abs=1e-5)
    assert 1 <= stand_in.captured <= 4
    assert stand_in.replayed > 6


def test_a_cohort_from_other_starts_of_other_ranks_and_scales_is_not_the_one_before(captured_on_a_processor):
    base, rows = base_with(StandIn()), three()
    for starts in ([random_adapter(base, seed=seed) for seed in seeds] for seeds in ((1, 2, 3), (4, 5, 6), (7, 8, 9))):
        scaled = [starts[0], replace(starts[1], alpha=11.0), starts[2]]
        found, _ = trained(base, scaled, rows, PLAN)
        expected, _ = plainly(scaled, rows, PLAN)
        near(found, expected)


def test_organizations_that_leave_a_pass_leave_a_captured_one_too(captured_on_a_processor):
    base = base_with(StandIn())
    rows = [random_rows(name, count, 1) for name, count in (("a", 3), ("b", 10), ("c", 7))]
    plan = replace(PLAN, local_epochs=2, batch_size=3)
    expected, _ = plainly([random_adapter(base)] * 3, rows, plan)
    for _ in range(4):
        found, _ = trained(base, [random_adapter(base)] * 3, rows, plan)
        assert [result.steps for result in found] == [2, 8, 6]
        near(found, expected)
    assert len(base.captures) > 1


def measured_by(base, adapters, rows):
    return [own.loss for own in cohort.measure_cohort(base, adapters, rows)]


@pytest.mark.parametrize("model", [gpt2, llama])
def test_captured_passes_measure_what_passes_measure(captured_on_a_processor, model):
    stand_in = StandIn()
    base, plain = base_with(StandIn(), model), base_of(model())
    object.__setattr__(base, "measuring", Captures(PROCESSOR, stand_in))
    rows = [replace(own, holdout=own.train) for own in three(least=12)]
    for seed in (1, 2, 3):
        adapter = random_adapter(base, seed=seed)
        with pytest.MonkeyPatch.context() as undone:
            undone.setattr(cohort, "used", lambda piece, device: False)
            expected = measured_by(plain, [adapter] * 3, rows)
        assert measured_by(base, [adapter] * 3, rows) == pytest.approx(expected, rel=1e-5)
    assert stand_in.captured == len(base.measuring) > 0
    assert stand_in.replayed > 0
    assert len(base.captures) == 0


def test_the_base_alone_and_adapters_of_their_own_are_measured_without_capturing(captured_on_a_processor):
    stand_in = StandIn()
    base = base_with(StandIn())
    object.__setattr__(base, "measuring", Captures(PROCESSOR, stand_in))
    rows = [replace(own, holdout=own.train) for own in three()]
    for _ in range(3):
        measured_by(base, None, rows)
        measured_by(base, [random_adapter(base, seed=seed) for seed in (1, 2, 3)], rows)
    assert stand_in.captured == 0


@pytest.mark.parametrize("plan", [replace(PLAN, dropout=0.2), PLAN])
def test_what_draws_or_is_computed_twice_is_never_captured(captured_on_a_processor, plan):
    stand_in = StandIn()
    base = base_with(stand_in)
    if not plan.dropout:
        object.__setattr__(base, "recomputed", True)
    for _ in range(2):
        trained(base, [random_adapter(base)] * 3, three(), plan)
    assert stand_in.captured == 0


def test_a_pass_that_cannot_be_captured_is_computed_as_ever_and_the_log_says_so_once(captured_on_a_processor, caplog):
    def fails(device, pool, compute):
        compute()
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    base, rows = base_with(fails), three(least=24)
    expected, _ = plainly([random_adapter(base)] * 3, rows, PLAN)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found, _ = trained(base, [random_adapter(base)] * 3, rows, PLAN)
            near(found, expected)
    assert len(caplog.messages) == 1
    assert "is not captured: operation not permitted when stream is capturing" in caplog.text


def test_where_memory_runs_out_graphs_are_let_go_and_the_pass_goes_again(captured_on_a_processor, monkeypatch):
    stand_in = StandIn()
    base, rows = base_with(stand_in), three(least=24)
    trained(base, [random_adapter(base)] * 3, rows, PLAN)
    assert len(base.captures) == 1
    means, failing = cohort._means, 1

    def lacking(*given):
        nonlocal failing
        failing -= 1
        if failing >= 0:
            raise torch.OutOfMemoryError("no memory")
        return means(*given)

    shorter = replace(PLAN, batch_size=2, local_steps=1)
    expected, _ = plainly([random_adapter(base)] * 3, rows, shorter)
    monkeypatch.setattr(cohort, "_means", lacking)
    found, _ = trained(base, [random_adapter(base)] * 3, rows, shorter)
    assert len(base.captures) == 0
    near(found, expected)
    # Now in the capture, and in the pass itself: there is nothing more to let go.
    failing = 2
    with pytest.raises(torch.OutOfMemoryError):
        trained(base, [random_adapter(base)] * 3, rows, shorter)


def test_what_is_given_back_are_graphs_that_no_cohort_has(captured_on_a_processor):
    base = base_with(StandIn())
    trained(base, [random_adapter(base)] * 3, three(least=24), PLAN)
    with base.captures.lent(True) as captures:
        give_back()
        assert len(base.captures) == 1
        assert captures is base.captures
        with base.captures.lent(True) as again:
            assert again is None
    with base.captures.lent(False) as unwanted:
        assert unwanted is None
    give_back()
    assert len(base.captures) == 0


def test_what_is_rare_gives_way_to_what_is_far_more_frequent():
    gone = []
    kept = Kept(2, gone.append)
    for key in "aab":
        kept.met(key)
    assert kept.has_place("a")
    kept.put("a", 1)
    kept.put("b", 2)
    for _ in range(MORE_OFTEN + 1):
        kept.met("c")
    assert not kept.has_place("c")
    kept.met("c")
    assert kept.has_place("c")
    kept.put("c", 3)
    assert (gone, kept.get("a"), kept.get("b"), len(kept)) == (["b"], 1, None, 2)
    assert min(LAYOUTS, GRAPHS) >= 2


def test_passes_of_few_shapes_carry_the_same_targets_and_what_fills_up_weighs_nothing():
    first = [Row(tuple(range(5, 5 + length))) for length in (7, 11, 4)]
    second = list(packed([Row(tuple(range(5))), Row(tuple(range(9)))], 24))
    for batches in ([first, first[:1]], [first, second]):
        plain, counts = laid_out(batches, 0, torch.float32)
        few, same = laid_out(batches, 0, torch.float32, longest=24)
        assert counts == same == [19, len(few.shares[few.owners == 1][few.shares[few.owners == 1] > 0])]
        assert (few.length, few.rows, few.packed) == (24, 6, any(row.starts for row in batches[1]))
        weighed = few.shares > 0
        assert torch.equal(few.shares[weighed], plain.shares)
        assert torch.equal(few.answers[weighed], plain.answers)
        assert torch.equal(few.owners[weighed], plain.owners)
        following = few.tokens.flatten()[few.places[weighed] + 1]
        assert torch.equal(following, few.answers[weighed])
        own_positions = few.rows * few.length // len(batches)
        assert torch.equal(few.places // own_positions, few.owners)
        assert int(few.places.bincount().max()) <= 2
        assert len(few.shares) % (few.rows * few.length // 16) == 0
        assert (few.positions is None) == (not few.packed)
    assert laid_out([first], 0, torch.float32, longest=40)[0].length == 32
    assert laid_out([first], 0, torch.float32, longest=11)[0].length == 11


def test_rows_laid_out_longer_have_labels_only_where_they_had():
    inputs = padded([Row((1, 2, 3))], 0, PROCESSOR, 6)
    assert inputs.tokens.tolist() == [[1, 2, 3, 0, 0, 0]]
    assert inputs.labels.tolist() == [[IGNORED, 2, 3, IGNORED, IGNORED, IGNORED]]


def test_one_start_is_a_stack_of_equal_bytes_in_a_place_that_was_used_before(captured_on_a_processor):
    base = base_with(StandIn())
    first, _ = trained(base, [random_adapter(base)] * 3, three(least=24), PLAN)
    again, _ = trained(base, [random_adapter(base)] * 3, three(least=24), PLAN)
    assert [content(own.adapter) for own in first] == [content(own.adapter) for own in again]
