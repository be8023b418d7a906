"""Write the versions that are installed here, of the package and of all that it needs, as pip constraints.

Run by `make constraints`: whatever the venv holds and passes the tests with becomes what everybody installs.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PACKAGE, EXTRAS = "fedlora-tui", ("dev", "gguf", "hub", "parquet", "partitions", "quantized", "ray")
LEFT_OUT = {PACKAGE, "pip", "setuptools"}
"""What a new venv brings along, in a version that suits its Python."""

HEAD = """\
# Exact versions of all that fedlora-tui and its extras for tests, data, bases and benchmarks need, without local parts.
# Made by `make constraints` from what .venv holds (scripts/pin_constraints.py); use: pip install -c constraints.txt .
"""


def closure(name: str, extras: tuple[str, ...]) -> dict[str, str]:
    """Give name -> version of a distribution and of everything it needs on this machine, optional parts as asked."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(name), extra) for extra in ("", *extras)]
    while todo:
        wanted = todo.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        package, extra = wanted
        installed = distribution(package)
        versions[package] = Version(installed.version).public
        for line in installed.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(needed.name), part) for part in ("", *needed.extras)]
    return versions


def main() -> int:
    """Print the constraints; 1 where something that is needed is not installed."""
    try:
        versions = closure(PACKAGE, EXTRAS)
    except PackageNotFoundError as missing:
        print(f"{missing.name} is needed and not installed here; run make constraints", file=sys.stderr)
        return 1
    pins = [f"{name}=={version}\n" for name, version in sorted(versions.items()) if name not in LEFT_OUT]
    sys.stdout.write(HEAD + "".join(pins))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
