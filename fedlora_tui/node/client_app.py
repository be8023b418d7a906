"""Flower's ClientApp of a node: the same training, measuring and answering as in one process, for one organization."""

from __future__ import annotations

from typing import Any

from fedlora_tui.federation.client_app import ClientSide, app_of
from fedlora_tui.federation.introduction import Introduction
from fedlora_tui.node.home import HOMES, ORGANIZATION, Home


def _home(context: Any) -> Home:
    home = HOMES.of(context.node_config, context.run_config)
    # In Flower's simulation a node knows its place alone.
    context.node_config[ORGANIZATION] = home.organization
    return home


def _side(context: Any) -> ClientSide:
    return _home(context).side()


def _introduction(context: Any) -> Introduction:
    return _home(context).introduction()


app = app_of(_side, _introduction)
