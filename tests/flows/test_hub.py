"""A base by its hub id, fetched by the hub's own client from a small hub on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from fedlora_tui.console.app import ConsoleApp
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.widgets.lines import Lines
from fedlora_tui.engine.run import Manner, Run
from fedlora_tui.lora.base_model import DOWNLOADED, EMBEDDED
from tests.flows.opened import UTF8
from tests.tiny_runs import configured, small_settings

COMMIT = "a" * 40
LOAD = """
import json, sys
from fedlora_tui.config import LoraConfig, ModelConfig
from fedlora_tui.errors import UserError
from fedlora_tui.lora import base_model
told = []
try:
    base = base_model.load(ModelConfig(base=sys.argv[1]), LoraConfig(), lambda done, total: told.append((done, total)))
    print(json.dumps({"parameters": base.parameters, "told": told}))
except UserError as error:
    print(json.dumps({"refused": str(error)}))
"""


class Hub(BaseHTTPRequestHandler):
    """Serves one model, `me/tiny`, the way the hub's client asks for it; `gate` holds the weights at their half."""

    gate: threading.Event | None = None

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        files = sorted(EMBEDDED.iterdir())
        if path.startswith("/api/models/me/tiny/tree"):
            self._json([{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "b" * 40} for f in files])
        elif path.startswith("/api/models/me/tiny"):
            self._json({"id": "me/tiny", "sha": COMMIT, "siblings": [{"rfilename": f.name} for f in files]})
        elif path.startswith("/me/tiny/resolve/"):
            file = EMBEDDED / path.rsplit("/", 1)[1]
            self._answer(200, file.read_bytes(), {"ETag": f'"{file.name}"', "X-Repo-Commit": COMMIT})
        else:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815

    def _json(self, content: object) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "GET":
            return
        half = len(body) // 2 if "model.safetensors" in self.path and self.gate is not None else 0
        if half and self.gate is not None:
            self.wfile.write(body[:half])
            self.gate.wait(60)
        self.wfile.write(body[half:])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def load(base: str, address: str, cache: Path, **more: str) -> dict[str, object]:
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LOAD, base]
    done = subprocess.run(command, env={**os.environ, **settings, **more}, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_a_hub_id_is_downloaded_with_its_bytes_told_and_then_needs_no_hub(address: str, tmp_path: Path) -> None:
    first = load("me/tiny", address, tmp_path)
    told = first["told"]
    assert isinstance(told, list)
    weights = (EMBEDDED / "model.safetensors").stat().st_size
    assert told[-1][0] == told[-1][1] >= weights
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    again = load("me/tiny", "http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1")
    assert again == {"parameters": first["parameters"], "told": []}


def test_an_unknown_hub_id_is_refused_in_one_line(address: str, tmp_path: Path) -> None:
    assert load("me/none", address, tmp_path) == {
        "refused": 'model.base = "me/none": no such model on the hub, or it is private; check the name or log in'
    }


def test_without_a_hub_the_line_says_what_to_do(tmp_path: Path) -> None:
    refused = str(load("me/tiny", "http://127.0.0.1:9", tmp_path)["refused"])
    assert "the hub cannot be reached; connect, or name a folder or a .gguf file" in refused
    offline = str(load("me/tiny", "http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1")["refused"])
    assert "no such model here" in offline


@pytest.fixture
def half_way(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """This process asks the small hub, which waits in the middle of the weights until the event is set."""
    gate = threading.Event()
    monkeypatch.setattr(Hub, "gate", gate)
    # A pass of the client's loop reads so much; with its own 10 MB the whole model would come in one.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2**16)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + template)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield gate
    gate.set()


async def test_the_console_draws_a_download_with_its_bytes_while_it_goes_on(
    half_way: threading.Event, tmp_path: Path
) -> None:
    config = configured(small_settings(tmp_path), model__base="me/tiny", federation__rounds=1)
    run = Run(config, Manner(patient=True))
    options = ConsoleOptions(model="me/tiny", bell=False)
    app = ConsoleApp([run], options, look=look_for(options, UTF8, "utf-8"))

    async def shown(pattern: str) -> re.Match[str]:
        for _ in range(6000):
            assert run.refusal is None
            found = re.search(pattern, app.overview.query_one("#starting", Lines).text)
            if found:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"{pattern} is not in {app.overview.query_one('#starting', Lines).text}")

    wanted = {file for pattern in DOWNLOADED for file in EMBEDDED.glob(pattern)}
    total = sum(file.stat().st_size for file in wanted) / 2**20
    async with app.run_test(size=(100, 30)):
        bar = await shown(rf"▸ base tiny +downloading me/tiny (█+)(░+) ([\d.]+)/{total:.1f} MiB")
        assert 0 < float(bar[3]) < total
        assert len(bar[1]) + len(bar[2]) == 16
        assert len(bar[1]) / 16 == pytest.approx(float(bar[3]) / total, abs=1.5 / 16)
        half_way.set()
        await shown(r"✓ base tiny +me/tiny, [\d,]+ parameters")
        run.abandon("the test has seen enough")
    assert run.wait(60)
    run.close()
