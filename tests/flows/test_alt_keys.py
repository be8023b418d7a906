"""A key that is held with alt is another key: it does not act as the plain one, and is named as what it is."""

from __future__ import annotations

import pytest
from textual import events
from textual.drivers import linux_driver
from textual.messages import Message

from fedlora_tui.console.alt_keys import AltParser, read_alt_keys
from tests.flows.opened import opened


def typed(sent: str) -> list[Message]:
    """Read what a terminal sends as Textual's driver does, with the silence after it in which an escape is over."""
    parser = AltParser()
    messages = list(parser.feed(sent))
    if parser._timeout_time is not None:
        parser._timeout_time = 0.0
    return [*messages, *parser.tick()]


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ("\x1bq", "alt+q"),
        ("\x1b-", "alt+-"),
        ("\x1b2", "alt+2"),
        ("\x1bf", "alt+f"),
        ("\x1b[", "alt+["),
        ("\x1b,", "alt+,"),
        ("\x1b ", "alt+space"),
        ("\x1b\r", "alt+enter"),
        ("\x1b\x03", "alt+ctrl+c"),
    ],
)
async def test_it_does_nothing_and_is_named(sent: str, named: str) -> None:
    async with opened((80, 24)) as console:
        for message in typed(sent):
            assert isinstance(message, events.Key)
            console.app.post_message(message)
        await console.pilot.pause(0.06)
        assert console.said == f"{named} does nothing here: ? lists the keys"
        assert console.run.sent == []
        assert len(console.app.screen_stack) == 1


async def test_nothing_is_written_into_a_field() -> None:
    async with opened((80, 24)) as console:
        await console.press("slash", "l")
        for message in [*typed("\x1bx"), *typed("\x1b-"), *typed("é")]:
            console.app.post_message(message)
        await console.pilot.pause(0.06)
        assert console.app.session.arrangement.typed == "lé"


def test_plain_keys_and_sequences_are_read_as_before() -> None:
    read_alt_keys()
    assert linux_driver.XTermParser is AltParser
    keys = [(key.key, key.character) for key in typed("q-\x1b[A\x1b[1;3A") if isinstance(key, events.Key)]
    assert keys == [("q", "q"), ("minus", "-"), ("up", None), ("alt+up", None)]
    assert [key.key for key in typed("\x1b") if isinstance(key, events.Key)] == ["escape"]
