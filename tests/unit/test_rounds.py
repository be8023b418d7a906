"""The plan of a round: every key of the configuration reaches the organizations, or the server."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from fedlora_tui.aggregation.server_step import ServerStep
from fedlora_tui.config import Config
from fedlora_tui.engine.plan import plan_of, server_step_of
from fedlora_tui.lora.cohort import LocalTraining


def test_every_setting_of_local_training_comes_from_the_configuration() -> None:
    config = Config()
    federation = replace(
        config.federation,
        seed=11,
        local_steps=12,
        local_epochs=13,
        batch_size=14,
        learning_rate=0.15,
        clip_norm=0.16,
        proximal_mu=0.17,
    )
    plan = plan_of(replace(config, federation=federation, lora=replace(config.lora, dropout=0.18)), 19)
    assert plan == LocalTraining(19, 11, 12, 13, 14, 0.15, 0.16, 0.17, 0.18, method=1)
    privacy = replace(
        config.privacy, mechanism="gaussian", clip_norm=0.19, clip="module", seeded_noise=True, withhold_losses=True
    )
    guarded = plan_of(replace(config, privacy=privacy), 19)
    assert (guarded.update_norm, guarded.by_module, guarded.seeded_noise, guarded.withhold_loss) == (0.19, 1, 1, 1)
    assert (plan.update_norm, plan.update_noise) == (0.0, 0.0), "with no mechanism nothing is held to a length"
    # What is its own: the factors, its rank, its B, its part of the noise. The method is told by its number.
    assert len(fields(LocalTraining)) == 9 + 4 + 5 + 1


@pytest.mark.parametrize(
    ("method", "trained"),
    [("fedit", ("AB", "AB")), ("ffa", ("B", "B")), ("rolora", ("B", "A")), ("fedsa", ("AB", "AB"))],
)
def test_what_an_organization_trains_and_sends_is_what_the_method_says(method: str, trained: tuple[str, str]) -> None:
    config = Config()
    config = replace(config, federation=replace(config.federation, aggregation=method))
    for round, factors in enumerate(trained, 1):
        plan = plan_of(config, round)
        assert plan.trains == set(factors)
        assert plan.sends == ({"A"} if method == "fedsa" else set(factors))
        assert plan.own_rank == 0


def test_every_setting_of_the_server_comes_from_the_configuration_and_two_of_them_from_the_round() -> None:
    config = Config()
    assert server_step_of(config, 1) == server_step_of(config, 20) == ServerStep("none", 1.0, 0.9, 0.99, 1e-3)
    numbers = replace(
        config.federation,
        rounds=10,
        server_learning_rate=0.5,
        server_momentum=0.8,
        server_warmup=4,
        server_cooldown=0.3,
        server_decay=0.7,
        server_tau=0.2,
    )

    def at(round: int, optimizer: str) -> ServerStep:
        return server_step_of(replace(config, federation=replace(numbers, server_optimizer=optimizer)), round)

    assert at(2, "fedavgm") == ServerStep("fedavgm", 0.5, 0.4, 0.7, 0.2)
    assert at(10, "fedavgm") == ServerStep("fedavgm", 0.125, 0.8, 0.7, 0.2)
    assert at(2, "fedadam") == ServerStep("fedadam", 0.5, 0.8, 0.7, 0.2)
