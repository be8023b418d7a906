"""What a person at the SuperLink's terminal sees: that it is ready, what goes wrong, and nothing of its routine."""

from __future__ import annotations

import asyncio
import importlib
import logging
import subprocess
import sys

import uvicorn

from fedlora_tui.federation import superlink_face


def _record(level: int, words: str, error: BaseException | None = None) -> logging.LogRecord:
    raised = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("uvicorn.error", level, "", 0, words, None, raised)


def test_what_goes_wrong_is_told_and_routine_and_what_was_open_at_the_end_are_not() -> None:
    news = superlink_face.is_news
    assert news(_record(logging.WARNING, "the roll of nodes could not be kept"))
    assert news(_record(logging.ERROR, "Exception in ASGI application", ValueError("broken")))
    assert not news(_record(logging.INFO, "Uvicorn running"))
    assert not news(_record(logging.ERROR, "Exception in ASGI application", asyncio.CancelledError()))
    assert not news(_record(logging.ERROR, "[/v1/fleet/activate-node][ApiError:2004] a key that is not let in"))
    assert not news(_record(logging.ERROR, "Public key already in use"))
    assert not news(_record(logging.ERROR, "Cancel %s running task(s), timeout graceful shutdown exceeded"))


def test_processes_that_flower_starts_write_what_goes_wrong_alone(monkeypatch) -> None:
    monkeypatch.delenv(superlink_face.LEVEL, raising=False)
    monkeypatch.setattr(superlink_face.console_handler, "filters", [])
    superlink_face.speak_up()
    child = "from flwr.supercore.logger import log; log(20, 'Starting Flower SuperExec'); log(30, 'it broke')"
    said = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stderr
    assert "it broke" in said
    assert "SuperExec" not in said


def test_ready_says_for_whom(capsys) -> None:
    for let_in in ([], ["clinic", "port"], None):
        superlink_face.say_ready("a:1", let_in)
    assert capsys.readouterr().out.splitlines() == [
        "fedlora-tui: ready at a:1; let in: nobody yet; ctrl+c ends it",
        "fedlora-tui: ready at a:1; let in: clinic, port; ctrl+c ends it",
        "fedlora-tui: ready at a:1; INSECURE: any node is let in; ctrl+c ends it",
    ]


def test_flower_serves_by_uvicorn_and_ends_though_a_request_is_open(monkeypatch) -> None:
    served: list[dict[str, object]] = []
    monkeypatch.setattr(uvicorn, "run", lambda **given: served.append(given))
    superlink_face.end_soon()
    flower = importlib.import_module("flwr.superlink.cli.flower_superlink")
    flower.uvicorn.run(app=None)
    assert served == [{"app": None, "timeout_graceful_shutdown": superlink_face.END_SECONDS}]
