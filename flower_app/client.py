"""Flower's ClientApp of fedlora-tui."""

from fedlora_tui.node.client_app import app

__all__ = ["app"]
