"""A node runs the bundle of this package and no other code, whatever a SuperLink sends it."""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from pathlib import Path

import pytest
from flwr.supernode import fleet_http_connection, start_client_internal

from fedlora_tui.federation import supernode
from fedlora_tui.federation.bundle import MODULES, bundle, is_ours


@pytest.fixture(scope="module")
def ours() -> bytes:
    return bundle().content


def rewritten(ours: bytes, changes: dict[str, str | None]) -> bytes:
    """Our bundle with files changed, added, or (None) left out."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(ours)) as old, zipfile.ZipFile(made, "w") as new:
        files = {name: old.read(name).decode() for name in old.namelist()}
        for name, text in {**files, **changes}.items():
            if text is not None:
                new.writestr(name, text)
    return made.getvalue()


def test_the_bundle_of_this_package_is_ours_and_holds_no_other_code(ours: bytes) -> None:
    assert is_ours(ours)
    with zipfile.ZipFile(io.BytesIO(ours)) as held:
        assert {name for name in held.namelist() if name.endswith(".py")} == set(MODULES)


def test_a_bundle_with_other_code_or_another_app_is_not_ours(ours: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(ours)) as held:
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
        assert not is_ours(rewritten(ours, changes)), changes
    assert not is_ours(b"no zip at all")


def test_the_private_touches_hold_for_this_flower() -> None:
    """A new Flower: check `_only_our_app`, `_tell_heartbeats` and `_LINK` in supernode.py, then raise its release."""
    assert importlib.metadata.version("flwr").rpartition(".")[0] == supernode.HOLDS_FOR_FLOWER
    said = Path(start_client_internal.__file__).read_text() + Path(fleet_http_connection.__file__).read_text()
    retry = Path(start_client_internal.__file__).parents[1] / "supercore" / "retry" / "http_retry.py"
    said += retry.read_text()
    for words in (*supernode._LINK, supernode._WHY, "get_fab=get_fab", "HeartbeatSender(send_node_heartbeat)"):
        assert words in said, words
