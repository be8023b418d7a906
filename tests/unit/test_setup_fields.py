"""The fields of the setup screen: cursor, choices, numbers, what is typed; and the configuration that comes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tomli
from textual import events

from fedlora_tui.config import LEFT_OUT, RULES, Config, load, to_toml
from fedlora_tui.console.setup.fields import RANKS, Fields
from fedlora_tui.console.setup.offer import Choice, Chosen, Found
from fedlora_tui.init_command import offer
from fedlora_tui.setup_choice import FURTHER, KEYS, complaints, lines_of, text_of, usual_rounds, values

USUAL = Chosen("embedded", "synthetic", "", 8, 4, 60, "auto")


@pytest.fixture
def fields() -> Fields:
    return Fields(offer("config.toml"))


def typed(fields: Fields, name: str, text: str) -> Fields:
    while fields.cursor != name:
        fields.move(1)
    assert fields.type(text) == ""
    return fields


def test_at_first_a_run_is_the_usual_one(fields: Fields) -> None:
    assert fields.chosen == USUAL
    own = load(None)
    assert (own.model.base, own.federation.rounds, own.lora.rank) == (USUAL.base, USUAL.rounds, USUAL.rank)


def test_the_cursor_goes_round_and_passes_over_what_cannot_be_chosen(fields: Fields) -> None:
    seen = []
    for _ in range(7):
        seen.append(fields.cursor)
        fields.move(1)
    assert seen == ["base", "data", "organizations", "rank", "protection", "rounds", "device"]
    assert fields.cursor == "base"
    fields.move(1)
    fields.turn(1)
    fields.move(1)
    assert fields.cursor == "path"


def test_rounds_follow_the_base_until_they_are_typed(fields: Fields) -> None:
    fields.found(Found(bases=(Choice("embedded"), Choice("gpt2"))))
    fields.turn(1)
    assert (fields.chosen.base, fields.chosen.rounds) == ("gpt2", usual_rounds("gpt2"))
    assert usual_rounds("gpt2") != usual_rounds("embedded")
    typed(fields, "rounds", "5")
    fields.move(1)
    fields.move(1)
    fields.turn(-1)
    assert (fields.chosen.base, fields.chosen.rounds) == ("embedded", 5)


def test_a_letter_at_a_base_begins_another_one(fields: Fields) -> None:
    for letter in " ./q ":
        fields.type(letter)
    assert fields.chosen.base == "./q"
    assert fields.edit(events.Key("backspace", None))
    assert fields.edit(events.Key("ctrl+u", None))
    assert fields.chosen.base == ""
    fields.turn(1)
    assert fields.chosen.base == "embedded"


def test_bases_found_later_leave_what_was_chosen(fields: Fields) -> None:
    fields.turn(-1)
    fields.type("mine")
    fields.found(Found(bases=(Choice("embedded"), Choice("a"), Choice("b"))))
    assert fields.chosen.base == "mine"
    fields.turn(-1)
    assert fields.chosen.base == "b"


def test_a_path_counts_only_where_the_data_has_one(fields: Fields) -> None:
    fields.move(1)
    fields.turn(1)
    fields.type("./offices")
    assert (fields.cursor, fields.chosen.path, fields.chosen.organizations) == ("path", "./offices", None)
    fields.move(-1)
    fields.turn(-1)
    assert (fields.chosen.source, fields.chosen.path, fields.chosen.organizations) == ("synthetic", "", 8)


def test_ranks_go_through_the_consoles_ladder_and_say_where_it_ends(fields: Fields) -> None:
    while fields.cursor != "rank":
        fields.move(1)
    seen = [fields.chosen.rank]
    while fields.turn(1) == "":
        seen.append(fields.chosen.rank)
    assert seen == [4, 8, 16, 32, 64]
    assert "64 is the most" in fields.turn(1)
    assert fields.edit(events.Key("ctrl+u", None))
    typed(fields, "rank", "5")
    fields.turn(-1)
    assert fields.chosen.rank == 4
    assert tuple(sorted(RANKS)) == RANKS


def test_numbers_take_digits_alone_and_nothing_typed_is_the_usual_one(fields: Fields) -> None:
    typed(fields, "organizations", "1")
    assert "a number belongs here" in fields.type("x")
    fields.type("2")
    assert fields.chosen.organizations == 12
    fields.turn(1)
    assert fields.chosen.organizations == 13
    assert fields.edit(events.Key("ctrl+u", None))
    assert fields.chosen.organizations == 8
    typed(fields, "rounds", "25")
    fields.turn(1)
    assert fields.chosen.rounds == 30
    fields.turn(-1)
    fields.turn(-1)
    fields.turn(-1)
    assert fields.chosen.rounds == 1


def test_digits_at_the_protection_are_a_budget_and_choose_noise(fields: Fields) -> None:
    while fields.cursor != "protection":
        fields.move(1)
    assert (fields.chosen.protection, fields.chosen.epsilon) == ("none", "")
    assert not fields.edit(events.Key("backspace", None))
    assert "a budget belongs here" in fields.type("x")
    fields.turn(1)
    assert (fields.chosen.protection, fields.chosen.epsilon) == ("epsilon", "8")
    fields.turn(1)
    assert (fields.chosen.protection, fields.chosen.epsilon) == ("secure sum", "")
    for digit in "2.5":
        assert fields.type(digit) == ""
    assert (fields.chosen.protection, fields.chosen.epsilon) == ("epsilon", "2.5")
    assert fields.edit(events.Key("ctrl+u", None))
    assert fields.chosen.epsilon == "8"


def test_what_only_has_choices_takes_no_letter_and_no_key_of_a_line(fields: Fields) -> None:
    fields.move(1)
    assert fields.type("x") == "left and right choose here"
    assert not fields.edit(events.Key("left", None))


def test_the_caret_goes_through_what_is_typed_and_beyond_its_edges_the_choices_turn(fields: Fields) -> None:
    fields.type("q2")
    assert not fields.edit(events.Key("right", None))
    for key in ("left", "backspace"):
        assert fields.edit(events.Key(key, None))
    assert fields.chosen.base == "2"
    assert not fields.edit(events.Key("left", None))
    fields.turn(-1)
    assert fields.chosen.base == "embedded"
    typed(fields, "rank", "16")
    assert not fields.edit(events.Key("left", None))
    for key in ("home", "delete"):
        assert fields.edit(events.Key(key, None))
    assert fields.chosen.rank == 6


def test_the_console_goes_through_the_same_ranks() -> None:
    from fedlora_tui.console.actions import turning_ranks

    assert turning_ranks.RANKS == RANKS


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"rank": 0}, "rank", "allowed is a whole number from 1 to 1,024"),
        ({"rank": 2000}, "rank", "allowed is a whole number from 1 to 1,024"),
        ({"rounds": 0}, "rounds", "from 1 to 1,000,000"),
        ({"organizations": 1}, "organizations", "fewer than federation.min_organizations = 2"),
        ({"organizations": 0}, "organizations", "from 1 to 100,000"),
        ({"base": ""}, "base", "type a Hugging Face id, a folder or a .gguf file"),
        ({"source": "folder"}, "path", "type the folder of texts"),
        ({"source": "table"}, "path", "type the table's file"),
        ({"source": "hub"}, "path", "type the dataset's id"),
        ({"protection": "epsilon", "epsilon": "0"}, "protection", "type a budget above 0"),
        ({"protection": "epsilon", "epsilon": "1.2.3"}, "protection", "privacy.target_epsilon"),
        ({"protection": "epsilon", "epsilon": "99999"}, "protection", "privacy.target_epsilon"),
    ],
)
def test_what_the_words_alone_show_to_be_wrong_is_said_of_its_field(
    wrong: dict[str, object], field: str, words: str
) -> None:
    found = complaints(replace(USUAL, **wrong))  # type: ignore[arg-type]
    assert list(found) == [field]
    assert words in found[field]
    assert "\n" not in found[field]


def test_every_choice_of_the_usual_run_is_allowed() -> None:
    assert complaints(USUAL) == {}
    assert set(KEYS.values()) <= set(RULES)


CHOICES = [
    USUAL,
    Chosen("gpt2", "folder", 'C:\\of "fices" ünd', None, 16, 20, "cpu"),
    Chosen("embedded", "table", "all.csv", None, 8, 60, "cpu", "epsilon", "2.5"),
    Chosen("embedded", "synthetic", "", 32, 8, 60, "cpu", "secure sum"),
    Chosen("./my-model", "hub", "someone/texts", 3, 1, 1_000_000, "cuda:1"),
]


@pytest.mark.parametrize("chosen", CHOICES)
def test_the_file_loads_to_exactly_what_was_chosen(chosen: Chosen, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text_of(chosen), encoding="utf-8")
    config = load(file)
    assert config.model.base == chosen.base
    assert config.model.device == chosen.device
    assert (config.data.source, config.data.path) == (chosen.source, chosen.path)
    assert config.organizations == chosen.organizations
    assert (config.lora.rank, config.federation.rounds) == (chosen.rank, chosen.rounds)
    assert (config.privacy.mechanism == "gaussian") == (chosen.protection == "epsilon")
    assert config.privacy.secure_sum == (chosen.protection == "secure sum")
    assert config.privacy.target_epsilon == float(chosen.epsilon or 8.0)
    others = {key for key in RULES if key not in (*KEYS.values(), *FURTHER)}
    usual = load(None) if chosen.base == "embedded" else Config()
    for key in others:
        section, _, name = key.partition(".")
        assert getattr(getattr(config, section), name) == getattr(getattr(usual, section), name), key


def test_the_file_has_the_form_of_the_one_in_the_repository() -> None:
    assert text_of(None) == to_toml(Config(), LEFT_OUT)
    ours, theirs = text_of(USUAL).splitlines(), text_of(None).splitlines()
    assert len(ours) == len(theirs)
    changed = [ours for ours, theirs in zip(ours, theirs, strict=True) if ours != theirs]
    assert [line.split("=")[0].strip() for line in changed] == ["organizations", "rounds"]
    assert all(line.partition("  # ")[2] for line in changed)


@pytest.mark.parametrize("chosen", CHOICES)
def test_the_lines_that_are_shown_hold_what_was_chosen_and_nothing_else(chosen: Chosen) -> None:
    tables = tomli.loads("\n".join(lines_of(chosen)))
    shown = {f"{section}.{name}": value for section, table in tables.items() for name, value in table.items()}
    assert shown == values(chosen)
