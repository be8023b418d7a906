"""docs/reliability.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLES = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8").partition("## Soak")[0]


def test_every_fault_names_tests_that_are_there() -> None:
    rows = [line for line in TABLES.splitlines() if line.startswith("| ") and not line.startswith(("| fault", "| ---"))]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(\w+/test_\w+\.py)::(test_\w+)`", row)
        assert named, row
        for file, name in named:
            assert re.search(rf"^(?:async )?def {name}\(", (TESTS / file).read_text(encoding="utf-8"), re.M), name
