"""The plan of a round: every key of the configuration reaches the organizations."""

from __future__ import annotations

from dataclasses import fields, replace

from fedlora_tui.config import Config
from fedlora_tui.engine.rounds import plan_of
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
    assert plan == LocalTraining(19, 11, 12, 13, 14, 0.15, 0.16, 0.17, 0.18)
    assert len(fields(LocalTraining)) == 9
