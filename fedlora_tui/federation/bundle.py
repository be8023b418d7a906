"""What a Flower run carries to every machine: references to the fedlora-tui that is installed there, and nothing else.

`flwr run .` makes the same of the repository's own pyproject.toml and its folder flower_app; here it is made without a
repository.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

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


def bundle() -> Fab:
    """Make the bundle."""
    files = {"pyproject.toml": PROJECT, **MODULES}
    content, _ = build_fab_from_files({name: text.encode() for name, text in files.items()})
    return Fab(hashlib.sha256(content).hexdigest(), content, {})
