"""The console over the journal of a private run: epsilon of its budget, and dashes where losses were withheld."""

from __future__ import annotations

import pytest

from fedlora_tui.privacy.accounting import in_words
from fedlora_tui.protocol.events import RoundFinished
from tests.flows.test_replaying import replayed, watch
from tests.tiny_runs import WatchedRun, configured, small_settings


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    settings = small_settings(tmp_path_factory.mktemp("withheld"))
    private = {"privacy__mechanism": "gaussian", "privacy__noise_multiplier": 5.0, "privacy__withhold_losses": "true"}
    watched = WatchedRun(configured(settings, **private)).go()
    assert watched.run.state.phase == "done", watched.run.refusal or watched.run.state.reason
    return watched.journal()


@pytest.mark.parametrize(
    ("size", "part", "of"), [((80, 24), "machine-line", "/8"), ((120, 40), "machine", " of 8.00 █")]
)
async def test_epsilon_of_its_budget_is_seen_and_no_loss_is(journal, size, part, of):
    second = max(place for place, record in enumerate(journal, 1) if isinstance(record.event, RoundFinished))
    async with replayed(journal, second, size) as console:
        await watch(console, 1.0)
        assert f"ε {in_words(console.app.session.state.privacy.epsilon)}{of}" in console.text(part)
        rows = [row.split() for row in console.text("table").splitlines() if "done" in row]
        # State, steps, and dashes for loss, hold-out and gain.
        assert [row[-len(row) :].count("–") for row in rows if "alpha" in row] == [3]
        assert "hold-out –   train –" in console.text("log")
