"""The bundle that travels for a run (Flower's FAB), and whether one is ours: references to what is installed here."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping

import tomli

CLIENT_APP = "flower_app.client:app"
"""What a node runs of it."""

OURS: Mapping[str, str] = {
    "flower_app/__init__.py": "27dbfbc2ab5bc7c89b28cf8040b1adeff15840231f4517996eee8c1ef634ce99",
    "flower_app/client.py": "d74f07614391c7d9422f64ac1f67f3c21707b09346c6e059c940a46675954530",
    "flower_app/server.py": "dffe2504766346bba84a8b5ae03063adb370827ee32c14145a725372389fd204",
}
"""The only code that it may hold: the SHA-256 of each file."""

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
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, NotImplementedError, RuntimeError):
        return False
    if len(found) != len(files) or app != CLIENT_APP:
        return False
    code = {name: hashlib.sha256(text).hexdigest() for name, text in found.items() if not name.endswith(PLAIN)}
    return code == OURS
