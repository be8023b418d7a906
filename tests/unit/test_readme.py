"""README says what the console's registry says, and shows pictures that are there."""

from __future__ import annotations

import re
from pathlib import Path

from fedlora_tui.console.actions.registry import markdown_table

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_keys_is_the_registrys() -> None:
    assert f"<!-- keys -->\n{markdown_table().strip()}\n<!-- end of keys -->" in README


def test_every_file_that_it_points_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
