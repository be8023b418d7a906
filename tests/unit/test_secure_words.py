"""What a console says of a run whose updates are summed unseen."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from fedlora_tui.config import PrivacyConfig
from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.console.log_lines import plain_entry
from fedlora_tui.console.widgets.budget import budget_line
from fedlora_tui.privacy.accounting import Charge, in_words, spent
from fedlora_tui.privacy.statement import statement
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.state import RunState, apply


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"privacy": {"secure_sum": True}}, "secure sum: the server sees sums alone"),
        ({"privacy": {"secure_sum": False}}, "privacy off: the server sees each update"),
        (
            {"privacy": {"secure_sum": True, "mechanism": "gaussian", "target_epsilon": 8.0, "delta": 1e-5}},
            "ε 0.00 of 8.00  δ 1e-5  secure sum",
        ),
        ({}, "privacy off: the server sees each update"),
    ],
)
def test_the_machines_pane_says_what_the_server_sees(config, words):
    started = ev.RunStarted("r", "m", 100, 10, 4, 8.0, "fedit", ("a", "b", "c"), "cpu", config)
    line = budget_line(apply(RunState(), Record(1, 0.0, started)), UNICODE)
    assert "".join(part if isinstance(part, str) else part[0] for part in line) == words


def test_an_adapters_card_says_that_its_updates_were_summed_unseen():
    settings = asdict(PrivacyConfig(secure_sum=True))
    assert statement(settings, []).endswith("which takes nothing from what an adapter gives away.")
    charged = [{"noise_multiplier": 1.0, "probability": 1.0, "sampling": "fixed"}]
    told = statement({**settings, "mechanism": "gaussian"}, charged)
    assert "| what the server saw | sums of updates, and no single one (secure sum) |" in told
    assert "epsilon for the other organizations" not in told, "all are in every sum"
    drawn = [{"noise_multiplier": 1.0, "probability": 0.5, "sampling": "fixed"}]
    told = statement({**settings, "mechanism": "gaussian"}, drawn)
    known = in_words(spent([Charge(1.0, 1.0, "fixed")], 1e-5).epsilon)
    assert f"| epsilon for the other organizations | {known}, there or not: in a secure sum they see who" in told
    assert "epsilon for the other" not in statement({**settings, "mechanism": "gaussian", "secure_sum": False}, drawn)
    assert "secure sum" not in statement({**settings, "mechanism": "gaussian", "secure_sum": False}, charged)


def test_the_log_page_says_what_was_summed_and_what_that_took():
    def said(gone):
        event = ev.SecureSummed(3, ("a", "b"), gone, 2, 3, 1024, 1024, 0.02, 40, 0, 1e-9)
        return plain_entry(Record(9, 0.0, event), UNICODE, RunState()).words

    failed = ev.SecureFailed(3, "2 of 3 organizations are left", {"a": 600})
    assert plain_entry(Record(9, 0.0, failed), UNICODE, RunState()).words == "no sum: 2 of 3 organizations are left"
    assert said(()) == "sum of all updates, none seen: 2.0 KiB of shares, 20 ms"
    assert said(("c",)) == "sum of 2 of 3 updates, none seen: 2.0 KiB of shares, 20 ms"
