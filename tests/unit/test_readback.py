"""Losses are told in the order of their steps, each once, and late only where a GPU would have to wait."""

from __future__ import annotations

import torch

from fedlora_tui.lora.readback import STEPS_ELSEWHERE, Readback


def told_after(device, steps):
    """What was told after each step, and at the end."""
    told = []
    readback = Readback(torch.device(device), lambda numbers, along: told.append((numbers, along)))
    after = []
    for step in range(steps):
        readback.add(torch.tensor([float(step)]), step)
        after.append([along for _, along in told])
    readback.read_all()
    assert told == [([float(step)], step) for step in range(steps)]
    return after


def test_a_processor_tells_of_each_step_at_once():
    assert told_after("cpu", 3) == [[0], [0, 1], [0, 1, 2]]


def test_elsewhere_a_step_is_told_when_as_many_later_ones_have_been_asked_for():
    after = told_after("meta", 2 * STEPS_ELSEWHERE + 1)
    assert after[: 2 * STEPS_ELSEWHERE - 1] == [[]] * (2 * STEPS_ELSEWHERE - 1)
    assert after[-1] == list(range(STEPS_ELSEWHERE))
