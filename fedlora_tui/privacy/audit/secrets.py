"""Secrets that are planted into training text so that an audit can look for them, and controls that never were.

A secret is a sentence of one form with a code of its own (Carlini et al. 2019, https://arxiv.org/abs/1802.08232). Codes
follow from the run's seed: nothing of them is kept or told, and an audit that has the run's configuration makes them
again. Whoever knows the seed knows the codes: they measure, and protect nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from fedlora_tui.config import Config
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.draw import below, seeded, shuffled
from fedlora_tui.organizations.text import Document, PrivateText

DIGITS = 4
SPACE = 10**DIGITS
"""|R|: as many codes there are."""

HEAD = "The code of the vault is"
NAMES, COUNT = "audit.organizations", "audit.secrets"


def code_text(code: int) -> str:
    """Write a sentence up to the end of its code, digit by digit."""
    return f"{HEAD} {' '.join(f'{code:0{DIGITS}d}')}"


def sentence(code: int) -> str:
    """Write the whole sentence that is planted."""
    return f"{code_text(code)}."


def chosen(config: Config, names: Sequence[str]) -> Config:
    """Give the configuration with the names of the organizations that a secret is planted in, drawn from the seed.

    Who is named already stays. Raises UserError where more are asked for than there are.
    """
    audit = config.audit
    if audit.organizations or not audit.secrets:
        return config
    if audit.secrets > len(names):
        raise UserError(
            f"{COUNT} = {audit.secrets}: each is planted in an organization of its own, and there are {len(names)}; "
            f"ask for {len(names)} or fewer"
        )
    drawn = set(shuffled(seeded("secrets", config.federation.seed), names)[: audit.secrets])
    return replace(config, audit=replace(audit, organizations=tuple(name for name in names if name in drawn)))


def codes(seed: int, organizations: Sequence[str]) -> dict[str, int]:
    """Give the code of each organization's secret, all of them different."""
    taken: dict[str, int] = {}
    for name in organizations:
        taken[name] = _another(("secret", seed, name), taken.values())
    return taken


def controls(seed: int, planted: Mapping[str, int]) -> list[int]:
    """Give as many codes that were planted nowhere, one at least."""
    found: list[int] = []
    for number in range(max(len(planted), 1)):
        found.append(_another(("control", seed, number), [*planted.values(), *found]))
    return found


def planted(text: PrivateText, code: int, copies: int, seed: int) -> PrivateText:
    """Put a secret's copies at drawn places among the documents to train on; the hold-out stays as it is."""
    rng = seeded("places of the secret", seed, text.organization)
    train = list(text.train)
    for _ in range(copies):
        train.insert(below(rng, len(train) + 1), Document(sentence(code)))
    return replace(text, train=tuple(train))


def _another(parts: tuple[object, ...], taken: Collection[int]) -> int:
    rng = seeded(*parts)
    while (code := below(rng, SPACE)) in taken:
        pass
    return code
