"""What may be said of a run's protection, in words: on the model card, and wherever an adapter is handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fedlora_tui.lora.export import UNPROTECTED
from fedlora_tui.privacy.accounting import Charge, in_words, spent

NOT_PROTECTED = (
    "a person whose text several organizations hold: each of those organizations gives away as much",
    "anything from whoever runs the server, unless organizations add the noise: then far less than is said here",
    "the run's journal: it names who trained in which round, and holds norms of single updates",
    "counts that organizations send: tokens, steps",
    "what other runs on the same text give away, which adds to this",
    "what is chosen by looking at hold-out losses, such as the best round",
)
OWN_B = (
    "**B of this adapter is its organization's own, trained with neither clipping nor noise: nothing below protects "
    "that organization from whoever holds it. What is said holds for all others, by way of A.**"
)
SEEDED = (
    "**Noise and lots followed from a seed, for tests: nothing below protects anybody. It is what the system's random "
    "numbers would give.**"
)
SUMMED = "The server saw the updates in sums alone (secure sum), which takes nothing from what an adapter gives away."
LOSSES = "losses that organizations send: they carry no noise"


def charges_of(kept: Sequence[Mapping[str, Any]]) -> tuple[Charge, ...]:
    """Read the sums that a checkpoint says were charged."""
    return tuple(Charge(line["noise_multiplier"], line["probability"], line["sampling"]) for line in kept)


def statement(settings: Mapping[str, Any], kept: Sequence[Mapping[str, Any]], own: bool = False) -> str:
    """Give the privacy statement of an adapter, from its run's [privacy] settings and what was charged up to it.

    `own`: it is that of one organization, whose B never left it, and has no noise.
    """
    charges = charges_of(kept)
    if settings.get("mechanism", "none") == "none" or not charges:
        return f"{UNPROTECTED} {SUMMED}" if settings.get("secure_sum") else UNPROTECTED
    delta = settings["delta"]
    found = spent(charges, delta)
    noises = sorted({charge.noise_multiplier for charge in charges})
    unprotected = [*NOT_PROTECTED, *(() if settings["withhold_losses"] else (LOSSES,))]
    lines = [
        *([SEEDED, ""] if settings["seeded_noise"] else []),
        *([OWN_B, ""] if own else []),
        f"Differential privacy of whole organizations: epsilon = {in_words(found.epsilon)} at delta = {delta:g}.",
        "",
        "| | |",
        "| --- | --- |",
        f"| mechanism | {_mechanism(settings, noises)} |",
        f"| epsilon, delta | {in_words(found.epsilon)}, {delta:g} |",
        f"| noised sums so far | {len(charges)} |",
        f"| unit of protection | {_unit(charges)} |",
        f"| accountant | {found.accountant} (dp-accounting), the lower one of two bounds, RDP and PLD |",
        f"| sampling assumption | {_sampling(charges)} |",
        *(_for_organizations(charges, delta) if settings.get("secure_sum") else ()),
        f"| source of the noise | {_source(settings)} |",
        *(
            ["| what the server saw | sums of updates, and no single one (secure sum) |"]
            if settings.get("secure_sum")
            else []
        ),
        "",
        "Not protected:",
        "",
        *(f"- {what}" for what in unprotected),
    ]
    return "\n".join(lines)


def _mechanism(settings: Mapping[str, Any], noises: Sequence[float]) -> str:
    clip = "by module" if settings["clip"] == "module" else "jointly over the factors that travel"
    who = (
        "the organizations, the server adding what is missing" if settings["noise"] == "organizations" else "the server"
    )
    several = " to ".join(f"{noise:g}" for noise in dict.fromkeys((noises[0], noises[-1])))
    return (
        f"gaussian: each update clipped to {settings['clip_norm']:g} {clip}; noise of {several} times that on their "
        f"sum, added by {who}"
    )


def _unit(charges: Sequence[Charge]) -> str:
    if any(charge.sampling == "fixed" and charge.amplified for charge in charges):
        return "one organization with all of its text, replaced by another"
    return "one organization with all of its text, there or not"


def _sampling(charges: Sequence[Charge]) -> str:
    shares = sorted({charge.probability for charge in charges})
    if shares[0] == 1.0:
        return "none: all organizations in every sum"
    share = " to ".join(f"{share:.4g}" for share in dict.fromkeys((shares[0], shares[-1])))
    how = "each by a lot of its own" if charges[0].sampling == "poisson" else "a fixed number of them"
    return f"{how} ({share} of them a round), and who was drawn stays secret"


def _for_organizations(charges: Sequence[Charge], delta: float) -> list[str]:
    """Give a row with epsilon as it is for those who see whom a sum holds, where not all are in it.

    At worst an organization was drawn for every one of them.
    """
    if not any(charge.amplified for charge in charges):
        return []
    known = spent([replace(charge, probability=1.0) for charge in charges], delta)
    why = "there or not: in a secure sum they see who else is in it"
    return [f"| epsilon for the other organizations | {in_words(known.epsilon)}, {why} |"]


def _source(settings: Mapping[str, Any]) -> str:
    if settings["seeded_noise"]:
        return "a seed that stands in the run's configuration: FOR TESTS, it protects nothing"
    return "the operating system's random numbers"
