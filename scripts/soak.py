"""What takes minutes to show: `make soak` goes through the parts below, or `make soak ARGS="kills --kills 20"` one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def kills(asked: argparse.Namespace) -> int:
    """Kill a run at random moments, half of them inside checkpoints, and hold its bytes to one that never was."""
    environment = {**os.environ, "FEDLORA_TUI_KILLS": str(asked.kills), "FEDLORA_TUI_SEED": str(asked.seed)}
    test = "tests/e2e/test_kill_and_resume.py::test_killed_again_and_again_it_ends_with_the_same_bytes"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "--timeout", "3600", test], env=environment, check=False
    ).returncode


def consoles(asked: argparse.Namespace) -> int:
    """Disturb a run of many rounds while consoles come and go."""
    words = ["--rounds", str(asked.rounds), "--seed", str(asked.seed)]
    return subprocess.run([sys.executable, str(Path(__file__).with_name("soak_consoles.py")), *words]).returncode


PARTS: Mapping[str, Callable[[argparse.Namespace], int]] = {"kills": kills, "consoles": consoles}


def main() -> int:
    """Go through the parts; 0 where all held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which of {', '.join(PARTS)} (all)")
    parser.add_argument("--kills", type=int, default=50, help="how often a run is killed (50)")
    parser.add_argument("--rounds", type=int, default=500, help="rounds that are watched by consoles (500)")
    parser.add_argument("--seed", type=int, default=6, help="of the moments (6)")
    asked = parser.parse_args()
    if not set(asked.parts) <= PARTS.keys():
        parser.error(f"parts are {', '.join(PARTS)}")
    failed = []
    for part in asked.parts or PARTS:
        began = time.monotonic()
        if PARTS[part](asked) != 0:
            failed.append(part)
        print(f"{part}: {'failed' if part in failed else 'held'} after {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
