"""What a fault is written as: lines, tables, what is not allowed, and that what is written out reads back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.config import Setting, load, to_mapping, to_toml
from fedlora_tui.errors import UserError
from fedlora_tui.fault_profiles import FORMS, KINDS, FaultProfile, profile_of


@pytest.mark.parametrize(
    ("written", "profile", "text"),
    [
        ("none", FaultProfile(), "none"),
        ("nan", FaultProfile("nan"), "nan"),
        ("slow", FaultProfile("slow", times=3.0), "slow x3"),
        ("slow x5", FaultProfile("slow", times=5.0), "slow x5"),
        ("  slow   x2.5 ", FaultProfile("slow", times=2.5), "slow x2.5"),
        ("poison", FaultProfile("poison", times=-10.0), "poison x-10"),
        ("poison x100 in round 3", FaultProfile("poison", times=100.0, first=3, last=3), "poison x100 in round 3"),
        ("dropout", FaultProfile("dropout"), "dropout"),
        ("dropout after 3", FaultProfile("dropout", after=3), "dropout after 3"),
        ("garbage names", FaultProfile("garbage", form="names"), "garbage names"),
        ("crash in rounds 3-6", FaultProfile("crash", first=3, last=6), "crash in rounds 3-6"),
        ("crash from round 3", FaultProfile("crash", first=3), "crash from round 3"),
        ("crash for 2 rounds", FaultProfile("crash", last=2), "crash in rounds 1-2"),
        ("crash for 1 round", FaultProfile("crash", last=1), "crash in round 1"),
        ({"kind": "slow", "times": 5, "rounds": [3, 6]}, FaultProfile("slow", 5.0, first=3, last=6), None),
        ({"kind": "nan", "rounds": 4}, FaultProfile("nan", first=4, last=4), "nan in round 4"),
        ({"kind": "nan", "rounds": [4]}, FaultProfile("nan", first=4, last=4), "nan in round 4"),
        ({"kind": "garbage", "form": "dtype"}, FaultProfile("garbage", form="dtype"), "garbage dtype"),
        ({"kind": "dropout", "after": 0}, FaultProfile("dropout", after=0), "dropout after 0"),
    ],
)
def test_a_line_or_a_table_is_a_profile(written, profile, text):
    assert profile_of(written) == profile
    assert text is None or profile.text == text


@pytest.mark.parametrize(
    "written",
    [
        *("", "nap", "NAN", "slow 5", "slow x0", "slow x-2", "slow x0.5", "poison x0", "poison x1e9", "nan x3"),
        *("nan after 2", "dropout x2", "slow names", "garbage words", "nan in round 0", "nan in rounds 6-3"),
        *(
            "nan in round",
            "nan for 0 rounds",
            "nan in round 3 in round 4",
            "slow x\u0665",
            "nan" * 1000,
            "poison x9999999",
        ),
        *(None, 5, True, 0.5, math.nan, [], ["nan"], ("nan",), b"nan", {}, {"times": 5}, {"kind": "nan", "when": 3}),
        *({"kind": ["nan"]}, {"kind": {}}, {"kind": "slow", "times": True}, {"kind": "slow", "times": math.inf}),
        *({"kind": "slow", "times": "5"}, {"kind": "slow", "times": 10**400}, {"kind": "dropout", "after": -1}),
        *({"kind": "dropout", "after": 1.5}, {"kind": "garbage", "form": 3}, {"kind": "nan", "rounds": []}),
        *({"kind": "nan", "rounds": [1, 2, 3]}, {"kind": "nan", "rounds": "3-6"}, {"kind": "nan", "rounds": [[1], 2]}),
    ],
)
def test_all_else_is_refused(written):
    with pytest.raises(ValueError, match="not "):
        profile_of(written)


rounds = st.integers(1, 1_000_000)
profiles = st.one_of(
    st.builds(FaultProfile, st.sampled_from(["crash", "nan"])),
    st.builds(FaultProfile, st.just("garbage"), form=st.sampled_from(["", *FORMS])),
    st.builds(FaultProfile, st.just("dropout"), after=st.none() | st.integers(0, 1_000_000)),
    st.builds(FaultProfile, st.just("slow"), st.floats(1.0, 1e6)),
    st.builds(FaultProfile, st.just("poison"), st.floats(-1e6, 1e6).filter(lambda times: abs(times) >= 1e-3)),
)


@given(profiles, rounds, st.none() | rounds)
def test_what_is_written_out_reads_back_as_the_same(profile, first, more):
    table = {"kind": profile.kind, "rounds": [first, first + more] if more else first}
    table |= {"times": profile.times} if profile.times is not None else {}
    table |= {"after": profile.after} if profile.after is not None else {}
    table |= {"form": profile.form} if profile.form else {}
    read = profile_of(table)
    assert profile_of(read.text) == read
    assert read.times is None or read.times == pytest.approx(profile.times, rel=1e-5)
    since = FaultProfile(read.kind, read.times, read.after, read.form, first)
    assert profile_of(since.text) == since


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from(KINDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "times", "after", "form", "rounds", "x"]), inner, max_size=5)
    ),
    max_leaves=8,
)


@given(plain, rounds)
def test_whatever_is_written_is_a_profile_that_reads_back_or_a_value_error(written, first):
    try:
        profile = profile_of(written, first)
    except ValueError:
        return
    assert profile_of(profile.text) == profile
    assert profile.kind == "none" or profile.first >= 1


@given(profiles, rounds, st.integers(0, 100), rounds)
def test_a_fault_is_there_from_its_first_round_to_its_last(profile, first, more, round):
    bounded = FaultProfile(profile.kind, first=first, last=first + more)
    assert bounded.active(round) == (first <= round <= first + more)
    assert FaultProfile(profile.kind, first=first).active(round) == (round >= first)
    assert not FaultProfile("none", first=first).active(round)


def test_rounds_that_are_counted_begin_where_the_fault_is_given():
    assert profile_of("nan for 3 rounds", first=8).text == "nan in rounds 8-10"
    assert profile_of("nan", first=8).text == "nan"
    assert profile_of("nan in round 3", first=8).text == "nan in round 3"


def test_half_the_steps_are_made_before_a_dropout_unless_it_is_said():
    assert profile_of("dropout").drops_after(9) == 4
    assert profile_of("dropout after 7").drops_after(9) == 7


FILE = """[federation]
seed = 7

[faults]
"pharmacy-1" = "nan"
clinic-2 = { kind = "slow", times = 5, rounds = [3, 6] }
"a.b" = "slow x5"
"""


def test_the_file_holds_lines_and_tables_and_is_written_back(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(FILE, encoding="utf-8")
    config = load(file, [Setting("faults.port-1", "nan", "--set faults.port-1=nan")])
    assert config.faults == {
        "pharmacy-1": "nan",
        "clinic-2": "slow x5 in rounds 3-6",
        "a.b": "slow x5",
        "port-1": "nan",
    }
    assert to_mapping(config)["faults"] == config.faults
    file.write_text(to_toml(config), encoding="utf-8")
    assert load(file).faults == config.faults


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"pharmacy-1" = "nap"', ':5: faults.pharmacy-1 = "nap": allowed is "none", "slow x5"'),
        ("clinic-2 = 5", ":6: faults.clinic-2 = 5: allowed is"),
        ('clinic-2 = { kind = "slow", times = 0 }', ":6: faults.clinic-2 = { "),
    ],
)
def test_what_is_not_allowed_is_told_with_its_line(tmp_path, line, said):
    name = line.split(" ")[0]
    lines = [line if own.startswith(name) else own for own in FILE.splitlines()]
    file = tmp_path / "config.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError) as raised:
        load(file)
    assert str(raised.value).startswith(f"{file}{said}")


def test_a_section_that_is_nearly_faults_is_told(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('[fault]\nbeta = "nan"\n', encoding="utf-8")
    with pytest.raises(UserError, match=r":1: \[fault\] is not a section; nearest is faults"):
        load(file)


def test_faults_is_a_section_and_not_a_key(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('faults = "nan"\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"faults is a section, write \[faults\]"):
        load(file)
