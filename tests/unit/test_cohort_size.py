"""How many organizations go in one pass: as asked, or as memory holds and a pass is worth."""

from __future__ import annotations

from dataclasses import replace

import psutil
import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from fedlora_tui.lora import cohort_size as sizing
from fedlora_tui.lora.cohort import row_forward, train_cohort
from fedlora_tui.lora.cohort_size import PASS_TOKENS, STATES, adapter_bytes, cohort_size, free_bytes, row_bytes
from fedlora_tui.lora.rows import Row
from fedlora_tui.lora.stack import Stack
from tests.peft_alone import PLAN
from tests.tiny_models import FAMILIES, base_of, gpt2, random_adapter, random_rows

LENGTH = 24


def test_a_number_is_taken_as_it_is():
    base = base_of(gpt2())
    assert cohort_size(5, base, random_adapter(base), PLAN, LENGTH) == 5


@pytest.mark.parametrize("rows", [1, 7])
def test_where_memory_is_short_as_many_go_as_half_of_it_holds(monkeypatch, rows):
    base = base_of(gpt2())
    start, plan = random_adapter(base), replace(PLAN, batch_size=rows)
    own = rows * row_bytes(base, start, LENGTH) + STATES * adapter_bytes(start)
    for free, expected in ((2 * 10 * own, 10), (2 * 10 * own - 2, 9), (own, 1)):
        monkeypatch.setattr(sizing, "free_bytes", lambda device, free=free: free)
        assert cohort_size("auto", base, start, plan, LENGTH) == expected


def test_where_memory_is_plenty_a_pass_is_filled_and_no_more(monkeypatch):
    base = base_of(gpt2())
    monkeypatch.setattr(sizing, "free_bytes", lambda device: 2**60)
    full = PASS_TOKENS["cpu"] // (PLAN.batch_size * LENGTH)
    assert cohort_size("auto", base, random_adapter(base), PLAN, LENGTH) == full > 1
    assert cohort_size("auto", base, random_adapter(base), replace(PLAN, batch_size=60_000), LENGTH) == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_what_rows_keep_grows_with_their_number_and_their_length(name):
    base = base_of(FAMILIES[name]())
    start = random_adapter(base)
    one, half = row_bytes(base, start, LENGTH), row_bytes(base, start, LENGTH // 2)
    assert 1.5 * half < one < 4 * half
    assert one > 4 * LENGTH * base.model.config.hidden_size * base.model.config.num_hidden_layers


def test_what_a_row_keeps_is_what_training_keeps_of_each():
    """Counted again in a real cohort: the storages that the graph holds when a pass of 3 x 2 rows is forward."""
    base = base_of(gpt2())
    start, kept, most = random_adapter(base), {}, []

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def passed(steps):
        most.append(sum(kept.values()))
        kept.clear()

    own = {tensor.untyped_storage().data_ptr() for tensor in base.model.state_dict().values()}
    rows = [random_rows(name, 4, 1, least=LENGTH, most=LENGTH) for name in "abc"]
    with saved_tensors_hooks(lambda t: t if t.untyped_storage().data_ptr() in own else keep(t), lambda t: t):
        train_cohort(base, [start] * 3, rows, [replace(PLAN, batch_size=2, local_steps=1)] * 3, passed)
    factors = 3 * adapter_bytes(start)
    assert most[0] - factors == pytest.approx(6 * row_bytes(base, start, LENGTH), rel=0.05)


def test_layers_that_are_computed_twice_keep_less():
    start = random_adapter(base_of(gpt2()))
    once, twice = base_of(gpt2()), base_of(gpt2(), recomputed=True)
    assert row_bytes(twice, start, LENGTH) < row_bytes(once, start, LENGTH)


def test_a_base_that_not_even_one_row_fits_beside_gets_organizations_one_by_one(monkeypatch):
    def beyond_all_memory(*given):
        torch.empty(2**60)

    base = base_of(gpt2())
    monkeypatch.setattr(sizing, "row_bytes", beyond_all_memory)
    assert cohort_size("auto", base, random_adapter(base), PLAN, LENGTH) == 1


def test_the_trial_leaves_the_base_and_the_adapter_as_they_were():
    base = base_of(gpt2())
    start = random_adapter(base)
    before = {key: value.clone() for key, value in start.tensors().items()}
    row_bytes(base, start, LENGTH)
    assert all(torch.equal(value, before[key]) for key, value in start.tensors().items())
    assert not any(module._forward_hooks for module in base.model.modules())
    losses = row_forward(base, Stack([start], base.device), Row(tuple(range(2, 12))))
    assert len(losses.by_target) == 9


def test_free_memory_is_what_the_machine_has_available():
    assert 0 < free_bytes(torch.device("cpu")) <= psutil.virtual_memory().total
