"""Synthetic organizations: the same text everywhere, names that stay, trades that differ."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections import Counter
from itertools import combinations

import pytest

from fedlora_tui.config import DataConfig
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.grammar import Choice, Slot, lines, parse, table
from fedlora_tui.organizations.source import open_source
from fedlora_tui.organizations.synthetic import records
from fedlora_tui.organizations.trades import TRADES
from fedlora_tui.organizations.voice import BUILT_IN

GOLDEN_PHARMACY = "04d6fb7056825df5d272924e2cfb751a5b4370d4bf17c6e71a9e7a3865a83989"
GOLDEN_PORT = "18aa7ff5724c974a01d133f6a71cc44c1f9d507823f199609cc449fc5009ddad"


@pytest.fixture
def source():
    return open_source(DataConfig(), 7)


def words(name, seed=7):
    text = " ".join(record.text for record in records(name, seed))
    return Counter(re.findall(r"[a-z]+", text.lower()))


def distance(one, other):
    """Total variation between two distributions of words."""
    every = one.keys() | other.keys()
    return sum(abs(one[word] / one.total() - other[word] / other.total()) for word in every) / 2


def texts_of(source, name):
    return [document.text for document in source.documents(name).texts]


def digest(texts):
    return hashlib.sha256("\x00".join(texts).encode()).hexdigest()


def test_the_text_of_a_seed_never_changes(source):
    assert digest(texts_of(source, "pharmacy")) == GOLDEN_PHARMACY
    assert digest(texts_of(source, "port-authority-3")) == GOLDEN_PORT


def test_another_order_and_a_disturbed_generator_change_nothing(source):
    first = source.documents("clinic")
    random.seed(1)
    source.documents("insurer")
    assert source.documents("clinic") == first
    assert open_source(DataConfig(), 8).documents("clinic") != first


def test_a_thousand_names_are_unique_and_stay(source):
    names = source.first(1000)
    assert len(set(names)) == 1000
    assert names[: len(TRADES)] == tuple(TRADES)
    assert names[len(TRADES) : 2 * len(TRADES)] == tuple(f"{trade}-2" for trade in TRADES)
    assert source.first(37) == names[:37]
    assert source.first(None) == names[:8]


def test_another_organization_is_the_first_that_is_not_here(source):
    taken = list(source.first(12))
    assert source.another(taken) == f"{taken[0]}-2"
    assert source.another(taken[1:]) == taken[0]
    assert source.names_left_reason()


@pytest.mark.parametrize("name", ["", "bakery", "clinic-1", "clinic-02", "clinic--2", "clinic-", "clinic-²", "2"])
def test_an_unknown_name_is_refused(source, name):
    with pytest.raises(UserError, match="hospital-ward"):
        source.documents(name)


@pytest.mark.parametrize("trade", TRADES)
def test_documents_are_short_records_without_copies(trade):
    for name in (trade, f"{trade}-2"):
        texts = [record.text for record in records(name, 7)]
        assert 300 <= len(texts) <= 420
        assert len(set(texts)) >= len(texts) - 1
        lengths = [len(text.split()) for text in texts]
        assert min(lengths) >= 40
        assert max(lengths) <= 110
        assert not [text for text in texts if re.search(r"[{}\[\]|]|  | [.,]|\ba an?\b|\bthe (a|an|the)\b", text)]
        assert all(text.isascii() for text in texts)


@pytest.mark.parametrize("trade", TRADES.values(), ids=str)
def test_every_slot_of_a_trade_can_be_filled(trade):
    def slots(nodes):
        for node in nodes:
            if isinstance(node, Slot):
                yield node.name
            elif isinstance(node, Choice):
                for option in node.options:
                    yield from slots(option)

    def known(name):
        return name in trade.words or name in BUILT_IN or re.fullmatch(r"\d+-\d+", name)

    templates = [line for form in trade.forms for part in (form.opening, form.middle, form.closing) for line in part]
    templates += [word for listed in trade.words.values() for word in listed]
    assert {name for template in templates for name in slots(parse(template)) if not known(name)} <= set(trade.cast)
    assert [kind for kind in trade.cast.values() if not known(kind.partition(" ")[0])] == []
    assert set(trade.own) <= set(trade.words)


def test_personal_data_is_marked_where_it_stands():
    marked = [record for record in records("bank-disputes", 7) if record.personal]
    assert len(marked) > 250
    for record in marked:
        parts = [part for value in record.personal for part in value.split()]
        assert any(part in record.text for part in parts)


def test_different_trades_differ_more_than_two_of_one_trade():
    counts = {name: words(name) for trade in TRADES for name in (trade, f"{trade}-2")}
    within = [distance(counts[trade], counts[f"{trade}-2"]) for trade in TRADES]
    across = [distance(counts[one], counts[other]) for one, other in combinations(TRADES, 2)]
    assert min(within) > 0.1, "two organizations of one trade are nearly equal"
    assert max(within) < min(across)


def test_one_organization_is_written_quickly(source):
    source.documents("school")
    started = time.process_time()
    for name in ("school-5", "law-firm-5", "insurer-5"):
        source.documents(name)
    assert time.process_time() - started < 3 * 0.3


def test_the_grammar_reads_choices_slots_and_continued_lines():
    assert parse("a {b.last} [c|{d 2}[e|]]") == (
        "a ",
        Slot("b", part="last"),
        " ",
        Choice("c|{d 2}[e|]", (("c",), (Slot("d", "2"), Choice("e|", (("e",), ()))))),
    )
    assert lines("\n    one\n        and more\n\n    two\n") == ("one and more", "two")
    assert table("colour: red | dark\n    green") == {"colour": ("red", "dark green")}


@pytest.mark.parametrize("template", ["[a", "a]b[", "{a", "[a|[b]"])
def test_the_grammar_refuses_brackets_that_do_not_match(template):
    with pytest.raises(ValueError, match=r"match|substring"):
        parse(template)
