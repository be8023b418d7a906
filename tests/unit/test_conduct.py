"""What is held against organizations, and when it is enough for quarantine."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.engine.conduct import Conduct
from fedlora_tui.protocol import events as ev

GOOD = ev.UpdateReceived("a", 1, 1, 1, 1, 2.0)
BAD = ev.UpdateRejected("a", 1, "loss is nan")
GONE = ev.UpdateRejected("a", 1, "no reply came", answered=False)
LATE = ev.UpdateLate("a", 1, "after the deadline of 2 s", 5.0)
SURPLUS = ev.UpdateLate("a", 1, "2 replies were in already", 5.0, surplus=True)
UNWILLING = ev.UpdateRejected("a", 1, "its policy does not allow the method fedit")


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([BAD], None),
        ([BAD, BAD], "2 replies refused (loss is nan)"),
        ([BAD, GOOD, BAD], None),
        ([GONE, GONE], "2 rounds without a reply"),
        ([GONE, BAD], "2 rounds without a usable reply (loss is nan)"),
        ([LATE, LATE], None),
        ([LATE, LATE, LATE], "3 replies late"),
        ([BAD, LATE], "2 rounds without a usable reply (after the deadline of 2 s)"),
        ([LATE, BAD], None),
        ([LATE, BAD, GONE], "3 rounds without a usable reply (no reply came)"),
        ([LATE, GOOD, LATE, GOOD, LATE], None),
        ([BAD, SURPLUS, BAD], "2 replies refused (loss is nan)"),
        ([SURPLUS] * 9, None),
        ([UNWILLING] * 9, None),
        ([BAD, UNWILLING, BAD], "2 replies refused (loss is nan)"),
        ([BAD, ev.OrgLeft("a", 2), BAD], None),
        ([BAD, BAD, ev.OrgQuarantined("a", 2, "x"), ev.OrgReleased("a", 3), BAD], None),
    ],
)
def test_so_many_strikes_in_a_row_are_enough(events, reason):
    found = Conduct(events).offenders(2)
    assert ({name: own.reason for name, own in found.items()} or None) == ((reason and {"a": reason}) or None)
    assert not Conduct(events).offenders(0)


def test_one_round_may_be_enough():
    assert Conduct([BAD]).offenders(1)["a"].reason == "1 reply refused (loss is nan)"
    assert Conduct([GONE]).offenders(1)["a"].reason == "1 round without a reply"


def test_quarantine_lasts_until_it_is_released_or_leaves():
    conduct = Conduct([BAD, BAD, ev.OrgQuarantined("a", 2, "x"), ev.OrgQuarantined("b", 2, "x")])
    assert conduct.quarantined == {"a", "b"}
    assert not conduct.offenders(1)
    assert Conduct.restored(conduct.kept()).quarantined == {"a", "b"}
    assert Conduct.restored({}).quarantined == frozenset()
    conduct.take(ev.OrgReleased("a", 3))
    assert conduct.quarantined == {"b"}
    conduct.take(ev.OrgLeft("b", 3))
    assert not conduct.quarantined


@given(st.lists(st.sampled_from([GOOD, BAD, GONE, LATE, SURPLUS]), max_size=12), st.integers(1, 4))
def test_judging_goes_by_the_events_alone_and_a_good_reply_makes_all_good(events, after):
    conduct = Conduct()
    for event in events:
        conduct.take(event)
    assert conduct.offenders(after) == Conduct(events).offenders(after)
    assert Conduct.restored(json.loads(json.dumps(conduct.kept()))).offenders(after) == conduct.offenders(after)
    assert not Conduct([*events, GOOD]).offenders(after)
    last = next((place for place, event in enumerate(reversed(events)) if event is GOOD), len(events))
    since = [event for event in events[len(events) - last :] if event is not SURPLUS]
    firm = sum(event in (BAD, GONE) for event in since)
    assert bool(conduct.offenders(after)) >= (firm >= after)
    assert bool(conduct.offenders(after)) <= (len(since) >= after)
