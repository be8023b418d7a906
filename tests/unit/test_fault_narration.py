"""What the log pane and the narration without a terminal say of organizations that come, go and misbehave."""

from __future__ import annotations

import pytest

from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE
from fedlora_tui.console.wording import entry_of, short_reason
from fedlora_tui.headless import _sentence
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.state import RunState, fold

REASON = "2 replies refused (loss is nan)"


@pytest.mark.parametrize(
    ("event", "sign", "style", "logged", "told"),
    [
        (
            ev.UpdateRejected("beta", 3, "loss is nan"),
            *("!", "broken_bold", "reply refused: loss is nan"),
            "beta: reply refused: loss is nan",
        ),
        (
            ev.UpdateRejected("beta", 3, "no reply came", answered=False),
            *("!", "broken_bold", "no reply came"),
            "beta: no reply came",
        ),
        (
            ev.UpdateLate("beta", 3, "after the deadline of 5 s", 7.5),
            *("~", "care", "late: after the deadline of 5 s"),
            "beta: its reply is late and left out: after the deadline of 5 s",
        ),
        (
            ev.OrgQuarantined("beta", 3, REASON, 2),
            *("⊘", "broken_bold", f"quarantine: {REASON}   x releases it"),
            f"beta: in quarantine from now on: {REASON}",
        ),
        (
            ev.OrgReleased("beta", 5),
            *("+", "yours", "released from quarantine with round 5"),
            "beta: out of quarantine with round 5",
        ),
        (
            ev.OrgJoined("beta", 5, 7, 12_345, policy="rank <= 8"),
            *("+", "yours", "joined with round 5, 12.3k tokens, allows rank <= 8"),
            "beta: joined with round 5, 12.3k tokens, allows rank <= 8",
        ),
        (
            ev.OrgLeft("beta", 5, "its SuperNode is gone"),
            *("−", "yours", "left: its SuperNode is gone"),
            "beta: left: its SuperNode is gone",
        ),
        (ev.OrgLeft("beta", 5), *("−", "yours", "left"), "beta: left"),
        (
            ev.KnobTurned(5, "fault", "none", "nan", 1, "beta"),
            *("◆", "yours", "fault none → nan from round 5 on"),
            "beta: fault none -> nan from round 5 on, as asked",
        ),
    ],
)
def test_each_is_a_line_of_the_log_and_a_sentence(event, sign, style, logged, told):
    record = Record(1, 0.0, event)
    entry = entry_of(record, RunState(), UNICODE)
    assert (entry.sign, entry.style, entry.name, entry.words) == (sign, style, "beta", logged)
    assert _sentence(record, RunState()) == told
    plain = entry_of(record, RunState(), ASCII)
    assert (plain.sign + plain.words).isascii()


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("nan or infinity in transformer.h.3.attn.c_attn.lora_B.weight", "nan or infinity in h.3.attn.c_attn lora_B"),
        ("2 refused (nan in model.layers.0.q_proj.lora_A.weight)", "2 refused (nan in layers.0.q_proj lora_A)"),
        ("(transformer.h.3.attn.lora_B.weight) is not", "(h.3.attn lora_B) is not"),
        ("loss is nan", "loss is nan"),
    ],
)
def test_tensors_are_named_as_short_as_they_are_told_apart(reason, short):
    assert short_reason(reason) == short


def test_whoever_begins_with_the_run_is_no_sentence():
    assert _sentence(Record(1, 0.0, ev.OrgJoined("beta", 1, 7, 12_345)), RunState()) == ""


def test_a_setting_that_is_no_fault_is_no_sentence():
    assert _sentence(Record(1, 0.0, ev.KnobTurned(5, "rank", 4, 8, 1)), RunState()) == ""


def state_after(*events):
    started = ev.RunStarted("r", "m", 1, 1, 4, 8.0, "fedit", ("a", "b"), "cpu", {"faults": {"a": "nan"}}, rounds=5)
    told = [started, ev.RoundStarted(1, 5, ("a", "b"), 2), *events]
    return fold(RunState(), [Record(seq, float(seq), event) for seq, event in enumerate(told, 1)])


def test_the_state_knows_the_faults_of_the_configuration_and_those_given_while_it_runs():
    assert {name: org.fault for name, org in state_after().organizations.items()} == {"a": "nan", "b": ""}
    turned = state_after(
        ev.KnobTurned(2, "fault", "none", "crash", 1, "b"), ev.KnobTurned(2, "fault", "nan", "none", 1, "z")
    )
    assert {name: org.fault for name, org in turned.organizations.items()} == {"a": "nan", "b": "crash"}


def test_what_went_wrong_stays_shown_until_the_next_round_and_quarantine_until_it_is_released():
    late = ev.UpdateLate("b", 1, "after the deadline of 5 s", 7.5, bytes_up=10, bytes_down=20)
    events = [ev.UpdateRejected("a", 1, "loss is nan"), late]
    for name in "ab":
        events += [ev.OrgState(name, "testing", 1), ev.OrgEvaluated(name, 1, 2.0, 10)]
    state = state_after(*events)
    assert {name: org.state for name, org in state.organizations.items()} == {"a": "fault", "b": "late"}
    assert (state.organizations["b"].bytes_up, state.organizations["b"].note) == (10, "late: after the deadline of 5 s")
    state = state_after(*events, ev.OrgQuarantined("a", 1, REASON), ev.RoundStarted(2, 5, ("b",), 2))
    assert {name: org.state for name, org in state.organizations.items()} == {"a": "quarantine", "b": "waiting"}
    assert [state.organizations[name].note for name in "ab"] == [REASON, ""]
    state = state_after(
        *events, ev.OrgQuarantined("a", 1, REASON), ev.OrgReleased("a", 2), ev.RoundStarted(2, 5, "ab", 2)
    )
    assert (state.organizations["a"].state, state.organizations["a"].note) == ("waiting", "")


def test_one_that_is_waited_for_is_late_until_its_reply_is_in():
    events = (ev.OrgState("a", "late", 1, "3.0 times the median reply"), ev.UpdateReceived("a", 1, 1, 1, 1, 2.0))
    assert state_after(*events[:1]).organizations["a"].state == "late"
    assert state_after(*events).organizations["a"].state == "done"
