"""What an audit found, made up, for tests that show or read it."""

from __future__ import annotations

from pathlib import Path

from fedlora_tui.protocol.audits import (
    NEWEST,
    Audit,
    Interval,
    LeftOut,
    Membership,
    PersonalFound,
    SecretFound,
    to_json,
)

AUDIT = Audit(
    run="1122-1402",
    round=6,
    rounds=20,
    base="gpt2",
    aggregation="fedit",
    mechanism="gaussian",
    epsilon=7.904,
    delta=1e-5,
    organizations=("hospital-ward", "bank-disputes", "telecom-support-2"),
    repetitions=32,
    space=10_000,
    bits=7.6,
    secrets=(
        SecretFound("hospital-ward", True, 3, 11.7, True),
        SecretFound("telecom-support-2", True, 2249, 2.15, False),
        SecretFound("", False, 4197, 1.25, False),
        SecretFound("", False, 6356, 0.65, False),
    ),
    membership=(
        Membership(
            *("", "loss", 300, 300),
            Interval(0.631, 0.54, 0.723),
            Interval(0.056, 0.033, 0.088),
            Interval(0.0133, 0.0, 0.037),
            tuple((at / 40, round((at / 40) ** 0.7, 6)) for at in range(41)),
        ),
        Membership(
            *("", "calibrated", 300, 300),
            Interval(0.596, 0.502, 0.689),
            Interval(0.02, 0.0074, 0.043),
            Interval(0.0133, 0.0, 0.037),
        ),
        Membership(
            *("hospital-ward", "calibrated", 100, 100),
            Interval(0.6, 0.5, 0.7),
            Interval(0.02, 0.002, 0.07),
            Interval(0.0198, 0.0, 0.07),
        ),
    ),
    personal=(
        PersonalFound("in training text alone", 3955, 12, Interval(0.003, 0.0016, 0.0053)),
        PersonalFound("in hold-out text alone", 370, 1, Interval(0.0027, 0.0001, 0.015)),
        PersonalFound("nowhere", 3090, 0, Interval(0.0, 0.0, 0.0012)),
    ),
    samples=64,
    left_out=LeftOut("hospital-ward", 20, Interval(None, 0.81, 0.81), 7.904, 1e-5, "loss of its secret"),
    t=1763820184.0,
    seconds=41.0,
    report="audit-round-0006.md",
)


def written(runs: Path, audit: Audit = AUDIT) -> Path:
    """Put it into its run's folder; give the folder of runs."""
    (runs / audit.run).mkdir(parents=True, exist_ok=True)
    (runs / audit.run / NEWEST).write_text(to_json(audit), encoding="utf-8")
    return runs
