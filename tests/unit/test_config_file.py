"""The config.toml at the root: every key, with its comment and its default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fedlora_tui.config import LEFT_OUT, RULES, Config, load, to_toml

FILE = Path(__file__).parents[2] / "config.toml"


def test_is_what_the_configuration_writes() -> None:
    written = to_toml(Config(), unset=LEFT_OUT)
    assert FILE.read_text(encoding="utf-8") == written, "write it anew: make config"


def test_loads_to_the_defaults() -> None:
    config = load(FILE)
    assert config.given == frozenset(RULES) - set(LEFT_OUT)
    assert replace(config, given=frozenset()) == load(None)


def test_leaves_the_number_of_organizations_to_a_folder() -> None:
    config = load(FILE)
    folder = replace(config, data=replace(config.data, source="folder", path="texts"))
    assert folder.organizations is None
