"""The base model that ships with the product: it loads offline, is small, and has learnt English."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from fedlora_tui.lora.rows import Shape, _tokens, tokenize
from fedlora_tui.organizations.text import Document

FOLDER = Path(__file__).parents[2] / "fedlora_tui" / "assets" / "embedded"

SENTENCES = (
    "The old man walked along the road to the market, and he carried a basket of bread on his arm.",
    "If the first attempt does not succeed, the program waits for a few seconds and then tries again.",
    "She opened the door of the house and saw that the water had come up to the second step.",
    "When you change the name of a file, every other file that refers to it must be changed as well.",
    "They said that the work would be finished before the end of the year, but nobody believed them.",
)


@functools.cache
def embedded_tokenizer() -> Any:
    """The embedded tokenizer, loaded once."""
    return AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)


@pytest.fixture
def tokenizer() -> Any:
    """The embedded tokenizer."""
    return embedded_tokenizer()


@pytest.fixture(scope="module")
def model() -> Any:
    """The embedded model in float32."""
    return AutoModelForCausalLM.from_pretrained(FOLDER, local_files_only=True, dtype=torch.float32)


def test_has_between_one_and_two_million_parameters(model: Any) -> None:
    assert 1_000_000 <= model.num_parameters() <= 2_000_000


def test_all_files_together_are_under_ten_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 10_000_000


def test_weights_are_stored_in_float16_and_read_in_float32() -> None:
    with safe_open(FOLDER / "model.safetensors", "pt") as stored:
        assert {stored.get_tensor(name).dtype for name in stored.keys()} == {torch.float16}  # noqa: SIM118
    plain = AutoModelForCausalLM.from_pretrained(FOLDER, local_files_only=True)
    assert {parameter.dtype for parameter in plain.parameters()} == {torch.float32}


def test_loading_gives_no_warning(
    recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library keeps its records from the root logger, where caplog listens.
    monkeypatch.setattr(transformers_logging.get_logger("transformers"), "propagate", True)
    AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    AutoModelForCausalLM.from_pretrained(FOLDER, local_files_only=True)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert not list(recwarn)


def test_one_token_begins_ends_and_pads(model: Any, tokenizer: Any) -> None:
    assert tokenizer.eos_token == tokenizer.bos_token == tokenizer.pad_token == "<|endoftext|>"
    assert model.config.eos_token_id == model.config.bos_token_id == tokenizer.eos_token_id
    assert len(tokenizer) == model.config.vocab_size


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_tokenizer_gives_every_text_back(text: str) -> None:
    tokenizer = embedded_tokenizer()
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert all(0 <= token < len(tokenizer) for token in ids)


@pytest.mark.parametrize(
    "text", ["naïve café", "Привет, мир!", "日本語のテキスト", "🙂👩‍👩‍👧 \u200b\ufeff", " two  spaces ,\t\r\n tab"]
)
def test_tokenizer_gives_unicode_back(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@torch.inference_mode()
def test_english_is_expected_far_better_than_by_chance(model: Any, tokenizer: Any) -> None:
    total, count = 0.0, 0
    for sentence in SENTENCES:
        inputs = tokenizer(tokenizer.bos_token + sentence, return_tensors="pt")
        tokens = inputs["input_ids"].shape[1] - 1
        total += tokens * float(model(**inputs, labels=inputs["input_ids"]).loss)
        count += tokens
    # A uniform guess costs log(4,096), about 8.3 nats a token, and the unigram model 6.8 on held-out text.
    assert total / count < math.log(model.config.vocab_size) - 3.0
    assert total / count < 5.5


def test_word_order_matters_to_the_model(model: Any, tokenizer: Any) -> None:
    def loss(text: str) -> float:
        inputs = tokenizer(tokenizer.bos_token + text, return_tensors="pt")
        with torch.inference_mode():
            return float(model(**inputs, labels=inputs["input_ids"]).loss)

    for sentence in SENTENCES:
        backwards = " ".join(reversed(sentence.rstrip(".").split())) + "."
        assert loss(sentence) + 0.5 < loss(backwards)


def test_a_document_that_spells_the_end_of_text_does_not_end_there(tokenizer: Any) -> None:
    text = "before <|endoftext|> behind"
    rows = tokenize(tokenizer, "org", [Document(text)], [Document(text)], Shape(64, 64))
    (row,) = rows.train
    assert row.tokens.count(tokenizer.eos_token_id) == 1
    assert row.tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(row.tokens[:-1]) == text


@pytest.mark.parametrize("literal", [False, True])
def test_tokens_are_those_that_transformers_gives(tokenizer: Any, literal: bool) -> None:
    texts = [*SENTENCES, "", "\n\n  a\tb ", "naïve café \U0001f642", "a <|endoftext|><|endoftext|> b"]
    # What another use of the tokenizer left behind, as a chat template does, is not taken over.
    tokenizer(texts, truncation=True, max_length=2, padding=True)
    found = _tokens(tokenizer, texts, literal)
    assert found == tokenizer(texts, add_special_tokens=False, split_special_tokens=literal)["input_ids"]
    assert found[:-1] == [tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids for text in texts[:-1]]
    assert tokenizer.eos_token_id in found[-1] or literal


def test_a_tokenizer_with_a_way_of_its_own_keeps_it(tokenizer: Any) -> None:
    class Own(type(tokenizer)):  # type: ignore[misc]
        def __call__(self, texts: list[str], **how: Any) -> dict[str, list[list[int]]]:
            return {"input_ids": [[7] for _ in texts]}

    assert _tokens(Own.from_pretrained(FOLDER, local_files_only=True), list(SENTENCES[:2])) == [[7], [7]]
