"""The split of one organization's documents into train and hold-out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.text import Document, Documents, in_words, notice
from fedlora_tui.organizations.text import split as split_documents

DOCUMENTS = st.lists(st.text(max_size=12), max_size=40)
SHARES = st.floats(0, 1)


def split(organization, texts, holdout, seed, **more):
    """The split with its two sides as plain texts."""
    documents = Documents(tuple(Document(text) for text in texts), **more)
    private = split_documents(organization, documents, holdout, seed)
    sides = {side: tuple(document.text for document in getattr(private, side)) for side in ("train", "holdout")}
    return replace(private, **sides)


def distinct(documents):
    return {document.strip() for document in documents} - {""}


@given(documents=DOCUMENTS.filter(lambda texts: len(distinct(texts)) >= 2), share=SHARES, seed=st.integers())
def test_every_distinct_document_lies_on_exactly_one_side(documents, share, seed):
    private = split("clinic", documents, share, seed)
    both = [text.strip() for text in private.train + private.holdout]
    assert len(both) == len(set(both)) == private.documents
    assert set(both) == distinct(documents)
    assert private.train
    assert private.holdout
    assert private.documents + sum(private.dropped.values()) == len(documents)


@given(count=st.integers(2, 300), share=SHARES)
def test_the_share_is_rounded_and_leaves_no_side_empty(count, share):
    private = split("clinic", [f"document {n}" for n in range(count)], share, 7)
    assert len(private.holdout) == min(max(round(share * count), 1), count - 1)


@given(count=st.integers(2, 60), seed=st.integers(0, 99))
def test_both_sides_keep_the_order_of_the_documents(count, seed):
    documents = [f"document {n}" for n in range(count)]
    private = split("clinic", documents, 0.3, seed)
    assert list(private.train) == [text for text in documents if text in private.train]
    assert list(private.holdout) == [text for text in documents if text in private.holdout]


def test_the_draw_depends_on_the_seed_and_the_name_alone():
    documents = [f"document {n}" for n in range(200)]
    here = split("clinic", documents, 0.1, 7)
    split("insurer", documents[:50], 0.5, 7)
    assert split("clinic", iter(documents), 0.1, 7) == here
    assert split("clinic", documents, 0.1, 8).holdout != here.holdout
    assert split("insurer", documents, 0.1, 7).holdout != here.holdout


def test_the_same_documents_are_held_out_on_every_machine():
    private = split("clinic", [f"document {n}" for n in range(30)], 0.1, 7)
    assert private.holdout == ("document 19", "document 21", "document 26")


def test_the_first_of_equal_documents_is_kept():
    private = split("clinic", ["one \n", "two", "one", " two", "", "three"], 0.1, 7, dropped={"broken": 4})
    assert set(private.train + private.holdout) == {"one \n", "two", "three"}
    assert private.dropped == {"broken": 4, "duplicate": 2, "empty": 1}
    assert in_words(private.dropped) == "4 broken, 2 duplicate, 1 empty"


@pytest.mark.parametrize("documents", [[], ["marmalade"], ["marmalade", " marmalade "]])
def test_fewer_than_two_documents_name_the_organization_and_quote_nothing(documents):
    with pytest.raises(UserError) as refused:
        split("clinic", documents, 0.1, 7)
    assert "clinic" in str(refused.value)
    assert "marmalade" not in str(refused.value)


def test_equal_responses_to_different_prompts_are_different_documents():
    documents = Documents(tuple(Document("yes", prompt) for prompt in ("one?", "two?", "one? ")))
    private = split_documents("clinic", documents, 0.5, 7)
    assert private.documents == 2
    assert private.dropped == {"duplicate": 1}


def test_a_notice_counts_and_quotes_nothing():
    assert notice("clinic", Documents((Document("marmalade"),)), 64) == ""
    told = notice("clinic", Documents((), {"broken": 2, "empty": 1100}, repaired=3, cut=4, full=True), 64)
    assert told == (
        "documents of clinic: 1,102 dropped (1,100 empty, 2 broken), 3 with undecodable bytes, "
        "4 cut off documents that were too long for one, the rest not read after 64 MiB (data.max_megabytes)"
    )
