"""What is kept of the organizations' replies: the newest of each, as far as there is room."""

from __future__ import annotations

from dataclasses import replace

from fedlora_tui.federation.last_replies import LastReplies, LastReply
from fedlora_tui.lora.delta import NO_DELTA
from tests.tiny_models import FAMILIES, base_of, random_adapter

BASE = base_of(FAMILIES["gpt2"]())
REPLY = LastReply(1, random_adapter(BASE), NO_DELTA)
BYTES = REPLY.adapter.parameters * 4


def test_the_newest_reply_of_an_organization_takes_the_place_of_the_one_before() -> None:
    replies = LastReplies()
    replies.keep("alpha", REPLY)
    replies.keep("alpha", replace(REPLY, round=2))
    found = replies.wanted("alpha")
    assert found is not None
    assert found.round == 2
    replies.forget("alpha")
    assert replies.wanted("alpha") is None


def test_the_oldest_is_let_go_of_but_not_the_one_that_is_wanted() -> None:
    replies = LastReplies(most=2 * BYTES)
    replies.wanted("alpha")
    for name in ("alpha", "beta", "gamma", "delta"):
        replies.keep(name, REPLY)
    assert [name for name in ("alpha", "beta", "gamma", "delta") if name in replies._replies] == ["alpha", "delta"]


def test_one_that_is_wanted_stays_whatever_it_weighs() -> None:
    replies = LastReplies(most=1)
    replies.keep("alpha", REPLY)
    assert replies.wanted("alpha") is None
    replies.keep("alpha", REPLY)
    assert replies.wanted("alpha") is REPLY
