"""What a round's settings mean: for the organizations that train, and for the server's own step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fedlora_tui.aggregation import METHODS
from fedlora_tui.aggregation.server_step import ServerStep, cooled, warmed
from fedlora_tui.config import RULES, Config
from fedlora_tui.lora.cohort import LocalTraining


def plan_of(config: Config, round: int) -> LocalTraining:
    """Give what every organization does in a round."""
    federation, method, privacy = config.federation, METHODS[config.federation.aggregation], config.privacy
    return LocalTraining(
        round=round,
        seed=federation.seed,
        local_steps=federation.local_steps,
        local_epochs=federation.local_epochs,
        batch_size=federation.batch_size,
        learning_rate=federation.learning_rate,
        clip_norm=federation.clip_norm,
        proximal_mu=federation.proximal_mu,
        dropout=config.lora.dropout,
        train_a=int("A" in method.trains(round)),
        train_b=int("B" in method.trains(round)),
        keep_b=int(method.keeps_b_at_home),
        update_norm=privacy.clip_norm if privacy.mechanism != "none" else 0.0,
        by_module=int(privacy.clip == "module"),
        seeded_noise=int(privacy.seeded_noise),
        withhold_loss=int(privacy.withhold_losses),
        method=RULES["federation.aggregation"].words.index(method.name) + 1,
    )


def own_plan(plan: LocalTraining, config: Config, organization: str, rank: int) -> LocalTraining:
    """Give an organization's plan: the round's, at its own rank where that is not the adapter's `rank`."""
    own = config.lora.rank_of(organization)
    return plan if own == rank else replace(plan, own_rank=own)


def most_steps(config: Config, rows: Iterable[int]) -> int:
    """Give the largest number of local steps in a round of organizations with so many rows each."""
    federation = config.federation
    if not federation.local_epochs:
        return federation.local_steps
    return federation.local_epochs * -(-max(rows, default=0) // federation.batch_size)


def server_step_of(config: Config, round: int) -> ServerStep:
    """Give how the server goes on from a round."""
    federation = config.federation
    grown = warmed(round, federation.server_warmup) if federation.server_optimizer == "fedavgm" else 1.0
    return ServerStep(
        federation.server_optimizer,
        federation.server_learning_rate * cooled(round, federation.rounds, federation.server_cooldown),
        federation.server_momentum * grown,
        federation.server_decay,
        federation.server_tau,
    )
