"""Whose text an audit asks about where there are more organizations than it asks."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from fedlora_tui.config import AuditConfig, Config
from fedlora_tui.engine.auditing import MOST_ORGANIZATIONS, asked_about

NAMES = [f"org-{number:02}" for number in range(60)]


def test_those_with_a_secret_and_the_one_that_is_left_out_are_always_among_them() -> None:
    planted = tuple(NAMES[: MOST_ORGANIZATIONS - 1])
    config = replace(Config(), audit=AuditConfig(organizations=planted))
    kept = SimpleNamespace(state={"trained_by": NAMES})
    for left_out in ("org-57", "org-03", ""):
        names, notes = asked_about(config, kept, {"": None}, left_out)  # type: ignore[arg-type, dict-item]
        assert len(names) == MOST_ORGANIZATIONS
        assert {*planted, *filter(None, [left_out])} <= {*names}
        assert notes == ("24 of the 60 organizations that trained were asked about",)
