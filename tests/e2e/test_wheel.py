"""The wheel: built with no network, it brings the embedded base, the consoles' style sheets and the command along."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_BYTES = 10_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, for a build leaves old files in its source that would travel in the next wheel."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "fedlora_tui", source / "fedlora_tui", ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    built = subprocess.run([*pip, "--wheel-dir", str(out), str(source)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (made,) = out.glob("*.whl")
    return made


def package_files(*patterns: str) -> set[str]:
    return {str(file.relative_to(ROOT)) for pattern in patterns for file in (ROOT / "fedlora_tui").glob(pattern)}


def test_brings_every_module_style_sheet_and_asset(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("fedlora_tui/")}
    embedded, styles = package_files("assets/embedded/*"), package_files("**/*.tcss")
    assert {Path(name).name for name in embedded} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert styles
    assert (demo := package_files("assets/demo/*.jsonl"))
    assert names >= demo | embedded | styles | package_files("**/*.py")
    assert not [name for name in names if "__pycache__" in name]


def test_is_small_and_says_what_it_is(wheel: Path) -> None:
    assert wheel.stat().st_size < MOST_BYTES
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        (entry,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        commands = archive.read(entry).decode()
    assert "License-Expression: Apache-2.0" in text
    assert "fedlora-tui = fedlora_tui.__main__:main" in commands
    assert "@ file:" not in text
