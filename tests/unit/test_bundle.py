"""What travels for a run is our two references and nothing else, and a node runs no other code."""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk
from flwr.supernode import fleet_http_connection, start_client_internal

from fedlora_tui.federation import supernode
from fedlora_tui.federation.bundle import OURS, is_ours

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bundle() -> bytes:
    return build_fab_from_disk(ROOT)


def rewritten(bundle: bytes, changes: dict[str, str | None]) -> bytes:
    """The bundle with files changed, added, or (None) left out."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as old, zipfile.ZipFile(made, "w") as new:
        files = {name: old.read(name).decode() for name in old.namelist()}
        for name, text in {**files, **changes}.items():
            if text is not None:
                new.writestr(name, text)
    return made.getvalue()


def test_the_bundle_of_this_repository_is_ours_and_holds_no_other_code(bundle: bytes) -> None:
    assert is_ours(bundle)
    with zipfile.ZipFile(io.BytesIO(bundle)) as held:
        assert {name for name in held.namelist() if name.endswith(".py")} == set(OURS)


def test_a_bundle_with_other_code_or_another_app_is_not_ours(bundle: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(bundle)) as held:
        project = held.read("pyproject.toml").decode()
        client = held.read("flower_app/client.py").decode()
    changed = project.replace('clientapp = "flower_app.client:app"', 'clientapp = "os:system"')
    assert changed != project
    for changes in (
        {"flower_app/client.py": client + "import this\n"},
        {"flower_app/client.py": None},
        {"sitecustomize.py": "print(1)"},
        {"flower_app/client.so": "machine code"},
        {"pyproject.toml": changed},
        {"pyproject.toml": "not toml ["},
        {"pyproject.toml": None},
    ):
        assert not is_ours(rewritten(bundle, changes)), changes
    assert not is_ours(b"no zip at all")


def test_the_private_touches_hold_for_this_flower() -> None:
    """A new Flower: check `_only_our_app`, `_tell_heartbeats` and `_LINK` in supernode.py, then raise its release."""
    assert importlib.metadata.version("flwr").rpartition(".")[0] == supernode.HOLDS_FOR_FLOWER
    said = Path(start_client_internal.__file__).read_text() + Path(fleet_http_connection.__file__).read_text()
    retry = Path(start_client_internal.__file__).parents[1] / "supercore" / "retry" / "http_retry.py"
    said += retry.read_text()
    for words in (*supernode._LINK, supernode._WHY, "get_fab=get_fab", "HeartbeatSender(send_node_heartbeat)"):
        assert words in said, words
