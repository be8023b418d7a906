"""What a run says that it has spent of its privacy budget, found among its events."""

from __future__ import annotations

from collections.abc import Iterable

from fedlora_tui.protocol.events import PrivacySpent, Record


def last_spent(records: Iterable[Record], by: int | None = None) -> PrivacySpent | None:
    """Give what was told last, or last by the end of the round `by`; None where nothing was told."""
    told = (record.event for record in records)
    spent = [event for event in told if isinstance(event, PrivacySpent) and (by is None or event.round <= by)]
    return spent[-1] if spent else None
