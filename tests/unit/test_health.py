"""Whether a run does well: finite adapters, and losses that stay under the base's."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.aggregation import METHODS, Reply, Start
from fedlora_tui.engine.health import check_finite, diverging, mean, merged
from fedlora_tui.engine.round_errors import NotFiniteError
from fedlora_tui.lora.adapter import Adapter, Factors


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_an_adapter_with_a_number_that_is_none_is_refused_by_the_name_of_its_factor(number: float) -> None:
    adapter = Adapter({name: Factors(torch.ones(2, 3), torch.zeros(4, 2)) for name in ("h.0", "h.1")}, 2, 4.0)
    check_finite(adapter)
    adapter.factors["h.1"].b[1, 0] = number
    with pytest.raises(NotFiniteError, match=r"not finite \(h\.1\..*lora_B.*\): lower the rate"):
        check_finite(adapter)


def test_replies_whose_products_are_no_numbers_are_not_aggregated() -> None:
    huge = Adapter({"h.0": Factors(torch.full((2, 3), 1e30), torch.full((4, 2), 1e30))}, 2, 4.0)
    start = Start(1, huge, lambda: huge)
    with pytest.raises(NotFiniteError, match="resume goes through the round again"):
        merged(METHODS["flexlora"], [Reply("alpha", huge, 3), Reply("beta", huge, 3)], start)


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([], False),
        ([5.4], False),
        ([5.05, 5.4], False),
        ([5.4, 5.05], False),
        ([5.4, 5.4], True),
        ([5.05, 5.4, 5.3], True),
        ([5.4, 5.4, 5.4], False),
        ([5.4, 5.4, 5.4, 5.0, 5.4, 5.4], True),
        ([5.4, None, 5.4], False),
        ([5.1, 5.1], False),
    ],
)
def test_divergence_is_said_once_at_the_second_round_above_the_base(losses: list[float | None], said: bool) -> None:
    assert (diverging(5.0, losses, 0.1) is not None) == said


def test_divergence_says_by_how_much_and_never_more_than_it_is() -> None:
    assert diverging(5.0, [5.4, 5.2999], 0.1) == (
        "hold-out loss 0.299 above the base's, 2 rounds running: a lower rate, or fork before it"
    )


def test_with_no_margin_or_no_base_nothing_diverges() -> None:
    assert diverging(5.0, [9.0, 9.0], 0.0) is None
    assert diverging(None, [9.0, 9.0], 0.1) is None


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 1000)), min_size=1, max_size=9))
def test_the_mean_of_losses_is_that_of_all_tokens(losses: list[tuple[float, int]]) -> None:
    every = torch.tensor([loss for loss, tokens in losses for _ in range(tokens)], dtype=torch.float64)
    assert mean(losses) == pytest.approx(float(every.mean()), rel=1e-9, abs=1e-12)


def test_there_is_no_mean_of_no_losses() -> None:
    assert mean([]) is None
