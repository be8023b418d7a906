"""Where an organization is at home: its base and its tokens, as the engine reads them, kept from message to message."""

from __future__ import annotations

import gc
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fedlora_tui import __version__
from fedlora_tui.config import Config, load, parse, resolved
from fedlora_tui.engine.prepare import Texts
from fedlora_tui.errors import UserError
from fedlora_tui.federation import FLOWER
from fedlora_tui.federation.client_app import ClientSide
from fedlora_tui.federation.introduction import Introduction
from fedlora_tui.federation.messages import spec_of
from fedlora_tui.federation.run_config import CONFIG
from fedlora_tui.lora import base_model
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.cohort import StepDone
from fedlora_tui.lora.fingerprint import fingerprint
from fedlora_tui.organizations.roster import call_roster
from fedlora_tui.organizations.text import Documents

DATA, ORGANIZATION, BASE = "data", "organization", "base"
"""Keys of a SuperNode's own configuration: its folder or file of text, its name, where its base lies (left out: where
the run says)."""

PARTITION, PARTITIONS = "partition-id", "num-partitions"
"""What a node of Flower's simulation has in place of those: its place, and how many there are."""


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
    base: BaseModel
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


class Homes:
    """The homes of this process: one on an organization's own machine, several in Flower's simulation.

    What is opened for a run is kept from message to message; another run takes its place. Its base stays for the next
    run that asks for the same, and is let go of before another is loaded: memory may hold no second one.
    """

    def __init__(self) -> None:
        self._opening = threading.Lock()
        self._run: tuple[str, str] | None = None
        self._config: Config
        self._base: BaseModel | None = None
        self._loaded: tuple[object, object] | None = None
        self._homes: dict[tuple[str, str], Home] = {}

    def of(self, node_config: Mapping[str, Any], run_config: Mapping[str, Any]) -> Home:
        """Give the home of a node's organization in a run. Raises UserError where it is not set up for it."""
        run = str(run_config.get(CONFIG, "")), str(node_config.get(BASE, ""))
        with self._opening:
            if run != self._run:
                config = _configured(*run)
                # A run whose base is not here must leave nothing of itself to the run before, which begins anew then.
                self._run = None
                self._homes.clear()
                self._lay(config)
                self._config, self._run = config, run
            whose = ORGANIZATION if DATA in node_config else PARTITION
            known = str(node_config.get(whose, "")), str(node_config.get(DATA, ""))
            if known not in self._homes:
                self._homes[known] = self._opened(node_config)
            return self._homes[known]

    def _lay(self, config: Config) -> None:
        """Have the base of a run here. Raises UserError."""
        wanted = (config.model, config.lora)
        if self._base is None or wanted != self._loaded:
            self._base = self._loaded = None
            # What refers to itself holds its weights until somebody looks.
            gc.collect()
            self._base = base_model.load(*wanted)
            self._loaded = wanted

    def _opened(self, node_config: Mapping[str, Any]) -> Home:
        assert self._base is not None
        if PARTITION in node_config and DATA not in node_config:
            return self._rehearsed(int(node_config[PARTITION]), int(node_config.get(PARTITIONS, 0)))
        organization, place = (_given(node_config, name) for name in (ORGANIZATION, DATA))
        texts = Texts(OwnText(), self._base, self._config)
        texts.lie_at(organization, f"folder:{Path(place).expanduser().absolute()}")
        texts.read(organization)
        return Home(organization, self._config, self._base, texts)

    def _rehearsed(self, place: int, many: int) -> Home:
        """Give the home of one of so many organizations of the run's own source: Flower's simulation numbers them."""
        assert self._base is not None
        config = resolved(self._config, many)
        roster = call_roster(config)
        if place >= len(roster.names):
            raise UserError(f"organization {place + 1} of the simulation: data.source has {len(roster.names)}")
        texts = Texts(roster.source, self._base, config)
        texts.read(roster.names[place])
        return Home(roster.names[place], config, self._base, texts)


HOMES = Homes()
"""Those of this process."""


def _configured(text: str, own_base: str) -> Config:
    config = parse(text, "the run's configuration") if text else load(None)
    return replace(config, model=replace(config.model, base=own_base)) if own_base else config


def _given(node_config: Mapping[str, Any], name: str) -> str:
    value = node_config.get(name)
    if value in (None, ""):
        raise UserError(f"the SuperNode's configuration has no {name}: give it with --node-config '{name}=\"...\"'")
    return str(value)
