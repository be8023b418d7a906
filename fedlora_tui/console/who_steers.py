"""What is said when the wheel passes without a key of this console."""

from __future__ import annotations

from fedlora_tui.console.view import Steering


def passed(before: Steering | None, now: Steering, key: str) -> str:
    """Say that the wheel has passed, here or away, or is kept from this console, empty where it is not; `key` takes it.

    It was asked for, and the answer comes from elsewhere.
    """
    if before is None:
        return ""
    if before.ours == now.ours:
        kept = before.asks and not now.asks and not now.ours and now.holder == before.holder
        return f"{now.holder} keeps the wheel" if kept else ""
    if now.ours:
        return "you steer now"
    return f"{now.holder} steers now: {key} takes the wheel" if before.asked_by else ""
