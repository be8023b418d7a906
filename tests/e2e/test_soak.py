"""Twenty rounds of what `make soak ARGS=consoles` does five hundred of: faults, turned settings, consoles on the move.

Growth is not judged here: twenty rounds are too few to tell it from a start. The engine's descriptors and threads
before consoles come and after they left, the journal, the answers, and what those who watch hold at the end are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.terminal
def test_a_disturbed_run_ends_with_a_whole_journal_and_leaves_nothing_open() -> None:
    words = [str(ROOT / "scripts" / "soak_consoles.py"), "--rounds", "20"]
    ended = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "engine, paused, consoles gone" in ended.stdout
