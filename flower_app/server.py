"""Flower's ServerApp of fedlora-tui."""

from fedlora_tui.engine.deployed import app

__all__ = ["app"]
