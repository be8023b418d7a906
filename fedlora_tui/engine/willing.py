"""Whether an organization takes part in a run as it is set now: its policy, as its node told it, against the settings.

What a node's introduction does not tell (how many bytes a message brings, how often it trained) it judges by itself.
"""

from __future__ import annotations

import math
import re

from fedlora_tui.config import Config
from fedlora_tui.engine.plan import most_steps
from fedlora_tui.federation.introduction import LONGEST_POLICY, Introduction
from fedlora_tui.node_policy import METHOD, METHODS, Asked, NodePolicy, policy_said, refusal

_METHOD = re.compile(re.escape(METHOD).replace(r"\{method\}", "(.+)"))


def asked_of(config: Config, said: Introduction) -> Asked:
    """Give what a round asks of an organization, as far as that is known before it."""
    federation, privacy = config.federation, config.privacy
    noised = privacy.mechanism != "none"
    named = "none" if privacy.seeded_noise else privacy.mechanism
    # How much noise is its own depends on who is drawn: any is enough here, and the node looks closer.
    own_noise = math.inf if noised and privacy.noise == "organizations" and not privacy.seeded_noise else 0.0
    return Asked(
        rank=max(config.lora.rank_of(said.organization), *config.lora.rank_pattern.values(), 0),
        megabytes=0.0,
        method=federation.aggregation,
        steps=most_steps(config, [said.rows]),
        batch_size=federation.batch_size,
        mechanism=named,
        clip=privacy.clip_norm if noised else 0.0,
        own_noise=own_noise,
        epsilon=privacy.target_epsilon if named != "none" else 0.0,
        summed_unseen=privacy.secure_sum,
        loss_leaves=not privacy.withhold_losses,
    )


def unwilling(asked: Asked, said: Introduction) -> str:
    """Say why an organization takes no part in what is asked, empty where nothing of what its node told forbids it."""
    reason = refusal(_policy(said), asked)
    return refused_in_words(reason, said) if reason is not None else ""


def refused_in_words(reason: str, said: Introduction) -> str:
    """Say a node's reason (of the forms of `node_policy`) as one of its organization."""
    name, method = said.organization, _METHOD.fullmatch(reason)
    if method is None:
        return f"{name}'s policy refuses this run: it {reason.removeprefix('its policy ')}"
    allowed = _policy(said).training.methods
    known = [own for own in METHODS if own in allowed] if isinstance(allowed, tuple) else []
    return f"{name}'s policy refuses {method[1]}: it allows {', '.join(known) or 'other methods'} alone"


def _policy(said: Introduction) -> NodePolicy:
    """Read the policy that an introduction tells; of one that did not fit into it, all but what was cut off."""
    cut = len(said.policy) >= LONGEST_POLICY
    return policy_said(said.policy.rpartition(", ")[0] if cut else said.policy)
