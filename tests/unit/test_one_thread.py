"""Aggregation computes on one thread, and leaves torch as it was."""

from __future__ import annotations

import threading

import pytest
import torch

from fedlora_tui.engine.one_thread import one_thread


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_inside_there_is_one_thread_and_afterwards_as_many_as_before() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_an_error_inside_leaves_as_many_as_before() -> None:
    with pytest.raises(ZeroDivisionError), one_thread():
        raise ZeroDivisionError
    assert torch.get_num_threads() == 3


def test_two_runs_at_once_both_put_back_what_the_first_one_found() -> None:
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    after = []

    def first() -> None:
        with one_thread():
            first_in.set()
            second_in.wait()
        first_out.set()

    def second() -> None:
        first_in.wait()
        with one_thread():
            second_in.set()
            first_out.wait()
        after.append(torch.get_num_threads())

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert after == [3]
    assert torch.get_num_threads() == 3
