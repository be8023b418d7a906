"""`bench secure` on a run of three tiny organizations: bytes of both ways, what of them are shares, the same losses."""

from __future__ import annotations

import pytest

from fedlora_tui.benchmarks.secure import Secure
from fedlora_tui.errors import UserError
from tests.tiny_runs import configured, small_settings


def test_both_ways_are_told_side_by_side(tmp_path):
    config = configured(small_settings(tmp_path), privacy__secure_range=2.0)
    report = Secure(config, (3,), lambda text: None).report()
    plain, secure = report.rows
    assert [row["name"] for row in report.rows] == ["3 plain", "3 secure"]
    assert (plain["shares_kib"], plain["sum_seconds"], plain["bound"]) == (None, None, None)
    assert secure["up_kib"] * 1024 == 128 + 4 * 1026 + 535
    assert 0 < secure["shares_kib"] < 1
    assert secure["own_processor_seconds"] > 0
    assert 0 < secure["bound"] < 1e-8
    assert secure["loss"] == pytest.approx(plain["loss"], abs=1e-5)
    assert report.ratios["bytes_up"] == {"3": secure["up_kib"] / plain["up_kib"]}


def test_a_sum_of_two_is_refused():
    with pytest.raises(UserError, match="bench secure: a secure sum takes 3 organizations or more"):
        Secure(configured({}), (8, 2), lambda text: None).report()
