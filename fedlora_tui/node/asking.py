"""What a message asks of an organization, read for its policy to judge before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from flwr.app import Context, Message, MessageType

from fedlora_tui.aggregation import METHODS
from fedlora_tui.config import Config
from fedlora_tui.federation.messages import BASE_ALONE, SECURE, arrays_weight, read_config, read_plan, read_sent
from fedlora_tui.federation.messages import read_version as read_version
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.node_policy import METHODS as NAMES
from fedlora_tui.node_policy import MIB, Asked, NodePolicy, TrainingLimits, refusal

UNKNOWN = "unknown"
"""The method of a message that trains other factors than the method that it names."""


@dataclass(frozen=True)
class Announced:
    """What a run says of itself in the configuration that it was begun with; `epsilon` is 0 where it has no budget.

    `module_rank` is the highest that a module has by itself, whatever the rank of the adapter; 0 where none has.
    """

    method: str
    mechanism: str
    epsilon: float
    module_rank: int = 0


def announced(config: Config) -> Announced:
    """Read what a run says of itself, as far as a policy judges it; noise that a seed gives away is none."""
    privacy = config.privacy
    mechanism = "none" if privacy.seeded_noise else privacy.mechanism
    epsilon = privacy.target_epsilon if mechanism != "none" else 0.0
    module_rank = max(config.lora.rank_pattern.values(), default=0)
    return Announced(config.federation.aggregation, mechanism, epsilon, module_rank)


@dataclass(frozen=True)
class Judge:
    """A policy over what a run's messages ask of one organization.

    `rows` are those that it trains on, `trained` the rounds of the run that it trained so far.
    """

    policy: NodePolicy
    run: Announced
    rows: Callable[[], int]
    trained: Callable[[], int]

    def refusal(self, message: Message, context: Context) -> str | None:
        """Say why the policy does not allow a message, None where it does. Raises Refused where it cannot be read."""
        return refusal(self.policy, self.asked(message))

    def asked(self, message: Message) -> Asked:
        """Read what a train or an evaluate message asks. Raises Refused."""
        config, megabytes = read_config(message), arrays_weight(message) / MIB
        method, mechanism, epsilon = self.run.method, self.run.mechanism, self.run.epsilon
        if message.metadata.message_type != MessageType.TRAIN:
            base_alone = read_version(config) == BASE_ALONE
            rank = 0 if base_alone else max(read_sent(message).rank, self.run.module_rank)
            return Asked(rank, megabytes, method, trains=False, mechanism=mechanism, epsilon=epsilon)
        plan = read_plan(config)
        clip, noise = _sound(plan.update_norm), 0.0 if plan.seeded_noise else _sound(plan.update_noise)
        limited = self.policy.training.max_rounds < TrainingLimits.max_rounds
        return Asked(
            rank=max(plan.own_rank or read_sent(message).rank, self.run.module_rank),
            megabytes=megabytes,
            method=_method(plan, method),
            steps=_steps(plan, self.rows),
            batch_size=plan.batch_size,
            trained=self.trained() if limited else 0,
            mechanism=mechanism,
            clip=clip,
            own_noise=noise / clip if clip else 0.0,
            epsilon=epsilon,
            summed_unseen=SECURE in message.content,
            loss_leaves=not plan.withhold_loss,
        )


def _sound(number: float) -> float:
    """Give a length as it is, 0 where it is none: what is not finite limits nothing."""
    return number if math.isfinite(number) and number > 0.0 else 0.0


def _method(plan: LocalTraining, begun_with: str) -> str:
    """Give the method that a plan names, where it trains the factors that this method trains."""
    named = NAMES[plan.method - 1] if 0 < plan.method <= len(NAMES) else begun_with
    method = METHODS.get(named)
    fits = method and method.trains(plan.round) == plan.trains and method.keeps_b_at_home == bool(plan.keep_b)
    return named if fits else UNKNOWN


def _steps(plan: LocalTraining, rows: Callable[[], int]) -> int:
    """Give how many local steps a plan asks for, those of whole passes too."""
    if not plan.local_epochs:
        return plan.local_steps
    return plan.local_epochs * math.ceil(rows() / max(plan.batch_size, 1))
