"""Prompt and response as tokens: where the targets begin, what the template adds, what a long prompt gives way to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.lora.prompts import layout_of
from fedlora_tui.lora.rows import Row, Shape, encoded, measured, pieces, targets, tokenize
from fedlora_tui.organizations.text import Document
from tests.tiny_runs import tiny_base

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(tiny_base()))


def one(tokenizer, prompt, text):
    (row,) = encoded(tokenizer, [Document(text, prompt)])
    return tokenizer.decode(row.tokens[: row.first_target]), tokenizer.decode(row.tokens[row.first_target :])


def test_without_a_template_there_is_a_plain_layout(tokenizer):
    asked, told = one(tokenizer, "How many dragons?", "Four.")
    assert (
        asked == "Below is a request. Write the reply that fits it.\n\n### Request:\nHow many dragons?\n\n### Reply:\n"
    )
    assert told == "Four.<|end|>"


def test_the_chat_template_is_used_where_there_is_one_and_the_end_stands_once(tokenizer):
    tokenizer.chat_template = CHATML
    assert one(tokenizer, "How many?", "Four.") == ("<|user|>How many?<|end|>\n<|assistant|>", "Four.<|end|>")


def test_a_turn_that_ends_in_another_token_is_closed_before_the_end_of_text(tokenizer):
    tokenizer.chat_template = CHATML.replace("<|end|>", "<|turn|>")
    assert one(tokenizer, "How many?", "Four.")[1] == "Four.<|turn|><|end|>"


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('marmalade') }}", "nothing of it", "{{ messages[0].gone.gone }}"]
)
def test_a_template_that_cannot_take_a_question_is_passed_over(tokenizer, template, caplog):
    tokenizer.chat_template = template
    assert "### Request" in layout_of(tokenizer).before("a")
    assert "marmalade" not in caplog.text


def test_text_without_a_prompt_stays_plain_beside_pairs(tokenizer):
    plain, pair = encoded(tokenizer, [Document("amber barrel"), Document("amber barrel", "why?")])
    (alone,) = encoded(tokenizer, [Document("amber barrel")])
    assert plain == alone
    assert pair.targets == len(alone)
    assert pair.tokens[pair.first_target :] == alone.tokens


def test_documents_of_no_tokens_and_many_at_once():
    calls = []

    class Letters:
        eos_token_id = 0

        def __call__(self, texts, **kwargs):
            calls.append(len(texts))
            return {"input_ids": [[ord(letter) for letter in text] for text in texts]}

    rows = list(encoded(Letters(), [Document("ab"), Document("")] * 300))
    assert rows == [Row((97, 98, 0))] * 300
    assert max(calls) <= 256


LONG = st.builds(lambda prompt, text: Row(tuple(range(prompt + text)), prompt), st.integers(2, 60), st.integers(1, 60))


@given(row=LONG, max_length=st.integers(8, 40))
def test_every_target_is_in_one_piece_and_no_prompt_is_a_target(row, max_length):
    cut = list(pieces(row, max_length))
    assert all(2 <= len(piece) <= max_length and piece.targets >= 1 for piece in cut)
    joined = [token for piece in cut for token in piece.tokens]
    assert joined == list(range(joined[0], len(row)))
    assert joined[0] <= row.first_target - min(row.first_target, max_length // 2)
    predicted = [token for piece in cut for token in piece.tokens[piece.first_target :]]
    assert set(predicted) <= set(row.tokens[row.first_target :])
    # Each piece after the first begins with a token that nothing stands before, as in plain text.
    assert len(predicted) == row.targets - (len(cut) - 1)
    if len(row) <= max_length:
        assert cut == [row]


@given(st.integers(2, 200), st.integers(8, 40))
def test_plain_text_is_cut_as_ever(length, max_length):
    cut = list(pieces(Row(tuple(range(length))), max_length))
    assert targets(cut) == length - len(cut)
    assert sum(map(len, cut)) == length


def test_counts_weights_and_the_holdout_are_of_target_tokens(tokenizer):
    pairs = [
        Document(text, "amber barrel candle dragon ember falcon") for text in ("garden harbor", "island", "kettle")
    ]
    rows = tokenize(tokenizer, "org", pairs, pairs, Shape(64, 2))
    alone = tokenize(tokenizer, "org", [Document(pair.text) for pair in pairs], (), Shape(64, 2))
    assert rows.train_tokens == alone.train_tokens + len(pairs)  # plain text does not predict its first token
    assert list(rows.holdout) == list(rows.train[:1])
    assert list(measured(rows.train, Shape(64, 10**6))) == list(rows.train)
