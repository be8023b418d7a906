"""What a run says that it has spent of its privacy budget, found among its events."""

from __future__ import annotations

from collections.abc import Iterable

from fedlora_tui.protocol.events import PrivacySpent, Record


def last_spent(records: Iterable[Record]) -> PrivacySpent | None:
    """Give what was told last; None where nothing was told."""
    spent = [record.event for record in records if isinstance(record.event, PrivacySpent)]
    return spent[-1] if spent else None
