"""The script that measures on a GPU: all its steps but Ray, over next to nothing, on processors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent


def test_it_measures_and_says_which_marks_are_met(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    environment = {**os.environ, "TINY": "1", "SHORT": "0", "PYTHON": sys.executable, "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        ["sh", str(ROOT / "scripts" / "gpu_bench.sh"), str(report)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(report.read_text())["ratios"]["batch4"]["in_turn"] > 0
    lines = ran.stdout.splitlines()
    assert any(line.startswith("in_turn at least 10: ") for line in lines)
    assert any(line.startswith("matrix_share at least 0.35: ") and "met" in line for line in lines)
