"""Where an organization is at home: its base and its tokens, as the engine reads them, kept from message to message."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fedlora_tui import __version__
from fedlora_tui.config import Config, load, parse
from fedlora_tui.engine.prepare import Texts
from fedlora_tui.errors import UserError
from fedlora_tui.federation import FLOWER
from fedlora_tui.federation.client_app import ClientSide
from fedlora_tui.federation.introduction import Introduction
from fedlora_tui.federation.messages import spec_of
from fedlora_tui.lora import base_model
from fedlora_tui.lora.cohort import StepDone
from fedlora_tui.lora.fingerprint import fingerprint
from fedlora_tui.organizations.text import Documents

DATA, ORGANIZATION, BASE = "data", "organization", "base"
"""Keys of a SuperNode's own configuration: its folder or file of text, its name, where its base lies (left out: where
the run says)."""

CONFIG = "config"
"""The key of a Flower run's own configuration that has a whole config.toml, as text."""


class Nobody:
    """Watches an organization of its own machine: nobody does."""

    def steps(self, round: int, done: Sequence[StepDone]) -> None:
        """A step is over."""

    def testing(self, round: int, organization: str) -> None:
        """It begins to measure."""

    def between(self) -> None:
        """Nobody waits."""

    def lanes_begin(self, count: int) -> None:
        """There is one."""

    def lane_began(self, lane: int) -> None:
        """There is one."""

    def lane_has(self, runs: Collection[int]) -> None:
        """There is one."""

    def lane_ended(self) -> None:
        """There is one."""

    def shrunk(self, cohort: int) -> None:
        """It goes alone."""


class OwnText:
    """The source of a node: its own text alone, which lies at a place that is told besides."""

    passed_over: Mapping[str, Mapping[str, int]] = {}

    def first(self, count: int | None) -> tuple[str, ...]:
        """Give nobody."""
        return ()

    def another(self, taken: Collection[str]) -> str | None:
        """Give nobody."""
        return None

    def documents(self, name: str) -> Documents:
        """Refuse: there is no text but the node's own."""
        raise UserError(f"{name} is another organization")

    def names_left_reason(self) -> str:
        """Say why."""
        return "a node is one organization"


@dataclass(frozen=True)
class Home:
    """An organization at home in this process: its name, its base, its tokens."""

    organization: str
    config: Config
    base: base_model.BaseModel
    texts: Texts

    def side(self) -> ClientSide:
        """Give what trains and measures for this organization."""
        spec = spec_of(self.config.lora, self.base.targets)
        return ClientSide(self.base, spec, self.texts.rows, Nobody(), self.config.privacy.secure_sum)

    def introduction(self) -> Introduction:
        """Say who this is."""
        counts = self.texts.counts(self.organization)
        return Introduction(
            organization=self.organization,
            version=__version__,
            flower=FLOWER,
            torch=torch.__version__,
            base=fingerprint(self.base),
            documents=counts.documents,
            tokens=counts.tokens,
            holdout_tokens=counts.holdout_tokens,
            rows=counts.more.rows,
            longest=counts.more.longest,
            kinds=counts.more.kinds,
        )


_homes: dict[tuple[str, str, str, str], Home] = {}
_opening = threading.Lock()


def home_of(node_config: Mapping[str, Any], run_config: Mapping[str, Any]) -> Home:
    """Give the home of a node's organization in a run, opened once in a process. Raises UserError."""
    text = str(run_config.get(CONFIG, ""))
    name, place = _given(node_config, ORGANIZATION), _given(node_config, DATA)
    own_base = str(node_config.get(BASE, ""))
    with _opening:
        key = text, name, place, own_base
        if key not in _homes:
            # A process serves one run at a time: another run's home is let go of.
            _homes.clear()
            _homes[key] = _open(parse(text, "the run's configuration") if text else load(None), name, place, own_base)
        return _homes[key]


def _given(node_config: Mapping[str, Any], name: str) -> str:
    value = node_config.get(name)
    if value in (None, ""):
        raise UserError(f"the SuperNode's configuration has no {name}: give it with --node-config '{name}=\"...\"'")
    return str(value)


def _open(config: Config, organization: str, place: str, own_base: str) -> Home:
    if own_base:
        config = replace(config, model=replace(config.model, base=own_base))
    base = base_model.load(config.model, config.lora)
    texts = Texts(OwnText(), base, config)
    texts.lie_at(organization, f"folder:{Path(place).expanduser().absolute()}")
    texts.read(organization)
    return Home(organization, config, base, texts)
