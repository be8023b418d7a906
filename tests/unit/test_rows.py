"""Text as rows of tokens: what each piece holds, how much of a hold-out is measured, what batches depend on."""

from __future__ import annotations

import hashlib
import pickle
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.lora.rows import (
    IGNORED,
    Row,
    RowArray,
    Rows,
    Shape,
    batches,
    generator_seed,
    packed,
    padded,
    targets,
    tokenize,
)
from fedlora_tui.lora.rows import (
    drawn as rows_drawn,
)
from fedlora_tui.organizations.text import Document

END = 0


class Letters:
    """One token a letter: a is 1, b is 2, ..."""

    eos_token_id = END

    def __call__(self, texts, **kwargs):
        assert kwargs["add_special_tokens"] is False
        return {"input_ids": [[ord(letter) - 96 for letter in text] for text in texts]}


texts = st.lists(st.text("abcdefg", min_size=1, max_size=40), min_size=1, max_size=6)
lengths = st.integers(3, 17)


def plain(documents):
    return [Document(text) for text in documents]


def pieces(documents, max_length):
    rows = tokenize(Letters(), "org", plain(documents), (), Shape(max_length, 100)).train
    assert all(row.first_target == 1 for row in rows)
    return tuple(row.tokens for row in rows)


@given(texts, lengths)
def test_no_token_is_lost_and_pieces_are_consecutive(documents, max_length):
    joined = [token for piece in pieces(documents, max_length) for token in piece]
    assert joined == [token for text in documents for token in [*(ord(letter) - 96 for letter in text), END]]


@given(texts, lengths)
def test_each_document_ends_in_its_end_token_and_that_token_is_predicted(documents, max_length):
    rows = pieces(documents, max_length)
    ends = [piece for piece in rows if END in piece]
    assert len(ends) == len(documents)
    assert all(piece.index(END) == len(piece) - 1 > 0 for piece in ends)


@given(texts, lengths)
def test_pieces_hold_two_tokens_to_max_length_and_only_the_end_of_a_document_is_short(documents, max_length):
    rows = pieces(documents, max_length)
    assert all(2 <= len(piece) <= max_length for piece in rows)
    for text in documents:
        own = pieces([text], max_length)
        assert len(own) == -(-(len(text) + 1) // max_length)
        assert all(len(piece) == max_length for piece in own[:-2])
        assert len(own) == 1 or len(own[-2]) >= max_length - 1


def test_a_document_of_no_tokens_gives_no_row():
    assert pieces([""], 8) == ()
    assert tokenize(Letters(), "org", (), (), Shape(8, 100)) == Rows("org", (), ())


@given(texts, lengths, st.integers(1, 60))
def test_the_holdout_is_whole_rows_up_to_its_limit_and_one_at_least(documents, max_length, limit):
    everything = tokenize(Letters(), "org", (), plain(documents), Shape(max_length, 10**9)).holdout
    kept = tokenize(Letters(), "org", (), plain(documents), Shape(max_length, limit)).holdout
    assert kept == everything[: len(kept)]
    assert kept
    assert targets(kept) <= limit or len(kept) == 1
    if len(kept) < len(everything):
        assert targets(everything[: len(kept) + 1]) > limit


def test_counts_are_of_predicted_tokens():
    rows = Rows("org", (Row((1, 2, 3, 0)), Row((4, 0)), Row((7, 8, 9, 0), 2)), (Row((5, 6, 0)),))
    assert rows.train_tokens == 6
    assert rows.holdout_tokens == 2


ROWS = tuple(Row((number, 0)) for number in range(1, 12))


def drawn(seed=1, name="org", round=1, steps=6, epochs=0, size=4):
    return batches(ROWS, size, seed, name, round, steps, epochs)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 65, 1000])
def test_rows_are_drawn_in_the_order_of_pythons_own_shuffle(count):
    rows = [Row((number, 0)) for number in range(count)]
    seed = hashlib.sha256(b"batches|7|a|3").digest()
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    drawn = batches(rows, 2, 7, "a", 3, 0, 1)
    assert [row for batch in drawn for row in batch] == shuffled


def test_batches_of_rows_in_bytes_are_those_of_the_rows_and_know_the_longest_before_any_is_made():
    rows = [Row(tuple(range(2 + number % 7))) for number in range(40)]
    held = rows_drawn(RowArray(rows), 3, 7, "a", 1, 5, 0)
    assert list(held) == batches(rows, 3, 7, "a", 1, 5, 0)
    assert held[1:3][0] == held[1]
    expected = max(len(row) for batch in held for row in batch)
    assert held.longest == rows_drawn(rows, 3, 7, "a", 1, 5, 0).longest == expected


def test_batches_depend_on_seed_name_and_round_alone():
    assert drawn() == drawn()
    assert len({str(drawn(**change)) for change in ({}, {"seed": 2}, {"name": "other"}, {"round": 2})}) == 4


@pytest.mark.parametrize("steps", [1, 3, 4, 10])
def test_steps_are_counted_across_passes_and_each_pass_meets_every_row_once(steps):
    given_batches = drawn(steps=steps)
    assert len(given_batches) == steps
    for start in range(0, steps - 2, 3):  # 11 rows of 4: a pass is 4, 4 and 3 rows
        one_pass = given_batches[start : start + 3]
        assert sorted((row for batch in one_pass for row in batch), key=str) == sorted(ROWS, key=str)
    assert drawn(steps=10)[:steps] == given_batches


def test_passes_are_in_different_orders():
    given_batches = drawn(steps=6)
    assert given_batches[:3] != given_batches[3:]


@pytest.mark.parametrize("epochs", [1, 3])
def test_epochs_count_instead_of_steps(epochs):
    given_batches = drawn(steps=1, epochs=epochs)
    assert len(given_batches) == 3 * epochs
    assert sorted((row for batch in given_batches for row in batch), key=str) == sorted(ROWS * epochs, key=str)


def test_generator_seeds_differ_by_each_part_and_fit_in_63_bits():
    parts = [("dropout", 1, "a", 1), ("other", 1, "a", 1), ("dropout", 2, "a", 1), ("dropout", 1, "b", 1)]
    seeds = [generator_seed(*each) for each in [*parts, ("dropout", 1, "a", 2)]]
    assert len(set(seeds)) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_padding_and_first_tokens_carry_no_label():
    rows = [Row((5, 6, 7)), Row((8, 9)), Row(())]
    inputs = padded(rows, 3, torch.device("cpu"))
    assert inputs.tokens.tolist() == [[5, 6, 7], [8, 9, 3], [3, 3, 3]]
    assert inputs.labels.tolist() == [[IGNORED, 6, 7], [IGNORED, 9, IGNORED], [IGNORED] * 3]
    assert (inputs.labels != IGNORED).sum() == targets(rows)
    assert inputs.positions is None


def test_positions_begin_anew_at_each_document_and_its_first_token_carries_no_label():
    rows = [Row((5, 6, 7, 8, 9, 0), starts=(2, 4)), Row((4, 3, 0))]
    inputs = padded(rows, 1, torch.device("cpu"))
    assert inputs.positions.tolist() == [[0, 1, 0, 1, 0, 1], [0, 1, 2, 3, 4, 5]]
    assert inputs.labels.tolist()[0] == [IGNORED, 6, IGNORED, 8, IGNORED, 0]
    assert (inputs.labels != IGNORED).sum() == targets(rows) == 5


def in_documents(row):
    """The documents, or pieces of them, that a row holds."""
    return [row.tokens[start:stop] for start, stop in pairwise((0, *row.starts, len(row)))]


def whole(documents):
    return [Row((*(ord(letter) - 96 for letter in text), END)) for text in documents]


@given(texts, lengths)
def test_packing_loses_no_token_and_begins_no_piece_inside_another(documents, length):
    rows = list(packed(whole(documents), length))
    found = [piece for row in rows for piece in in_documents(row)]
    assert [token for piece in found for token in piece] == [token for row in whole(documents) for token in row.tokens]
    assert all(piece.index(END) == len(piece) - 1 for piece in found if END in piece)
    assert all(len(piece) > 1 for piece in found)
    assert sum(END in piece for piece in found) == len(documents)


@given(texts, lengths)
def test_packed_rows_are_full_but_the_last(documents, length):
    rows = list(packed(whole(documents), length))
    assert all(length - 2 <= len(row) <= length for row in rows[:-1])
    assert len(rows[-1]) <= length
    assert targets(rows) == sum(len(piece) - 1 for row in rows for piece in in_documents(row))


def test_a_document_with_a_prompt_shares_no_row():
    asked = Row((1, 2, 3, 0), 2)
    assert list(packed([Row((4, 0)), asked, Row((5, 0))], 8)) == [asked, Row((4, 0, 5, 0), starts=(2,))]


def test_an_organization_that_packing_would_leave_too_few_rows_has_one_a_document():
    documents = plain(["abc", "de", "fgh"])
    packing = Shape(12, 100, packed=True, fewest=1)
    assert [row.starts for row in tokenize(Letters(), "org", documents, (), packing).train] == [(4, 7)]
    alone = tokenize(Letters(), "org", documents, (), replace(packing, fewest=2)).train
    assert [row.tokens for row in alone] == [(1, 2, 3, 0), (4, 5, 0), (6, 7, 8, 0)]


def test_a_hold_out_is_measured_one_document_a_row():
    documents = plain(["abc", "de", "fgh"])
    rows = tokenize(Letters(), "org", documents, documents, Shape(12, 100, packed=True))
    assert not any(row.starts for row in rows.holdout)
    assert len(rows.holdout) == 3


@given(
    st.lists(
        st.builds(
            lambda tokens, first, starts: Row(tuple(tokens), first, tuple(sorted(starts))),
            st.lists(st.integers(0, 200_000), min_size=1, max_size=12),
            st.integers(1, 3),
            st.sets(st.integers(1, 9), max_size=3),
        ),
        max_size=9,
    )
)
def test_rows_come_out_of_an_array_as_they_went_in(rows):
    held = RowArray(iter(rows))
    assert list(held) == rows
    assert held == rows
    assert held[1:-1] == rows[1:-1]
    assert [held[-place] for place in range(1, len(rows) + 1)] == rows[::-1]
    assert targets(held) == targets(rows)
    seen = Counter(token for row in rows for token in row.tokens)
    assert dict(zip(*(part.tolist() for part in held.unigrams), strict=True)) == seen
    with pytest.raises(IndexError):
        held[len(rows)]


def test_a_waiting_organization_takes_two_bytes_a_token_of_a_small_vocabulary():
    held = RowArray(Row(tuple(range(i, i + 128))) for i in range(1000))
    assert len(pickle.dumps(held)) < 2.2 * 128 * 1000
