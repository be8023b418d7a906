"""Pictures of the setup screen at its drawn sizes: usual, put together, refused, and with the dialog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.setup.app import SetupApp
from fedlora_tui.console.setup.offer import Found, Judged
from tests.flows.set_up import BASES, DEVICES, FIGURES, REMARKS, ScriptedAdviser, setup_on

SIZES = {"compact": (80, 24), "normal": (120, 40), "wide": (200, 60)}
TEXTS = {
    **REMARKS,
    "path": "12 organizations, 1,204 documents, 120,344 tokens",
    "organizations": "all 12 that there are",
}
SCENES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "looking": ([], {"settled": False, "doing": "this machine"}),
    "usual": (["right", "right"], {"figures": FIGURES, "remarks": REMARKS}),
    "texts": (["right", "down", "right", *"./offices"], {"figures": FIGURES, "remarks": TEXTS}),
    "private": (["down", "down", "down", "down", *"2.5"], {"figures": FIGURES, "remarks": REMARKS}),
    "refused": (
        ["down", "right", *"./offices"],
        {"complaints": {"path": "./offices: no such folder; name a folder of texts"}},
    ),
}


def picture(out: Path, keys: list[str], found: dict[str, Any], look: Any = None, **then: str) -> tuple[SetupApp, Any]:
    app = setup_on(out, ScriptedAdviser(), look)

    async def play(pilot: Pilot[str]) -> None:
        app._adviser.waiting += [Found(bases=BASES, devices=DEVICES)]  # type: ignore[attr-defined]
        app._listen()
        await pilot.press(*keys)
        app._adviser.waiting += [Judged(app.fields.chosen, **found)]  # type: ignore[attr-defined]
        app._listen()
        await pilot.press(*then.values())
        await pilot.pause(0.1)

    return app, play


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scene", SCENES)
def test_setup(snap_compare: Any, tmp_path: Path, scene: str, size: str) -> None:
    app, play = picture(tmp_path / "config.toml", *SCENES[scene])
    assert snap_compare(app, terminal_size=SIZES[size], run_before=play)


@pytest.mark.parametrize("size", ["compact", "normal"])
def test_overwriting(snap_compare: Any, tmp_path: Path, size: str) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    app, play = picture(tmp_path / "config.toml", *SCENES["usual"], enter="enter")
    assert snap_compare(app, terminal_size=SIZES[size], run_before=play)


@pytest.mark.parametrize(
    ("environment", "options"),
    [({"NO_COLOR": "1"}, {}), ({}, {"ascii": True}), ({}, {"theme": "light"})],
    ids=["no-colour", "ascii", "light"],
)
def test_setup_in(snap_compare: Any, tmp_path: Path, environment: dict[str, str], options: dict[str, Any]) -> None:
    look = look_for(ConsoleOptions(**options), {"LANG": "C.UTF-8", "TERM": "xterm-256color", **environment}, "utf-8")
    app, play = picture(tmp_path / "config.toml", *SCENES["texts"], look)
    assert snap_compare(app, terminal_size=(120, 40), run_before=play)
