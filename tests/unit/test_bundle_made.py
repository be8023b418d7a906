"""What a Flower run carries: the same from the repository and from the package, and nothing that shadows it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import tomli
from flwr.cli.build import build_fab_from_disk
from flwr.cli.config_utils import load_and_validate

from fedlora_tui.federation.bundle import MODULES, PROJECT, bundle

ROOT = Path(__file__).resolve().parents[2]


def test_the_package_makes_the_bundle_that_the_repository_makes():
    of_disk = zipfile.ZipFile(io.BytesIO(build_fab_from_disk(ROOT)))
    own = zipfile.ZipFile(io.BytesIO(bundle().content))
    assert sorted(own.namelist()) == sorted(of_disk.namelist())
    assert {name: own.read(name).decode() for name in MODULES} == {
        name: of_disk.read(name).decode() for name in MODULES
    }
    project = tomli.loads((ROOT / "pyproject.toml").read_text())
    assert tomli.loads(PROJECT)["tool"]["flwr"] == project["tool"]["flwr"]
    assert tomli.loads(PROJECT)["project"]["version"] == project["project"]["version"]
    assert not any(name.startswith("fedlora_tui") for name in own.namelist())


def test_flower_finds_nothing_wrong_with_the_apps():
    _, warnings = load_and_validate(ROOT / "pyproject.toml")
    assert warnings == []
