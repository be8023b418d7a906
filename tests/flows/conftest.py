"""What every flow leaves as it found it."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def no_logs_are_kept():
    """Each run adds its engine.log to the root logger."""
    before = list(logging.getLogger().handlers)
    yield
    for handler in set(logging.getLogger().handlers) - set(before):
        logging.getLogger().removeHandler(handler)
        handler.close()
