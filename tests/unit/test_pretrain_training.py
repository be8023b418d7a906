"""The training of the embedded base: by steps it is repeatable, and an interruption leaves no trace in it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from pretrain_training import (
    CONTEXT,
    CURVE_POINTS,
    WARM_UP_SHARE,
    Budget,
    Clock,
    Recipe,
    Tokens,
    Training,
    batch_at,
    chosen_device,
    rate_factor,
)

RECIPE = Recipe(vocabulary=300, layers=1, width=16, heads=2, batch=2, orthogonal_rate=0.02)
STEPS = 6


def text(sequences: int) -> Tokens:
    return np.random.default_rng(0).integers(300, size=sequences * CONTEXT + 1).astype(np.uint16)


def training(folder: Path, recipe: Recipe = RECIPE) -> Training:
    return Training(recipe, seed=3, device=torch.device("cpu"), fast=False, checkpoint=folder / "checkpoint.pt")


def stopped_after(steps: int, subject: Training, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run the training with a termination arriving in the middle of a step."""
    take_step = subject.take_step

    def interrupted(batch: torch.Tensor, factor: float) -> float:
        if subject.clock.step == steps - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return take_step(batch, factor)

    monkeypatch.setattr(subject, "take_step", interrupted)
    return subject.run(text(9), text(2), Budget(1.0, STEPS))


def test_interrupted_and_resumed_training_gives_the_same_weights_and_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = training(tmp_path / "whole")
    assert whole.run(text(9), text(2), Budget(1.0, STEPS))

    first = training(tmp_path / "parts")
    assert not stopped_after(2, first, monkeypatch)
    assert first.clock.step == 2
    second = training(tmp_path / "parts")
    second.restore()
    assert second.run(text(9), text(2), Budget(1.0, STEPS))

    assert second.clock.step == whole.clock.step == STEPS
    assert second.clock.loss == whole.clock.loss
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, second.model.state_dict()[name]), name
    assert [(p.tokens, p.training_loss, p.validation_loss) for p in second.clock.curve] == [
        (p.tokens, p.training_loss, p.validation_loss) for p in whole.clock.curve
    ]
    assert len(whole.clock.curve) == STEPS


def test_checkpoint_of_another_recipe_is_refused_in_one_line(tmp_path: Path) -> None:
    training(tmp_path).write_checkpoint()
    other = training(tmp_path, Recipe(vocabulary=300, layers=2, width=16, heads=2, batch=2))
    with pytest.raises(SystemExit, match="another model"):
        other.restore()


def test_every_matrix_in_the_blocks_is_orthogonalized_and_every_parameter_is_trained_once(tmp_path: Path) -> None:
    subject = training(tmp_path)
    adam, muon = ([id(p) for group in o.param_groups for p in group["params"]] for o in subject.optimizers)
    blocks = {id(p) for name, p in subject.model.named_parameters() if ".h." in name and p.ndim == 2}
    assert set(muon) == blocks
    assert sorted(adam + muon) == sorted(id(p) for p in subject.model.parameters())


def test_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    assert rate_factor(0.0) == 0.0
    assert rate_factor(WARM_UP_SHARE) == 1.0
    assert rate_factor(1.0) == 0.0
    assert rate_factor(0.5) == pytest.approx(0.5 / (1 - WARM_UP_SHARE))


def test_share_goes_by_steps_where_they_are_given_else_by_the_time() -> None:
    clock = Clock(step=30, seconds=90.0)
    assert Budget(minutes=3.0).share(clock) == 0.5
    assert Budget(minutes=3.0, steps=40).share(clock) == 0.75
    assert Budget(minutes=1.0).share(clock) == 1.0


def test_one_pass_shows_every_sequence_at_most_once_and_the_next_one_another_order() -> None:
    tokens = np.arange(9 * CONTEXT + 1).astype(np.uint16)
    passes = [[int(row[0]) for step in range(n * 4, n * 4 + 4) for row in batch_at(step, tokens, 0, 2)] for n in (0, 1)]
    for starts in passes:
        assert len({start // CONTEXT for start in starts}) == 8
    assert passes[0] != passes[1]


def test_device_is_the_one_asked_for_and_by_itself_one_that_is_there() -> None:
    assert chosen_device("cpu").type == "cpu"
    assert chosen_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert CURVE_POINTS >= 15
