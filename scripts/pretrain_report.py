"""Measuring the embedded base model and writing its model card.

Here live the held-out loss of a saved model, the unigram baseline that it has to beat, sample
generations, and ``MODEL_CARD.md``. Used by ``pretrain_base.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pretrain_corpus import SOURCES, installed_version
from transformers import AutoModelForCausalLM, AutoTokenizer

Tokens = NDArray[np.uint16]

PROMPTS = (
    "The server keeps a copy of",
    "If you want to learn a new language,",
    "The house stood on a hill, and",
)


@dataclass(frozen=True)
class Score:
    """Summed losses, in nats, of the model and of the unigram baseline on the same held-out tokens."""

    tokens: int
    model: float
    unigram: float

    def __add__(self, other: Score) -> Score:
        """The two held-out sets taken together."""
        return Score(self.tokens + other.tokens, self.model + other.model, self.unigram + other.unigram)

    def row(self, name: str) -> str:
        """One line of the model card's table of held-out losses."""
        model, unigram = self.model / self.tokens, self.unigram / self.tokens
        return (
            f"| {name} | {self.tokens:,} | {model:.3f} | {math.exp(model):.1f} | {unigram:.3f} "
            f"| {math.exp(unigram):.1f} | {unigram - model:.3f} |"
        )


@dataclass(frozen=True)
class TrainingFacts:
    """What the model card says about the training."""

    command: str
    hardware: str
    precision: str
    minutes: float
    steps: int
    batch: int
    learning_rate: float
    documents: int
    held_out_documents: int
    training_tokens: int


def unigram_nats(training: Tokens, vocabulary: int) -> NDArray[np.float64]:
    """Each token's negative log-probability by its frequency in training, with add-one smoothing."""
    counts = np.bincount(training, minlength=vocabulary) + 1.0
    return np.asarray(-np.log(counts / counts.sum()), dtype=np.float64)


@torch.inference_mode()
def score(model: torch.nn.Module, stream: Tokens, unigram: NDArray[np.float64], context: int) -> Score:
    """Score every token after the first once, in consecutive windows of ``context`` tokens."""
    total, count = 0.0, 0
    for start in range(0, len(stream) - 1, context):
        window = torch.from_numpy(stream[start : start + context + 1].astype(np.int64))
        inputs = window[None, :-1]
        logits = model(input_ids=inputs, attention_mask=torch.ones_like(inputs)).logits[0]
        total += float(torch.nn.functional.cross_entropy(logits.float(), window[1:], reduction="sum"))
        count += len(window) - 1
    return Score(count, total, float(unigram[stream[1:]].sum()))


def held_out_scores(folder: Path, training: Tokens, held_out: dict[str, Tokens]) -> dict[str, Score]:
    """Scores by source of the model saved in ``folder``: of what ships, rounded to float16 as it is."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    unigram = unigram_nats(training, model.config.vocab_size)
    return {source: score(model, stream, unigram, model.config.n_positions) for source, stream in held_out.items()}


def samples(folder: Path, seed: int, length: int = 60) -> list[str]:
    """One sampled continuation of each prompt, at temperature 0.7 from the 40 likeliest tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    texts = []
    for number, prompt in enumerate(PROMPTS):
        torch.manual_seed(seed + number)
        encoded = tokenizer(prompt, return_tensors="pt")
        output = model.generate(**encoded, max_new_tokens=length, do_sample=True, temperature=0.7, top_k=40)
        texts.append(str(tokenizer.decode(output[0], skip_special_tokens=True)))
    return texts


def source_table(training_tokens: dict[str, int]) -> str:
    """The sources as Markdown: package, version, licence, tokens trained on."""
    rows = ["| Debian package | Version | Text | Licence of the text | Training tokens |", "|---|---|---|---|---:|"]
    for source in SOURCES:
        version = installed_version(source.package) or "unknown"
        tokens = training_tokens[source.package]
        rows.append(f"| {source.package} | {version} | {source.describes} | {source.licence} | {tokens:,} |")
    return "\n".join(rows)


def score_table(scores: dict[str, Score]) -> str:
    """The held-out losses as Markdown: all sources together, then each."""
    total = sum(scores.values(), Score(0, 0.0, 0.0))
    head = "| Held-out text | Tokens | Model, nats/token | Model perplexity | Unigram, nats/token | Unigram perplexity "
    rows = [head + "| Model better by |", "|---|---:|---:|---:|---:|---:|---:|", total.row("**All**")]
    return "\n".join(rows + [part.row(source) for source, part in scores.items()])


def card(
    folder: Path, facts: TrainingFacts, training_tokens: dict[str, int], scores: dict[str, Score], texts: list[str]
) -> str:
    """The model card of the model saved in ``folder``."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    config, parameters = model.config, model.num_parameters()
    seen = facts.steps * facts.batch * config.n_positions
    passes = seen / facts.training_tokens
    quoted = "\n>\n".join("> " + " ".join(text.split()) for text in texts)
    return f"""# The embedded base model

A small English language model that ships with fedlora-tui, so that federated LoRA fine-tuning can be
tried, tested and taught without fetching anything. It is not meant to be useful by itself.

## Architecture

GPT-2 decoder with {config.n_layer} layers, {config.n_head} heads, width {config.n_embd}, a context of
{config.n_positions} tokens and tied embeddings: {parameters:,} parameters, stored in float16.
The tokenizer is a byte-level BPE of {config.vocab_size:,} tokens, trained on the training documents;
`<|endoftext|>` begins, ends and pads a text. Every Unicode text can be encoded and comes back unchanged.

## Training text

{source_table(training_tokens)}

Licences are named as each package's copyright file states them. The text is read from the installed
packages, stripped of markup, code, tables and headings, and cut into {facts.documents:,} documents of up to
about 200 words; {facts.held_out_documents:,} of them, chosen by a hash of their text, were never trained on.
None of the text is part of this project.

## Training

    {facts.command}

{facts.minutes:.0f} minutes on {facts.hardware} ({facts.precision}): {facts.steps:,} steps of
{facts.batch} sequences of {config.n_positions} tokens, which is {seen / 1e6:.1f} million tokens or {passes:.1f} passes
over the {facts.training_tokens:,} training tokens. AdamW, peak learning rate {facts.learning_rate:g}, linear
warm-up and linear decay to zero.

## Held-out loss

{score_table(scores)}

The unigram model gives each token its frequency in the training tokens, with add-one smoothing and the
same tokenizer.

## Samples

Continuations drawn at temperature 0.7 from the 40 likeliest tokens:

{quoted}

## Limits

The model writes English-looking sentences in the manner of software manuals, of a dictionary of 1913 and
of the King James Bible. It knows no facts, follows no instructions, loses its thread after a sentence or
two, and reads nothing but English well. Its sources include old texts, whose views it can repeat. It
should answer nobody's question and decide nothing.

## Licence of the weights

The weights were produced by this project's own script, `scripts/pretrain_base.py`, from random numbers and
the texts above; they start from no other model. They are distributed with the project, and the project
adds no terms of its own for them. The licences of the source texts are listed above for whoever has to
judge whether those terms reach a model trained on them.
"""
