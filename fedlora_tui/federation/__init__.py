"""The federation itself on Flower's own parts; the only package that imports flwr.

Flower's telemetry is turned off before its import, and its log handler is taken off its logger: on a terminal that
handler would write over the screen.
"""

import logging
import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"

import flwr

FLOWER = flwr.__version__
"""Flower's release."""

_logger = logging.getLogger("flwr")
for _handler in list(_logger.handlers):
    _logger.removeHandler(_handler)
_logger.propagate = True
