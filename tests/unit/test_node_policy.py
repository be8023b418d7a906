"""A node's policy: every mistake in its file has its place, every refusal its reason, and no reason holds any text."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.config import RULES
from fedlora_tui.errors import UserError
from fedlora_tui.node_policy import (
    EVERYTHING,
    METHODS,
    UNWRITTEN,
    Asked,
    NodePolicy,
    PrivacyLimits,
    TrainingLimits,
    is_reason,
    load_policy,
    policy_said,
    policy_toml,
    refusal,
    words,
)

PRIVATE = Asked(4, 1.0, "ffa", True, 8, 4, 0, "gaussian", clip=1.0, own_noise=0.5, epsilon=8.0, summed_unseen=True)
"""What a run with every protection asks."""


def limited(**limits: object) -> NodePolicy:
    training = {name: value for name, value in limits.items() if name in TrainingLimits.__dataclass_fields__}
    privacy = {name: value for name, value in limits.items() if name not in training}
    return NodePolicy(TrainingLimits(**training), PrivacyLimits(**privacy))


def test_a_written_policy_is_read_as_it_was_and_the_first_one_allows_everything(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    for policy in (EVERYTHING, limited(max_rank=4, methods=("ffa", "fedit"), secure_sum=True, max_epsilon=2.5)):
        file.write_text(policy_toml(policy))
        assert load_policy(file) == policy
    assert words(EVERYTHING) == ""
    assert words(limited(max_rank=4, methods=("ffa",), withhold_losses=True)) == "rank <= 4, methods ffa, no losses"
    assert refusal(EVERYTHING, Asked(1024, 900_000.0, "flora", True, 10**6, 65_536, 999_999)) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[training]\nmax_rank = 0", ":2: training.max_rank = 0: allowed is a whole number from 1 to 1,024"),
        ("[training]\n\nmax_ranks = 4", ":3: training.max_ranks = 4: training.max_ranks is not a key; nearest is"),
        ('[training]\nmethods = ["ffa", "sum"]', ':2: training.methods = ["ffa", "sum"]: allowed is "any" or a list'),
        ("[training]\nmethods = []", ":2: training.methods = []: allowed is"),
        ("[privacy]\nsecure_sum = 1", ":2: privacy.secure_sum = 1: allowed is true or false"),
        ('[privacy]\nmechanism = "laplace"', ':2: privacy.mechanism = "laplace": allowed is "none" or "gaussian"'),
        ("[privacy]\nmax_clip_norm = nan", ":2: privacy.max_clip_norm = nan: allowed is"),
        ("[trainin]\nmax_rank = 4", ":1: [trainin] is not a section; nearest is training"),
        ("max_rank = 4", ":1: max_rank is not a key of any section; nearest is training.max_rank"),
        ("training = 4", ":1: training = 4: training is a section, write [training]"),
        ("[training", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_line_with_its_file_line_key_and_value(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(UserError) as refused:
        load_policy(file)
    assert str(refused.value).startswith(str(file))
    assert said in str(refused.value)


def test_a_policy_that_is_not_there_or_no_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; fedlora-tui node --write-policy"):
        load_policy(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        load_policy(tmp_path / "bytes.toml")


LIMITS = [
    ({"max_rank": 4}, {"rank": 8}, "its policy allows a rank of 4 at most, 8 was asked"),
    ({"max_steps": 8}, {"steps": 9}, "its policy allows 8 local steps at most, 9 were asked"),
    ({"max_batch_size": 4}, {"batch_size": 5}, "its policy allows a batch of 4 rows at most, 5 were asked"),
    ({"max_rounds": 3}, {"trained": 3}, "its policy allows 3 rounds of a run at most, and so many are trained"),
    ({"max_megabytes": 1}, {"megabytes": 1.5}, "its policy allows 1 MiB at most in a message, 1.5 came"),
    ({"methods": ("ffa",)}, {"method": "fedit"}, "its policy does not allow the method fedit"),
    ({"methods": ("ffa",)}, {"method": "secret text"}, "its policy does not allow the method unknown"),
    ({"mechanism": "gaussian"}, {"mechanism": "none"}, "its policy asks for privacy.mechanism = gaussian, and"),
    ({"mechanism": "gaussian"}, {"clip": 0.0}, "its policy asks for privacy.mechanism = gaussian, and"),
    ({"max_clip_norm": 1.0}, {"clip": 1.5}, "its policy allows an update of length 1 at most, 1.5 was asked"),
    ({"max_clip_norm": 1.0}, {"clip": 0.0}, "its policy allows an update of length 1 at most, and none is clipped"),
    ({"min_own_noise": 0.5}, {"own_noise": 0.25}, "its policy asks for noise of its own of 0.5 clip norms at least"),
    ({"max_epsilon": 8.0}, {"epsilon": 9.0}, "its policy allows an epsilon of 8 at most, 9 is planned"),
    ({"max_epsilon": 8.0}, {"epsilon": 0.0}, "its policy allows an epsilon of 8 at most, and this run has no budget"),
    ({"secure_sum": True}, {"summed_unseen": False}, "its policy lets updates leave in secure sums alone"),
    ({"withhold_losses": True}, {"loss_leaves": True}, "its policy lets no loss leave"),
]


@pytest.mark.parametrize(("limits", "beyond", "said"), LIMITS)
def test_what_is_beyond_a_limit_is_refused_with_its_reason_and_at_the_limit_it_is_not(limits, beyond, said) -> None:
    asked = replace(PRIVATE, loss_leaves=False)
    if "megabytes" not in beyond:
        assert refusal(limited(**limits), replace(asked, trained=min(asked.trained, 2))) is None
    reason = refusal(limited(**limits), replace(asked, **beyond))
    assert reason is not None
    assert reason.startswith(said)
    assert is_reason(reason)


def test_every_limit_refuses_something() -> None:
    tested = {name for limits, _, _ in LIMITS for name in limits}
    assert tested == {item.name for kind in (TrainingLimits, PrivacyLimits) for item in fields(kind)}


def test_who_only_measures_is_asked_for_no_protection_of_updates_but_no_loss_leaves_where_none_may() -> None:
    measures = Asked(4, 1.0, "fedit", trains=False)
    strict = limited(mechanism="gaussian", secure_sum=True, max_clip_norm=1.0, max_steps=1)
    assert refusal(strict, measures) is None
    assert refusal(limited(withhold_losses=True), measures) == "its policy lets no loss leave"
    assert refusal(limited(max_rank=2), measures) == "its policy allows a rank of 2 at most, 4 was asked"


@given(
    st.builds(
        Asked,
        rank=st.integers(-(2**70), 2**70),
        megabytes=st.floats(),
        method=st.one_of(st.text(), st.sampled_from(METHODS)),
        trains=st.booleans(),
        steps=st.integers(-(2**70), 2**70),
        batch_size=st.integers(-(2**70), 2**70),
        trained=st.integers(0, 2**70),
        mechanism=st.sampled_from(("none", "gaussian")),
        clip=st.floats(),
        own_noise=st.floats(),
        epsilon=st.floats(),
    ),
    st.sampled_from([limited(**limits) for limits, _, _ in LIMITS]),
)
def test_whatever_is_asked_a_reason_is_of_a_form_that_holds_no_text(asked: Asked, policy: NodePolicy) -> None:
    reason = refusal(policy, asked)
    assert reason is None or is_reason(reason)


def test_no_other_text_passes_for_a_reason() -> None:
    assert is_reason(UNWRITTEN)
    good = "its policy allows a rank of 4 at most, 8 was asked"
    assert is_reason(good)
    for text in (
        f"{good} by Anna",
        f"{good}\n",
        "its policy allows a rank of 4 at most, Anna was asked",
        "its policy allows a rank of 4 at most, 8888888888888888 was asked",
        "its policy does not allow the method Anna",
        "",
    ):
        assert not is_reason(text)


def test_methods_are_those_of_the_configuration() -> None:
    assert RULES["federation.aggregation"].words == METHODS


def test_what_words_say_of_a_policy_is_read_as_that_policy_and_what_cannot_be_read_limits_nothing() -> None:
    for limits, _, _ in LIMITS:
        policy = limited(**limits)
        assert policy_said(words(policy)) == policy
    everything = limited(**{name: value for limits, _, _ in LIMITS for name, value in limits.items()})
    assert policy_said(words(everything)) == everything
    for text in ("", "rank <= 0", "rank <= 9e99", "clip <= nan", "methods none", "steps <= ", "what, ever <= 1"):
        assert policy_said(text) == EVERYTHING
