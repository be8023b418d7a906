"""Many factorizations at once: the same bytes as one after another, in order, and never many matrices at a time."""

from __future__ import annotations

import pytest
import torch

from fedlora_tui.aggregation import Aggregated, products, triangles
from fedlora_tui.aggregation.drift import losses
from fedlora_tui.aggregation.fedit import fedit
from fedlora_tui.aggregation.method import Reply, Start
from fedlora_tui.aggregation.products import updates
from fedlora_tui.engine.one_thread import one_thread
from fedlora_tui.lora.adapter import Adapter, Factors

WIDE = {f"h.{number}": (96, 640) for number in range(5)}


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def matrices(count):
    """Large and small ones, standing and lying in memory, in turn."""
    generator = torch.Generator().manual_seed(3)
    shapes = [(700, 40), (12, 5), (40, 700), (3, 8)]
    drawn = (torch.randn(shapes[at % 4], generator=generator, dtype=torch.float64) for at in range(count))
    return [matrix.T if at % 4 > 1 else matrix for at, matrix in enumerate(drawn)]


def a_large_round():
    """Six organizations' adapters of modules that are worth a thread, and the one that they began with."""
    generator = torch.Generator().manual_seed(5)

    def drawn(near):
        return Adapter(
            {
                module: Factors(
                    own.a + 0.01 * torch.randn(own.a.shape, generator=generator),
                    own.b + 0.01 * torch.randn(own.b.shape, generator=generator),
                )
                for module, own in near.factors.items()
            },
            8,
            16.0,
        )

    nothing = Adapter({m: Factors(torch.zeros(8, i), torch.zeros(o, 8)) for m, (i, o) in WIDE.items()}, 8, 16.0)
    sent = drawn(nothing)
    return [Reply(f"o{at}", drawn(sent), 100.0 + at) for at in range(6)], Start(1, sent, lambda: sent)


def test_several_threads_find_the_same_bytes_in_the_same_order() -> None:
    alone = list(triangles.triangles(matrices(60)))
    for threads in (triangles.FEWEST_THREADS, 7, 100):
        together = list(triangles.triangles(matrices(60), threads))
        assert len(together) == 60
        assert all(map(torch.equal, alone, together))


def test_the_matrices_of_a_round_are_large_enough_to_be_handed_over(monkeypatch) -> None:
    handed = []
    pool = triangles._pool

    class Noting:
        def submit(self, do, matrix):
            handed.append(matrix.shape)
            return pool(4).submit(do, matrix)

    monkeypatch.setattr(triangles, "_pool", lambda threads: Noting())
    replies, start = a_large_round()
    losses(replies, fedit(replies, start), 4)
    assert len(handed) == len(WIDE) * 2


def test_drift_norms_and_cosines_do_not_depend_on_the_threads() -> None:
    replies, start = a_large_round()
    for aggregated in (fedit(replies, start), Aggregated(start.sent, own={"o1": replies[1].adapter})):
        assert losses(replies, aggregated, 4) == losses(replies, aggregated)
    assert updates(replies, start.sent, None, 4) == updates(replies, start.sent)


def test_changes_that_are_held_a_few_at_a_time_are_the_same(monkeypatch) -> None:
    replies, start = a_large_round()
    at_once = updates(replies, start.sent)
    monkeypatch.setattr(products, "MOST_KEPT", 1)
    assert updates(replies, start.sent) == at_once


@pytest.mark.parametrize("most", [2**25, 30_000])
def test_matrices_are_made_only_a_few_ahead(monkeypatch, most) -> None:
    monkeypatch.setattr(triangles, "MOST_NUMBERS", most)
    made = 0

    def making():
        nonlocal made
        for _ in range(100):
            made += 1
            yield torch.ones(700, 40, dtype=torch.float64)

    found = triangles.triangles(making(), 4)
    next(found)
    assert made == (9 if most == 2**25 else 2)
    assert len(list(found)) == 99


def test_what_cannot_be_factorized_is_raised_where_it_is_asked_for() -> None:
    broken = torch.ones(2**15, dtype=torch.float64)
    found = triangles.triangles([matrices(1)[0], broken, matrices(1)[0]], 4)
    assert next(found).shape == (40, 40)
    with pytest.raises(RuntimeError):
        next(found)
