"""Whatever a configuration or a journal says is taken, or is refused in words: no crash, no state."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.config import RULES, Config, Setting, load, to_toml
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.events import KINDS, Record, from_json, to_json
from fedlora_tui.protocol.state import RunState, apply

DEMO = Path(__file__).parents[2] / "fedlora_tui" / "assets" / "demo" / "events.jsonl"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@cache
def lines() -> list[str]:
    return DEMO.read_text(encoding="utf-8").splitlines()


@cache
def one_of_each_kind() -> list[str]:
    return list({json.loads(line)["type"]: line for line in lines()}.values())


def read(line: str) -> Record | None:
    said = ""
    try:
        return from_json(line)
    except ValueError as error:
        said = str(error)
    assert said
    return None


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda some: some.decode("latin-1")))
def test_no_text_as_a_journals_line_does_more_than_be_refused(line: str) -> None:
    read(line)


@settings(max_examples=300)
@given(st.data())
def test_a_changed_line_is_refused_or_folds_and_can_be_written_again(data: st.DataObject) -> None:
    event = json.loads(data.draw(st.sampled_from(one_of_each_kind())))
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(event)))
        if data.draw(st.booleans()):
            event[name] = data.draw(JSON)
        else:
            event.pop(name)
            if not event:
                break
    record = read(json.dumps(event))
    if record is None:
        return
    state = RunState()
    for line in lines()[:60]:
        state = apply(state, from_json(line))
    after = apply(state, record)
    assert after.seq == max(state.seq, record.seq)
    assert from_json(to_json(record)).event.type == record.event.type


@settings(max_examples=60)
@given(st.lists(st.integers(0, 400), max_size=40))
def test_lines_in_any_order_fold(places: list[int]) -> None:
    state = RunState()
    for place in places:
        state = apply(state, from_json(lines()[place % len(lines())]))
    assert state.seq == max((from_json(lines()[place % len(lines())]).seq for place in places), default=0)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_kind_without_its_fields_is_refused_with_its_name(kind: str) -> None:
    line = json.dumps({"v": 1, "seq": 1, "t": 1.0, "type": kind})
    record = read(line)
    assert record is None or record.event.type == kind


def taken(path: Path | None, changes: list[Setting]) -> Config | None:
    said = ""
    try:
        return load(path, changes)
    except UserError as error:
        said = str(error)
    assert said
    assert "\n" not in said
    return None


@given(st.text(max_size=120))
def test_no_text_as_a_configuration_does_more_than_be_refused(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "config.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass" if text.isascii() else "replace")
    taken(path, [])


@settings(max_examples=200)
@given(st.sampled_from(sorted(RULES)), st.text(max_size=20) | JSON.map(str))
def test_no_value_of_a_key_does_more_than_be_refused(name: str, text: str) -> None:
    taken(None, [Setting(name, text, f"--set {name}={text}")])


@settings(max_examples=100)
@given(st.data())
def test_a_changed_configuration_is_taken_or_refused(tmp_path_factory, data: st.DataObject) -> None:
    rows = to_toml(load(None)).splitlines()
    row = data.draw(st.integers(0, len(rows) - 1))
    rows[row] = data.draw(st.text(max_size=10)) + rows[row][data.draw(st.integers(0, 20)) :]
    path = tmp_path_factory.mktemp("fuzz") / "config.toml"
    path.write_text("\n".join(rows), encoding="utf-8", errors="replace")
    taken(path, [])
