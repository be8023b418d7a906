"""What was spent of a privacy budget, in a pane's line, in the last cells of row 4, and beside an export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.bars import share_bar
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.row import Part as Words
from fedlora_tui.protocol.state import RunState

OFF, SUMS = "privacy off: the server sees each update", "secure sum: the server sees sums alone"
BAR = 10


def budget_line(state: RunState, glyphs: Glyphs) -> list[Words]:
    """Give `ε 3.21 of 8.00 ████░░░░░░ δ 1e-5`, and whether the server sees each update."""
    settings = _settings(state)
    if settings is None:
        return [(SUMS, "held") if _secure(state) else (OFF, "quiet")]
    epsilon, target = _spent(state), _number(settings, "target_epsilon")
    delta = f"{glyphs.delta} {numbers.learning_rate(_number(settings, 'delta'), glyphs)}"
    spent: list[Words] = [(f"{glyphs.epsilon} {numbers.epsilon(epsilon, glyphs)}", "guard_bold")]
    if settings.get("seeded_noise"):
        return [*spent, (" seeded: it protects nothing", "care")]
    if _secure(state):
        whole = f" of {numbers.epsilon(target, glyphs)}" if target else ""
        return [*spent, f"{whole}  {delta}", ("  secure sum", "held")]
    if not target:
        return [*spent, (f" no budget  {delta}", "quiet")]
    done, rest = share_bar(min(1.0, epsilon / target), BAR, glyphs)
    return [*spent, f" of {numbers.epsilon(target, glyphs)} ", (done, "guard"), (rest, "quiet"), (f" {delta}", "quiet")]


def budget_short(state: RunState, glyphs: Glyphs) -> Words | None:
    """Give `ε 3.21/8`; None where privacy is off."""
    settings = _settings(state)
    if settings is None:
        return None
    target, spent = _number(settings, "target_epsilon"), f"{glyphs.epsilon} {numbers.epsilon(_spent(state), glyphs)}"
    if settings.get("seeded_noise"):
        return f"{spent} seeded", "care"
    return spent + (f"/{target:g}" if target else ""), "guard"


def said_of_export(state: RunState, glyphs: Glyphs) -> str:
    """Say what protects an adapter that is taken home."""
    settings = _settings(state)
    if settings is None or state.privacy is None:
        return "Written with privacy: none. Anyone with it can probe its training text."
    if settings.get("seeded_noise"):
        return "Written with privacy.seeded_noise, for tests: it protects nothing."
    delta = numbers.learning_rate(state.privacy.delta, glyphs)
    spent = f"{glyphs.epsilon} {numbers.epsilon(state.privacy.epsilon, glyphs)} at {glyphs.delta} {delta}"
    return f"Written with privacy: {spent} for a whole organization so far; the card says more."


def said_while_tuning(state: RunState, glyphs: Glyphs) -> str:
    """Say what protects the run, and that no setting which is turned changes it."""
    settings, summed = _settings(state), "a secure sum" if _secure(state) else ""
    if settings is None:
        return f"Protection: {summed or 'none'}; fixed for the run."
    target = _number(settings, "target_epsilon")
    of = f" of {numbers.epsilon(target, glyphs)}" if target else ", no budget"
    noise = f"noise, {glyphs.epsilon} {numbers.epsilon(_spent(state), glyphs)}{of}"
    if settings.get("seeded_noise"):
        noise = "seeded noise, which protects nothing"
    if summed:
        return f"Protection: {noise}, and {summed}; fixed for the run."
    return f"Protection: {noise}; fixed{', and no turn may spend more' if target else ' for the run'}."


def _settings(state: RunState) -> Mapping[str, Any] | None:
    """Give the run's [privacy] settings, None where no mechanism protects it."""
    settings = state.started.config.get("privacy") if state.started is not None else None
    on = isinstance(settings, Mapping) and settings.get("mechanism", "none") != "none"
    return settings if on else None


def _secure(state: RunState) -> bool:
    """Tell whether updates are summed unseen."""
    settings = state.started.config.get("privacy") if state.started is not None else None
    return isinstance(settings, Mapping) and settings.get("secure_sum") is True


def _spent(state: RunState) -> float:
    return state.privacy.epsilon if state.privacy is not None else 0.0


def _number(settings: Mapping[str, Any], name: str) -> float:
    value = settings.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
