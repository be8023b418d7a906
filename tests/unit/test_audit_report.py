"""What an audit found, kept as JSON and told in words: nothing is lost, and nothing says more than was measured."""

import math
from dataclasses import replace

import pytest

from fedlora_tui.privacy.audit.report import markdown, summary
from fedlora_tui.protocol.audits import Interval, from_json, to_json
from tests.one_audit import AUDIT


def test_what_was_found_reads_back_as_it_was() -> None:
    assert from_json(to_json(AUDIT)) == AUDIT
    bare = replace(AUDIT, secrets=(), membership=(), personal=(), left_out=None, epsilon=None)
    assert from_json(to_json(bare)) == bare
    assert from_json(to_json(replace(AUDIT, epsilon=math.inf))).epsilon is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"run": 3}', to_json(AUDIT).replace("[0.5", '["half"')])
def test_what_is_no_audit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(text)


def test_the_report_has_every_figure_under_its_heading() -> None:
    report = markdown(AUDIT)

    for words in (
        "# Audit of 1122-1402, round 6 of 20",
        "Privacy: gaussian, epsilon 7.91 at delta 1e-05.",
        "| hospital-ward | of all | 3 | 11.7 | yes |",
        "| nobody (control) | of all | 4,197 | 1.2 | no |",
        "| loss | all | 300 | 300 | 0.631 (0.540 to 0.723) | 5.6% (3.3% to 8.8%) | 0.0% to 3.7% |",
        "| in training text alone | 3,955 | 12 | 0.3% (0.2% to 0.5%) |",
        "Epsilon of hospital-ward is at least 0.81 (95%) at delta 1e-05; claimed is 7.91: not more than was claimed.",
        "An attack that fails proves nothing",
    ):
        assert words in report


def test_a_broken_claim_and_what_was_not_asked_are_told() -> None:
    assert AUDIT.left_out is not None
    broken = replace(AUDIT, left_out=replace(AUDIT.left_out, epsilon=Interval(None, 9.0, 9.0)))
    assert "MORE THAN WAS CLAIMED" in summary(broken)[-1]
    bare = markdown(
        replace(AUDIT, secrets=(), membership=(), personal=(), left_out=None, epsilon=None, mechanism="none")
    )
    for words in (
        "None was planted",
        "Not asked",
        "nobody knows what is personal",
        "--leave-out NAME",
        "Privacy: none.",
    ):
        assert words in bare


def test_the_summary_is_a_line_an_attack() -> None:
    lines = summary(AUDIT)

    assert lines[1].startswith("secrets: 1 of 2 exposed (2.1 to 11.7 bits), controls: 0 of 2")
    assert lines[2].startswith("members by loss: AUC 0.631; at 1% false alarms 5.6%, above chance (0.0% to 3.7%)")
    assert "within chance" in lines[3]
    assert lines[4].startswith("personal data in 64 continuations: 12 of 3,955 in training text alone")
    assert len(lines) == 6
