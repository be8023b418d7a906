"""Synthetic organizations: the same text everywhere, names that stay, trades that differ."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from functools import cache
from itertools import combinations, islice
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

import fedlora_tui
from fedlora_tui.config import DataConfig
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.distinct import MOST_SHARED, Distinct
from fedlora_tui.organizations.grammar import Choice, Slot, lines, parse, table
from fedlora_tui.organizations.source import open_source
from fedlora_tui.organizations.synthetic import records
from fedlora_tui.organizations.trades import TRADES
from fedlora_tui.organizations.voice import BUILT_IN

GOLDEN_PHARMACY = "decb5c4d6f2b92615c731454a72e6acad71bac101203c00b59543874ea2cc48f"
GOLDEN_PORT = "e963f9f1f3f88a447cfd53fd20e3993d9211f3a5237a9e25d8581ee2721ec00c"
GOLDEN_EVERY_TRADE = "7310c01b098adadeb4f59faa71501e81d49396c7e497f20f8ffae8f92742efb0"


@pytest.fixture
def source():
    return open_source(DataConfig(), 7)


def words(name, seed=7):
    text = " ".join(record.text for record in (written(name) if seed == 7 else records(name, seed)))
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
    assert digest(record.text for trade in TRADES for record in islice(records(trade, 11), 40)) == GOLDEN_EVERY_TRADE


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
    assert taken[-1] == "insurer"
    assert source.another(taken) == "hotel"
    assert source.another(list(TRADES)) == f"{taken[0]}-2"
    assert source.another(taken[1:]) == taken[0]
    assert source.names_left_reason()


@pytest.mark.parametrize("name", ["", "bakery", "clinic-1", "clinic-02", "clinic--2", "clinic-", "clinic-²", "2"])
def test_an_unknown_name_is_refused(source, name):
    with pytest.raises(UserError, match="hospital-ward"):
        source.documents(name)


@cache
def written(name):
    """The first records of two organizations of every trade, for all tests of what they hold."""
    return tuple(records(name, 7))


@cache
def tokenizer():
    loaded = Tokenizer.from_file(str(Path(fedlora_tui.__file__).parent / "assets" / "embedded" / "tokenizer.json"))
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


def most_shared(texts):
    """The largest share of the shorter one's word 5-grams that two of the texts have in common, pair by pair."""
    grams = []
    for text in texts:
        words = text.split()
        grams.append({tuple(words[start : start + 5]) for start in range(len(words) - 4)})
    places = {gram: place for place, gram in enumerate(set().union(*grams))}
    sizes = torch.tensor([float(len(own)) for own in grams])
    holders = [[] for _ in places]
    for number, own in enumerate(grams):
        for gram in own:
            holders[places[gram]].append(number)
    shared = torch.zeros(len(texts), len(texts), dtype=torch.int16)
    for held in holders:
        if len(held) > 1:
            at = torch.tensor(held)
            shared[at.unsqueeze(1), at] += 1
    shares = shared / torch.minimum(sizes.unsqueeze(1), sizes)
    return float(shares.fill_diagonal_(0).max())


@pytest.mark.parametrize("trade", TRADES)
def test_documents_are_as_many_and_as_long_as_the_trade_says(trade):
    (fewest, most), lengths = TRADES[trade].documents, []
    for name in (trade, f"{trade}-2"):
        texts = [record.text for record in written(name)]
        assert fewest <= len(texts) <= most
        assert len(set(texts)) == len(texts)
        assert not [text for text in texts if re.search(r"[{}\[\]|]|  | [.,]|\ba an?\b|\bthe (a|an|the)\b", text)]
        assert not [text for text in texts if re.search(r"\ba [aei]", text)]
        assert all(text.isascii() for text in texts)
        lengths += [len(text.split()) for text in texts]
    assert min(lengths) >= 15
    assert sorted(lengths)[len(lengths) // 2] <= TRADES[trade].length[1]


def test_trades_differ_in_length_and_amount():
    """Log lines of under 30 words stand beside letters of over 90, a thousand documents beside two and a half."""
    medians = {t: sorted(len(r.text.split()) for r in written(t))[len(written(t)) // 2] for t in TRADES}
    assert len(TRADES) >= 16
    assert min(medians.values()) < 30
    assert max(medians.values()) > 90
    amounts = [len(written(trade)) for trade in TRADES]
    assert min(amounts) >= 1000
    assert max(amounts) > 2500


def test_no_document_is_over_the_context_and_nearly_all_fit_one_row():
    texts = [record.text for trade in TRADES for name in (trade, f"{trade}-2") for record in written(name)]
    tokens = [len(encoding.ids) for encoding in tokenizer().encode_batch(texts)]
    assert max(tokens) < 256
    assert sum(count > 125 for count in tokens) < 0.05 * len(tokens)


@pytest.mark.parametrize("trade", TRADES)
def test_no_two_documents_of_an_organization_are_nearly_the_same(trade):
    assert most_shared([record.text for record in written(trade)]) <= MOST_SHARED + 1e-6


WORDS = st.lists(st.sampled_from("abcd"), min_size=5, max_size=14).map(" ".join)


@given(st.lists(WORDS, max_size=25))
def test_what_is_taken_is_all_that_is_not_too_close_to_what_was_taken_before(texts):
    distinct, taken = Distinct(), []
    for text in texts:
        close = any(most_shared([text, other]) > MOST_SHARED + 1e-6 for other in taken)
        assert distinct.takes(text) is not close
        taken += [] if close else [text]


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
    for trade in TRADES:
        marked = [record for record in written(trade) if record.personal]
        assert len(marked) > 0.3 * len(written(trade))
        assert all(value in record.text for record in marked for value in record.personal)
    (known,) = [record for record in written("hotel") if record.text.startswith("Room 524, 15:19: guest Paula Ibarra")]
    assert known.personal == ("Paula Ibarra", "Magda Haddad")


def test_different_trades_differ_more_than_two_of_one_trade():
    counts = {name: words(name) for trade in TRADES for name in (trade, f"{trade}-2")}
    within = [distance(counts[trade], counts[f"{trade}-2"]) for trade in TRADES]
    across = [distance(counts[one], counts[other]) for one, other in combinations(TRADES, 2)]
    assert min(within) > 0.1, "two organizations of one trade are nearly equal"
    assert max(within) < min(across)


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
