"""The rules of the house that no linter knows: `make check` runs them over every file that git would commit.

A Python file says in its first line what lives there and holds 600 lines at most; a file's name tells a reader
something; nothing names a folder of the machine that it was written on.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MOST_LINES = 600
VAGUE = {"util", "utils", "helper", "helpers", "misc", "common", "manager"}
HOME = re.compile(r"(?<![\w.~-])/(?:work|tmp|root|home|Users)/\w")
"""A folder of somebody's machine; tests may use one as an example."""


def committed() -> list[Path]:
    """Give the text files that git has or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
    )
    names = (Path(name.decode()) for name in listed.stdout.split(b"\0") if name)
    return [name for name in names if name.is_file() and b"\0" not in name.read_bytes()[:8192]]


def faults(file: Path) -> Iterator[str]:
    """Say what is wrong with one file."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    if file.suffix == ".py" and lines:
        first = next((line for line in lines[:2] if not line.startswith("#!")), "")
        if not re.match(r'r?"""\S', first):
            yield f"{file}:1: say here, in one line in triple quotes, what lives in this file"
        if len(lines) > MOST_LINES:
            yield f"{file}: {len(lines)} lines, {MOST_LINES} at most: is it one room, or several?"
    if VAGUE & {part.removesuffix(".py") for part in file.parts}:
        yield f"{file}: a name that tells a reader nothing"
    if file.parts[0] != "tests":
        for number, line in enumerate(lines, 1):
            if HOME.search(line):
                yield f"{file}:{number}: a path of somebody's machine"


def main() -> int:
    """Print every fault; 1 where there is one."""
    files = committed()
    found = [fault for file in sorted(files) for fault in faults(file)]
    print("\n".join(found) or f"{len(files)} files keep the rules of the house")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
