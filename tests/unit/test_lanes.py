"""Work goes over lanes in equal shares, keeps its order, and leaves the processors as it found them."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from fedlora_tui.lora.lanes import MOST_LANES, in_lanes, lanes_on, parted
from tests.tiny_models import FAMILIES, base_of


@pytest.mark.parametrize("pieces", [0, 1, 2, 5, 6, 7])
def test_results_stand_in_the_order_of_the_work_whatever_lane_did_it(pieces):
    taken = {}

    def do(lane, work):
        taken[lane] = list(work)
        return [(lane, piece) for piece in work]

    found = in_lanes("abc", parted(range(pieces), 3), do)
    assert [piece for _, piece in found] == list(range(pieces))
    sizes = [len(work) for work in taken.values()]
    assert max(sizes, default=0) == -(-pieces // 3)
    assert sum(sizes) == pieces


def test_lanes_go_side_by_side_on_a_share_of_the_processors_each_and_give_them_back():
    before, both, seen = torch.get_num_threads(), threading.Barrier(2, timeout=60), []
    torch.set_num_threads(4)

    def do(lane, work):
        both.wait()
        seen.append(torch.get_num_threads())
        return work

    try:
        in_lanes([1, 2], [[1], [2]], do)
        assert seen == [2, 2]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_one_piece_of_work_has_all_processors_and_no_thread_of_its_own():
    where = []
    in_lanes([1, 2], parted(["only"], 2), lambda lane, work: where.append(threading.current_thread()) or work)
    assert where == [threading.current_thread()]


def test_the_error_of_a_lane_is_raised_when_all_have_ended():
    ended = threading.Event()

    def do(lane, work):
        if lane == 1:
            raise KeyError("lane 1")
        ended.set()
        return work

    threads = torch.get_num_threads()
    with pytest.raises(KeyError, match="lane 1"):
        in_lanes([1, 2], [[1], [2]], do)
    assert ended.is_set()
    assert torch.get_num_threads() == threads


def test_processors_have_several_lanes_and_a_quantized_base_has_one():
    base = base_of(FAMILIES["gpt2"]())
    assert lanes_on(base) == min(torch.get_num_threads(), MOST_LANES)
    assert lanes_on(replace(base, quantization="8bit")) == 1
