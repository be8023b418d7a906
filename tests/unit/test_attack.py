"""What attackers send: multiples of what they changed of the factors, or all of them the same."""

from __future__ import annotations

import numpy as np
import pytest

from fedlora_tui.benchmarks.attack import Attack


def tensors(**values):
    return {name: np.array(value, dtype=np.float32) for name, value in values.items()}


SENT = tensors(a=[[1.0, 2.0], [3.0, 4.0]], b=[[0.0, 0.0]])
TRAINED = tensors(a=[[1.5, 2.0], [3.0, 3.0]], b=[[0.25, -0.5]])


def test_an_attacker_sends_its_change_of_both_factors_so_many_times_over():
    (sent,) = Attack(times=-10.0).poisoned([SENT], [TRAINED])
    assert sent["a"].tolist() == [[-4.0, 2.0], [3.0, 14.0]]
    assert sent["b"].tolist() == [[-2.5, 5.0]]
    assert {tensor.dtype for tensor in sent.values()} == {np.dtype(np.float32)}


def test_once_over_is_an_honest_reply():
    (sent,) = Attack(times=1.0).poisoned([SENT], [TRAINED])
    assert all((sent[name] == TRAINED[name]).all() for name in TRAINED)


def test_equal_attackers_send_the_first_ones_change():
    other = tensors(a=[[9.0, 9.0], [9.0, 9.0]], b=[[9.0, 9.0]])
    first, second = Attack(equal=True).poisoned([SENT, SENT], [TRAINED, other])
    for name in TRAINED:
        assert (first[name] == TRAINED[name]).all()
        assert (second[name] == TRAINED[name]).all()


def test_only_what_was_trained_is_sent_at_the_rank_that_was_trained():
    (sent,) = Attack(times=2.0).poisoned([SENT], [tensors(a=[[1.5, 2.0]])])
    assert list(sent) == ["a"]
    assert sent["a"].tolist() == [[2.0, 2.0]]


@pytest.mark.filterwarnings("error")
def test_what_is_too_large_becomes_infinite_without_a_word():
    (sent,) = Attack(times=1e40).poisoned([SENT], [TRAINED])
    assert np.isinf(sent["b"]).all()
