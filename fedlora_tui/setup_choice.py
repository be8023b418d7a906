"""What was chosen on the setup screen as a configuration: which keys it sets, what is not allowed, the file's text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fedlora_tui.config import LEFT_OUT, RULES, Config, Setting, load, to_literal, to_toml
from fedlora_tui.console.setup.offer import (
    BASE,
    DATA,
    DEVICE,
    FIELDS,
    METHOD,
    NOISE,
    ORGANIZATIONS,
    PATH,
    PROTECTION,
    RANK,
    ROUNDS,
    SECURE_SUM,
    Chosen,
)
from fedlora_tui.errors import UserError

KEYS = {
    BASE: "model.base",
    DATA: "data.source",
    PATH: "data.path",
    ORGANIZATIONS: "federation.organizations",
    RANK: "lora.rank",
    METHOD: "federation.aggregation",
    PROTECTION: "privacy.mechanism",
    ROUNDS: "federation.rounds",
    DEVICE: "model.device",
}
"""The key of the configuration that each field is."""

EPSILON, SUMMED = "privacy.target_epsilon", "privacy.secure_sum"
FURTHER = {EPSILON: PROTECTION, SUMMED: PROTECTION}
"""Further keys that a field sets."""

NEEDED = {"folder": "type the folder of texts", "table": "type the table's file", "hub": "type the dataset's id"}


def comments() -> dict[str, tuple[str, str]]:
    """Give the key of each field, and what the configuration says of it."""
    found = {name: (key, RULES[key].comment) for name, key in KEYS.items()}
    both = "noise within target_epsilon, or secure_sum: docs/privacy.md"
    return {**found, PROTECTION: ("[privacy]", both)}


def values(chosen: Chosen) -> dict[str, Any]:
    """Give the keys that a choice sets; the number of organizations is left out where all take part."""
    found = {
        KEYS[BASE]: chosen.base,
        KEYS[DEVICE]: chosen.device,
        KEYS[RANK]: chosen.rank,
        KEYS[ROUNDS]: chosen.rounds,
        KEYS[DATA]: chosen.source,
        KEYS[PATH]: chosen.path,
    }
    if chosen.protection == NOISE:
        found |= {KEYS[PROTECTION]: "gaussian", EPSILON: _number(chosen.epsilon)}
    elif chosen.protection == SECURE_SUM:
        found[SUMMED] = True
    return found if chosen.organizations is None else {**found, KEYS[ORGANIZATIONS]: chosen.organizations}


def _number(typed: str) -> float | str:
    """Read a budget; what is no number stays as it was typed, for the configuration to refuse."""
    try:
        return float(typed)
    except ValueError:
        return typed


def settled(chosen: Chosen) -> Config:
    """Give the configuration that a run of this choice has. Raises UserError where something is not allowed.

    What the error says begins with the field's name.
    """
    names = {key: name for name, key in KEYS.items()} | FURTHER
    return load(None, [Setting(key, to_literal(value), names[key]) for key, value in values(chosen).items()])


def complaints(chosen: Chosen) -> dict[str, str]:
    """Say by field what is not allowed, as far as the words alone tell."""
    if not chosen.base:
        return {BASE: "type a Hugging Face id, a folder or a .gguf file"}
    if chosen.source in NEEDED and not chosen.path:
        return {PATH: NEEDED[chosen.source]}
    if chosen.protection == NOISE and _number(chosen.epsilon) == 0:
        return {PROTECTION: "type a budget above 0: the less, the more noise"}
    try:
        settled(chosen)
    except UserError as error:
        name, _, words = str(error).partition(": ")
        return {name: words} if name in FIELDS else {BASE: str(error)}
    return {}


def usual_rounds(base: str) -> int:
    """Give the rounds of a run with this base where nobody says how many."""
    return load(None, [Setting(KEYS[BASE], to_literal(base), BASE)]).federation.rounds


def text_of(chosen: Chosen | None) -> str:
    """Write the file: every key with its comment, those that were chosen with their values.

    Keys that depend on others and were not chosen are comments. With None nothing was chosen.
    """
    given = {} if chosen is None else values(chosen)
    config = Config()
    for key, value in given.items():
        section, _, name = key.partition(".")
        config = replace(config, **{section: replace(getattr(config, section), **{name: value})})
    return to_toml(config, [key for key in LEFT_OUT if key not in given])


def lines_of(chosen: Chosen) -> list[str]:
    """Give the lines of the file that hold what was chosen, each section's name before the first of its keys."""
    return list(_lines(text_of(chosen), values(chosen)))


def _lines(text: str, wanted: dict[str, Any]) -> Iterator[str]:
    section, told = "", ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif f"{section}.{line.partition('=')[0].strip()}" in wanted and not line.startswith("#"):
            if told != section:
                yield f"[{section}]"
            told = section
            yield line
