"""Other keys for actions: which names they have, what is refused, and where they are shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.keys import _character_to_key

from fedlora_tui.cli import main
from fedlora_tui.config import Setting, load, to_toml
from fedlora_tui.console.actions.action import Situation
from fedlora_tui.console.actions.keymap import Keymap
from fedlora_tui.console.actions.registry import ACTIONS, REGISTRY, keys_on, markdown_table
from fedlora_tui.console.actions.remapping import NAMED, STAYS, directions, keymap_of, textual_names
from fedlora_tui.console.footer import footer_places
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.state import RunState

SIGNS = [chr(code) for code in range(33, 127)]


@pytest.mark.parametrize("sign", SIGNS)
def test_a_sign_is_the_key_that_a_terminal_sends_for_it(sign: str) -> None:
    assert _character_to_key(sign) in textual_names(sign)


@pytest.mark.parametrize("name", ["", "hyper", "ctrl+", "ctrl+i", "ctrl+m", "ctrl+1", "f13", "ab", "\x1b", "\n"])
def test_what_is_no_key_has_no_name(name: str) -> None:
    assert textual_names(name) == ()


def test_nothing_remapped_is_the_registry() -> None:
    assert keymap_of({}) == Keymap()
    assert keys_on("", Keymap()) == keys_on("")
    named = {key for names in map(textual_names, [*NAMED, *SIGNS]) for key in names}
    assert named >= {key for action in REGISTRY for key in action.keys}


def test_an_action_has_its_new_keys_and_not_its_old_ones() -> None:
    keymap = keymap_of({"pause": "f2 ctrl+x", "rank": "f3 f4"})
    keys = keys_on("", keymap)
    assert keys["f2"] == keys["ctrl+x"] == (ACTIONS["pause"], "")
    assert "space" not in keys
    assert "p" not in keys
    assert ACTIONS["rank"].keys_in(keymap) == {"f3": "down", "f4": "up"}
    assert ACTIONS["add"].keys_in(keymap) == ACTIONS["add"].keys


def test_two_actions_change_keys_with_each_other() -> None:
    keys = keys_on("", keymap_of({"add": "d", "drop": "a"}))
    assert (keys["a"][0].id, keys["d"][0].id) == ("drop", "add")


def test_what_ends_the_console_in_need_stays() -> None:
    keys = ACTIONS["leave"].keys_in(keymap_of({"leave": "Q"}))
    assert keys == {"Q": "", "upper_q": "", **STAYS["leave"]}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"pause": "a"},
            'console.keys.pause = "a": pause and add would both be on a; give one of them another key',
        ),
        ({"add": "space"}, 'console.keys.add = "space": add and pause would both be on space'),
        ({"tune": "ctrl+c"}, 'console.keys.tune = "ctrl+c": tune and leave would both be on ctrl+c'),
        ({"add": "[", "drop": "x"}, "add and rank would both be on ["),
        ({"puase": "z"}, 'console.keys.puase = "z": puase is no action; nearest is pause'),
        ({"???": "z"}, 'console.keys.??? = "z": ??? is no action; known are pause, '),
        (
            {"pause": "hyper"},
            '"hyper" is no key here; allowed are keys like space, p, [, ctrl+x or f2, with spaces between them',
        ),
        ({"pause": " "}, "pause needs at least one; allowed are keys like space"),
        ({"rank": "z"}, "rank needs 2 keys, for down, up"),
        ({"panes": "z 9 8"}, "panes needs 2 keys, for next, previous"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed(given: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError) as refused:
        keymap_of(given)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_footer_and_the_documents_table_show_them() -> None:
    keymap = keymap_of({"pause": "f2", "rank": "f3 f4", "leave": "ctrl+x"})
    texts = [place.text for place in footer_places(Situation(RunState(), keymap=keymap), "wide", 200)]
    assert texts[0] == "f2 pause"
    assert "f3 f4 rank" in texts
    assert texts[-1] == "ctrl+x quit"
    table = markdown_table(keymap)
    assert "| `f2` | pause, resume;" in table
    assert "| `ctrl+x ^c ^q` | leave" in table


def test_directions_are_those_of_the_registry() -> None:
    assert directions(ACTIONS["rank"]) == ["down", "up"]
    assert directions(ACTIONS["leave"]) == []


def test_a_file_is_refused_with_its_line_before_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[console]\ntheme = "dark"\n\n[console.keys]\nundo = "f5"\npause = "a"\n')
    runs = f"runs.dir={tmp_path / 'runs'}"
    assert main(["run", "-c", str(file), "--set", runs]) == 2
    told = capsys.readouterr().err
    assert f'{file}:6: console.keys.pause = "a": pause and add would both be on a' in told
    assert not (tmp_path / "runs").exists()


def test_a_flag_is_refused_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--set", 'console.keys={pause = "a"}', "--set", f"runs.dir={tmp_path / 'runs'}"]) == 2
    assert "--set console.keys" in capsys.readouterr().err


def test_what_is_no_table_of_texts_is_refused() -> None:
    for text in ("3", '"space"', "{ pause = 3 }"):
        with pytest.raises(UserError, match=r"console\.keys = .*: allowed is a table of keys by action"):
            load(None, [Setting("console.keys", text, "--set")])


def test_the_file_that_is_written_is_read_again(tmp_path: Path) -> None:
    config = load(None, [Setting("console.keys", '{ pause = "f2", rank = "[ ]" }', "--set")])
    file = tmp_path / "c.toml"
    file.write_text(to_toml(config))
    assert load(file).console.keys == {"pause": "f2", "rank": "[ ]"}
