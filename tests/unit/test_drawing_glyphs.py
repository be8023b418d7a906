"""Glyphs: every state has one, none is an emoji, and ASCII has them all."""

from dataclasses import fields

import pytest
from rich.cells import cell_len

from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE, Glyphs, glyphs_for

LONGER = {"left", "right", "ellipsis", "epsilon", "delta", "degree"}


def texts(glyphs: Glyphs):
    for field in fields(glyphs):
        value = getattr(glyphs, field.name)
        if isinstance(value, str):
            yield field.name, value
        elif not isinstance(value, bool):
            yield from ((field.name, text) for text in (value.values() if hasattr(value, "values") else value))


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_a_sign_is_one_cell(glyphs):
    for name, text in texts(glyphs):
        assert cell_len(text) == len(text)
        assert len(text) == 1 or name in LONGER | {"trend", "quarters"}, name


def test_ascii_is_ascii():
    assert all(text.isascii() for _, text in texts(ASCII))


def test_both_name_the_same_states():
    assert UNICODE.run.keys() == ASCII.run.keys()
    assert UNICODE.organization.keys() == ASCII.organization.keys()
    assert UNICODE.run_state("paused") == "‖"
    assert ASCII.organization_state("quarantine") == "#"
    assert UNICODE.run_state("unheard of") == "?"


def test_states_of_a_run_differ():
    for glyphs in (UNICODE, ASCII):
        assert len(set(glyphs.run.values())) == len(glyphs.run)


@pytest.mark.parametrize(
    ("environment", "encoding", "forced", "expected"),
    [
        ({"LANG": "en_GB.UTF-8"}, "utf-8", False, UNICODE),
        ({"LANG": "en_GB.utf8"}, "UTF8", False, UNICODE),
        ({}, "utf-8", False, UNICODE),
        ({"LANG": "en_GB.UTF-8"}, "utf-8", True, ASCII),
        ({"TERM": "linux", "LANG": "C.UTF-8"}, "utf-8", False, ASCII),
        ({"LC_ALL": "C", "LANG": "en_GB.UTF-8"}, "utf-8", False, ASCII),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", False, UNICODE),
        ({"LANG": "de_DE.ISO-8859-15@euro"}, "utf-8", False, ASCII),
        ({}, "iso-8859-1", False, ASCII),
        ({}, None, False, ASCII),
        ({}, "no such one", False, ASCII),
    ],
)
def test_glyphs_for(environment, encoding, forced, expected):
    assert glyphs_for(environment, encoding, forced) is expected
