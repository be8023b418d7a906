"""`fedlora-tui audit`: attacks on a finished round's adapter, a report in the run's folder, and a few lines here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedlora_tui.engine.folder import find
from fedlora_tui.errors import UserError

if TYPE_CHECKING:
    from fedlora_tui.engine.auditing import Asked, Say, Subject
    from fedlora_tui.lora.adapter import Adapter
    from fedlora_tui.lora.base_model import BaseModel
    from fedlora_tui.protocol.audits import LeftOut


def audit(runs: Path, run: str | None, asked: Asked, left_out: str, repeats: int, as_json: bool) -> None:
    """Audit a run and print what was found. Raises UserError where run, round or text are not there."""
    folder = find(runs, run)
    from fedlora_tui.engine.auditing import audited, keep, subject
    from fedlora_tui.privacy.audit.report import markdown, summary
    from fedlora_tui.protocol.audits import to_json

    say = _narrator()
    on = subject(folder, asked.round, left_out)
    if left_out:
        _check(on, left_out, repeats)
    found = audited(on, asked, folder.name, say)
    if left_out:
        found = replace(found, left_out=_left_out(on, left_out, repeats, say))
    path = keep(folder, found, markdown(found))
    if as_json:
        print(to_json(replace(found, report=str(path))), flush=True)
        return
    print("\n".join([*summary(found), f"report: {path}"]), flush=True)


def _check(on: Subject, name: str, repeats: int) -> None:
    from fedlora_tui.benchmarks.leaving_out import check

    if "" not in on.adapters:
        method = on.kept.state["aggregation"]
        raise UserError(f"--leave-out {name}: with {method} each organization has an adapter of its own; leave it out")
    check(on.config, name, on.kept.state["trained_by"], repeats)


def _left_out(on: Subject, name: str, repeats: int, say: Say) -> LeftOut:
    """Repeat the run with and without an organization, and tell the two apart by what its text loses."""
    from fedlora_tui.benchmarks.leaving_out import judged, repeated
    from fedlora_tui.lora.scoring import row_losses
    from fedlora_tui.privacy.audit.attacks import rows_of_organization

    planted = on.planted.get(name)
    rows = rows_of_organization(on.base, on.texts[name], planted, on.config)

    def score(base: BaseModel, adapter: Adapter) -> float:
        return -sum(row_losses(base, adapter, rows))

    found = repeated(on.config, name, repeats, score, on.base, lambda done: say("runs", done, 2 * repeats))
    return judged(name, found, "loss of its secret" if planted is not None else "loss of its training text")


def _narrator() -> Callable[[str, int, int], None]:
    """Give what tells how far an audit is: on a terminal on one line that is written over, else nothing."""
    if not sys.stderr.isatty():
        return lambda what, done, of: None

    def say(what: str, done: int, of: int) -> None:
        end = "\n" if done >= of else ""
        print(f"\r\x1b[K{what}: {done:,} of {of:,}", end=end, file=sys.stderr, flush=True)

    return say
