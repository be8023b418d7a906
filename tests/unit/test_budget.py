"""What the console, the log and a card say of a privacy budget."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from fedlora_tui.config import PrivacyConfig
from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE
from fedlora_tui.console.log_lines import plain_entry
from fedlora_tui.console.widgets.budget import OFF, budget_line, budget_short, said_of_export, said_while_tuning
from fedlora_tui.headless import _sentence
from fedlora_tui.lora.export import UNPROTECTED
from fedlora_tui.privacy.statement import statement
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record, from_json, to_json
from fedlora_tui.protocol.state import RunState, fold

SPENT = ev.PrivacySpent(3.207, 1e-5, 4, 8.0, "PLD", 2.0, 0.25, "poisson")
PRIVATE = asdict(PrivacyConfig(mechanism="gaussian", noise_multiplier=2.0))


def state(*told: ev.Event, **privacy: object) -> RunState:
    started = ev.RunStarted("r", "m", 1, 1, 4, 8.0, "fedit", ("a",), "cpu", {"privacy": PRIVATE | privacy})
    return fold(RunState(), [from_json(to_json(Record(n, 1.0, event))) for n, event in enumerate((started, *told), 1)])


def words(parts) -> str:
    return "".join(part if isinstance(part, str) else part[0] for part in parts)


def test_the_pane_and_the_narrow_row_show_epsilon_of_its_budget():
    assert words(budget_line(state(SPENT), UNICODE)) == "ε 3.21 of 8.00 ████░░░░░░ δ 1e-5"
    assert words([budget_short(state(SPENT), UNICODE)]) == "ε 3.21/8"
    assert words(budget_line(state(), UNICODE)).startswith("ε 0.00 of 8.00 ")
    assert words(budget_line(state(SPENT, target_epsilon=0.0), UNICODE)) == "ε 3.21 no budget  δ 1e-5"
    assert words(budget_line(state(SPENT), ASCII)).startswith("eps 3.21 of 8.00 ")
    seeded = state(SPENT, seeded_noise=True)
    assert "it protects nothing" in words(budget_line(seeded, UNICODE))
    assert words([budget_short(seeded, UNICODE)]) == "ε 3.21 seeded"
    assert said_of_export(seeded, UNICODE).endswith("for tests: it protects nothing.")


def test_without_a_mechanism_they_say_that_privacy_is_off():
    for off in (state(mechanism="none"), RunState()):
        assert words(budget_line(off, UNICODE)) == OFF
        assert budget_short(off, UNICODE) is None
        assert said_of_export(off, UNICODE).startswith("Written with privacy: none.")


def test_the_tuning_panel_says_what_protects_the_run_and_that_it_stays():
    assert said_while_tuning(RunState(), UNICODE) == "Protection: none; fixed for the run."
    noised = said_while_tuning(state(SPENT), UNICODE)
    assert noised == "Protection: noise, ε 3.21 of 8.00; fixed, and no turn may spend more."
    assert said_while_tuning(state(SPENT, target_epsilon=0.0), UNICODE).endswith(", no budget; fixed for the run.")
    summed = said_while_tuning(state(mechanism="none", secure_sum=True), UNICODE)
    assert summed == "Protection: a secure sum; fixed for the run."
    assert ", and a secure sum; fixed" in said_while_tuning(state(SPENT, secure_sum=True), UNICODE)
    assert "protects nothing" in said_while_tuning(state(SPENT, seeded_noise=True), UNICODE)


def test_log_progress_and_export_dialog_tell_what_was_spent():
    entry = plain_entry(Record(1, 1.0, SPENT), UNICODE, RunState())
    assert entry is not None
    assert entry.words == "3.21 of 8.00 at δ 1e-5 with round 4 (PLD)"
    finished = ev.RoundFinished(4, 9, 2.0, 3.0, 1, 1, 1.0, 5, 0.1, ("a",))
    assert _sentence(Record(2, 1.0, finished), state(SPENT)).endswith("   epsilon 3.21 of 8")
    assert "epsilon" not in _sentence(Record(2, 1.0, finished), state())
    assert said_of_export(state(SPENT), UNICODE) == (
        "Written with privacy: ε 3.21 at δ 1e-5 for a whole organization so far; the card says more."
    )


def test_a_run_that_goes_back_keeps_what_it_spent():
    continued = ev.RunContinued(1, "stopped", ("a",), 9, 4, {}, 0.1, "fedit", 1)
    assert state(SPENT, continued).privacy == SPENT


@pytest.mark.parametrize(
    ("sampling", "probability", "unit", "assumption"),
    [
        ("poisson", 0.25, "there or not", "each by a lot of its own (0.25 of them a round)"),
        ("fixed", 0.25, "replaced by another", "a fixed number of them (0.25 of them a round)"),
        ("fixed", 1.0, "there or not", "none: all organizations in every sum"),
    ],
)
def test_the_statement_names_unit_accountant_and_sampling(sampling, probability, unit, assumption):
    kept = [{"noise_multiplier": 2.0, "probability": probability, "sampling": sampling}] * 3
    said = statement(PRIVATE | {"clip": "module", "noise": "organizations", "withhold_losses": True}, kept)
    for part in (
        unit,
        assumption,
        "by module",
        "the organizations, the server adding what is missing",
        "(dp-accounting)",
    ):
        assert part in said
    assert "losses that organizations send" not in said
    assert "losses that organizations send" in statement(PRIVATE, kept)
    assert statement(PRIVATE, kept).startswith("Differential privacy of whole organizations: epsilon = ")
    assert "nothing below protects anybody" in statement(PRIVATE | {"seeded_noise": True}, kept).split("\n")[0]
    assert "trained with neither clipping nor noise" in statement(PRIVATE, kept, own=True)


def test_the_statement_says_none_where_there_is_none():
    assert statement(PRIVATE | {"mechanism": "none"}, []) == statement(PRIVATE, []) == statement({}, []) == UNPROTECTED
