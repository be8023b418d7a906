"""The bundle that travels for a run (Flower's FAB): references to what is installed here; made, and told from others.

`flwr run .` makes the same of the repository's own pyproject.toml and its folder flower_app; here it is made without a
repository.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping

import tomli
from flwr.supercore.fab import Fab

from fedlora_tui import __version__
from fedlora_tui.federation.run_config import CONFIG, CONTINUES, FORK, FORK_ROUND

CLIENT_APP = "flower_app.client:app"
"""What a node runs of it."""

CLIENT = "fedlora_tui.node.client_app"
"""Where what is installed has that app."""

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
clientapp = "{CLIENT_APP}"

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
        f'"""Flower\'s ClientApp of fedlora-tui."""\n\nfrom {CLIENT} import app\n\n__all__ = ["app"]\n'
    ),
}

OURS: Mapping[str, str] = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in MODULES.items()}
"""The only code that a bundle may hold: the SHA-256 of each file."""

PLAIN = (".toml", ".md", ".json", ".yaml", ".yml", "CONTENT", "LICENSE")
"""Files that hold no code."""

MOST_BYTES, MOST_FILES = 10 * 2**20, 1000


def is_ours(content: bytes) -> bool:
    """Tell whether a bundle holds our code and no other, and names our app."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            files = [file for file in bundle.infolist() if not file.is_dir()]
            if len(files) > MOST_FILES or sum(file.file_size for file in files) > MOST_BYTES:
                return False
            found = {file.filename: bundle.read(file) for file in files}
        project = tomli.loads(found["pyproject.toml"].decode())
        app = project["tool"]["flwr"]["app"]["components"]["clientapp"]
    except Exception:  # whatever a SuperLink sends, broken streams of each way to pack among it
        return False
    if len(found) != len(files) or app != CLIENT_APP:
        return False
    code = {name: hashlib.sha256(text).hexdigest() for name, text in found.items() if not name.endswith(PLAIN)}
    return code == OURS


def bundle() -> Fab:
    """Make the bundle."""
    from flwr.cli.build import build_fab_from_files

    files = {"pyproject.toml": PROJECT, **MODULES}
    content, _ = build_fab_from_files({name: text.encode() for name, text in files.items()})
    return Fab(hashlib.sha256(content).hexdigest(), content, {})
