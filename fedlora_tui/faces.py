"""Which face goes through runs: with a terminal or without, in the background, in this process or on a SuperLink."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedlora_tui.engine.race import Entry


def with_console(given: list[Entry], ascii_only: bool) -> int:
    """Show runs on a console; give the exit status."""
    if _submitted(given):
        from fedlora_tui.submitted import console_on_submitted

        return console_on_submitted(given, ascii_only)
    from fedlora_tui.console_run import run_with_console

    return run_with_console(given, ascii_only)


def without_console(given: list[Entry], arguments: argparse.Namespace) -> int:
    """Go through runs without a terminal, as `--json`, `--wait` and `--detach` say; give the exit status."""
    if _submitted(given):
        from fedlora_tui.submitted import run_submitted, submit_detached

        return submit_detached(given) if arguments.detach else run_submitted(given, arguments.json)
    if arguments.detach:
        from fedlora_tui.detached import run_detached

        return run_detached(given, patient=arguments.wait)
    from fedlora_tui.headless import run_headless

    return run_headless(given, json_lines=arguments.json, patient=arguments.wait)


def _submitted(given: list[Entry]) -> bool:
    """Tell whether runs go on where a SuperLink is."""
    return any(entry.config.federation.runtime == "superlink" for entry in given)
