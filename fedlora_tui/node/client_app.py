"""Flower's ClientApp of a node: the same training, measuring and answering as in one process, for one organization."""

from __future__ import annotations

from typing import Any

from fedlora_tui.federation.client_app import ClientSide, app_of
from fedlora_tui.federation.introduction import Introduction
from fedlora_tui.node.home import home_of


def _side(context: Any) -> ClientSide:
    return home_of(context.node_config, context.run_config).side()


def _introduction(context: Any) -> Introduction:
    return home_of(context.node_config, context.run_config).introduction()


app = app_of(_side, _introduction)
