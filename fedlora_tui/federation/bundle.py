"""What a Flower run carries to every machine: references to the fedlora-tui that is installed there, and nothing else.

`flwr run .` makes the same of the repository's own pyproject.toml and its folder flower_app; here it is made without a
repository.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping

import tomli
from flwr.cli.build import build_fab_from_files
from flwr.supercore.fab import Fab

from fedlora_tui import __version__
from fedlora_tui.federation.run_config import CONFIG, CONTINUES, FORK, FORK_ROUND

PROJECT = f"""\
[project]
name = "fedlora-tui"
version = "{__version__}"
description = "Federated LoRA fine-tuning, by the fedlora-tui that is installed"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "fedlora"
fab-include = ["flower_app/*.py"]

[tool.flwr.app.components]
serverapp = "flower_app.server:app"
clientapp = "flower_app.client:app"

[tool.flwr.app.config]
{CONFIG} = ""
{CONTINUES} = ""
{FORK} = ""
{FORK_ROUND} = 0
"""

MODULES: Mapping[str, str] = {
    "flower_app/__init__.py": (
        '"""What a Flower run carries to every machine: two references to the fedlora-tui that is installed there."""\n'
    ),
    "flower_app/server.py": (
        '"""Flower\'s ServerApp of fedlora-tui."""\n\n'
        'from fedlora_tui.engine.deployed import app\n\n__all__ = ["app"]\n'
    ),
    "flower_app/client.py": (
        '"""Flower\'s ClientApp of fedlora-tui."""\n\n'
        'from fedlora_tui.node.client_app import app\n\n__all__ = ["app"]\n'
    ),
}


PLAIN = (".toml", ".md", ".json", ".yaml", ".yml", "CONTENT", "LICENSE")
"""Files of a bundle that hold no code."""

MOST_BYTES, MOST_FILES = 10 * 2**20, 1000


def is_ours(content: bytes) -> bool:
    """Tell whether a bundle that came holds our code and no other, and names our app: then a node may run it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as came:
            files = [file for file in came.infolist() if not file.is_dir()]
            if len(files) > MOST_FILES or sum(file.file_size for file in files) > MOST_BYTES:
                return False
            found = {file.filename: came.read(file) for file in files}
        components = _components(found["pyproject.toml"].decode())
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, NotImplementedError, RuntimeError):
        return False
    code = {name: text for name, text in found.items() if not name.endswith(PLAIN)}
    ours = {name: text.encode() for name, text in MODULES.items()}
    return len(found) == len(files) and code == ours and components == _components(PROJECT)


def _components(project: str) -> object:
    return tomli.loads(project)["tool"]["flwr"]["app"]["components"]


def bundle() -> Fab:
    """Make the bundle."""
    files = {"pyproject.toml": PROJECT, **MODULES}
    content, _ = build_fab_from_files({name: text.encode() for name, text in files.items()})
    return Fab(hashlib.sha256(content).hexdigest(), content, {})
