"""What a run would take: the base's shapes against the base itself, the sums against their definitions."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from fedlora_tui.benchmarks.products import needed
from fedlora_tui.config import Config, LoraConfig, ModelConfig, Setting, load
from fedlora_tui.errors import UserError
from fedlora_tui.estimate import LIBRARIES, REACHED, REPLIES, Machine, estimate
from fedlora_tui.lora.base_model import load as load_base
from fedlora_tui.lora.base_size import BaseSize, base_size
from fedlora_tui.lora.cohort_size import STATES, adapter_bytes, row_bytes
from fedlora_tui.lora.rows import Row
from tests.tiny_models import FAMILIES, base_of, random_adapter

LAYERS = ((10, 30), (10, 10))
SIZE = BaseSize(1000, LAYERS, LAYERS[:1], blocks=2, width=10, attention=8, vocabulary=100)
FAR = Machine("cpu", 4, lanes=2, free=1 << 40)


def config(**keys: object) -> Config:
    return load(None, [Setting(name.replace("__", "."), str(value), name) for name, value in keys.items()])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_base_laid_out_without_weights_is_as_large_as_the_base(family: str, tmp_path: Path) -> None:
    model = FAMILIES[family]()
    model.config.save_pretrained(tmp_path)
    size = base_size(ModelConfig(base=str(tmp_path)), LoraConfig())
    base = base_of(model)
    assert size is not None
    assert size.parameters == base.parameters
    assert size.vocabulary == base.vocabulary
    assert size.adapted == tuple((target.in_features, target.out_features) for target in base.targets)
    adapter = random_adapter(base, rank=3)
    assert 4 * size.adapter_parameters(3) == adapter_bytes(adapter)


@pytest.mark.parametrize("family", FAMILIES)
def test_its_operations_are_those_that_training_needs_but_for_what_stands_before_the_first_adapter(
    family: str, tmp_path: Path
) -> None:
    model = FAMILIES[family]()
    model.config.save_pretrained(tmp_path)
    size = base_size(ModelConfig(base=str(tmp_path)), LoraConfig())
    base = base_of(model)
    assert size is not None
    length = 20
    row = Row(tuple(range(2, 2 + length)))
    work = needed(base, random_adapter(base, rank=3))
    # `needed` counts the pairs of a whole row, and a target fewer than tokens: here every token is one.
    exact = work.of([row]) + work.a_target
    estimated = length * size.training_operations(3, length)
    assert exact <= estimated <= 1.2 * exact


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_row_keeps_is_estimated_within_a_factor_of_two(family: str, tmp_path: Path) -> None:
    model = FAMILIES[family]()
    model.config.save_pretrained(tmp_path)
    size = base_size(ModelConfig(base=str(tmp_path)), LoraConfig())
    base = base_of(model)
    assert size is not None
    exact = row_bytes(base, random_adapter(base), 48)
    assert exact / 2 <= 4 * 48 * size.kept() <= 2 * exact


def test_a_hub_id_that_is_not_here_has_no_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert base_size(ModelConfig(base="nobody/nothing-of-this-name"), LoraConfig()) is None


def test_a_folder_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "of-no-kind"}')
    with pytest.raises(UserError, match=r"cannot be laid out: .*of-no-kind"):
        base_size(ModelConfig(base=str(tmp_path)), LoraConfig())


def test_tokens_operations_and_seconds_of_a_round() -> None:
    own = config(model__base="gpt2", federation__rounds=10, lora__rank=2)
    found = estimate(own, SIZE, 6, Machine("cpu", 4, 2, 1 << 40, rate=1e9))
    assert found.trained == 6 * 8 * 4 * 128
    assert found.measured == 6 * 4096
    layers, adapter, head, attended = 10 * 30 + 10 * 10, 2 * (10 + 30), 10 * 100, 2 * 8 * 129
    train = 4 * layers + 6 * adapter + 4 * head + 6 * attended
    look = 2 * layers + 2 * adapter + 2 * head + 2 * attended
    assert found.operations == found.trained * train + found.measured * look
    assert found.speed == REACHED["cpu"] * 1e9
    assert found.seconds == pytest.approx((10 * found.operations + found.measured * look) / found.speed)


def test_without_a_rate_time_is_unknown_and_memory_is_not() -> None:
    found = estimate(config(), SIZE, 8, FAR)
    assert (found.speed, found.seconds) == (None, None)
    assert found.memory == found.libraries + found.base + found.adapters + found.passes
    assert found.libraries == LIBRARIES["cpu"]
    assert found.base == 4 * 1000


def test_adapters_are_those_in_passes_with_their_optimizer_and_what_is_kept_of_all() -> None:
    found = estimate(config(), SIZE, 100, FAR)
    # A pass of 2,048 tokens holds 8 organizations with 2 rows of 128 tokens, and there are two passes.
    assert found.adapters == (STATES * 16 + REPLIES * 100) * 4 * 4 * (10 + 30)
    few = estimate(config(), SIZE, 3, FAR)
    assert few.adapters == (STATES * 4 + REPLIES * 3) * 4 * 4 * (10 + 30)
    one = estimate(config(federation__cohort=1), SIZE, 100, FAR)
    assert one.adapters == (STATES * 2 + REPLIES * 100) * 4 * 4 * (10 + 30)


def test_where_memory_is_short_fewer_go_together() -> None:
    own = config()
    wide, narrow = (estimate(own, SIZE, 100, Machine("cpu", 4, 2, free)) for free in (1 << 40, 1 << 20))
    assert narrow.passes < wide.passes
    assert narrow.adapters < wide.adapters


def test_counted_hold_outs_stand_in_the_place_of_the_most_there_may_be() -> None:
    assert estimate(config(), SIZE, 8, FAR, holdout=70).measured == 70
    assert estimate(config(), SIZE, 8, FAR).measured == 8 * 512


def test_above_256_organizations_a_sample_measures() -> None:
    assert estimate(config(), SIZE, 1000, FAR).measured == 256 * 512


def test_the_embedded_base_takes_about_what_its_own_numbers_say() -> None:
    own = load(None)
    size = base_size(own.model, own.lora)
    base = load_base(own.model, own.lora)
    assert size is not None
    found = estimate(own, size, 8, Machine("cpu", 4, 1, int(psutil.virtual_memory().available)))
    adapter = random_adapter(base, rank=4)
    rows = 8 * 2
    assert found.base == sum(own.nbytes for own in base.model.parameters())
    assert found.passes >= rows * row_bytes(base, adapter, 128) / 2
    assert torch.finfo(base.dtype).bits == 32
