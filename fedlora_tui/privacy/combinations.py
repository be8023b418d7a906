"""What a protection cannot go together with, and why; refused before a run begins and before a setting is turned."""

from __future__ import annotations

from fedlora_tui.config import Config


def unprotectable(config: Config) -> str | None:
    """Say why updates cannot be protected as a configuration asks, and what to do; None where they can."""
    privacy = config.privacy
    if privacy.mechanism != "none":
        return f'privacy.mechanism = "{privacy.mechanism}" is not available yet: set it to "none"'
    if privacy.secure_sum:
        return "privacy.secure_sum = true is not available yet: set it to false"
    return None
