"""Measuring the embedded base model and writing its model card.

Here live the held-out loss of a saved model beside those of the unigram and the trigram model, sample
generations, and ``MODEL_CARD.md``. Used by ``pretrain_base.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pretrain_corpus import SOURCES
from pretrain_ngrams import trigram_nats, trigram_orders, unigram_nats
from pretrain_training import CONTEXT, Clock, Recipe
from transformers import AutoModelForCausalLM, AutoTokenizer

Tokens = NDArray[np.uint16]

TEMPERATURE = 0.7
LIKELIEST = 40
CHART_HEIGHT = 12
PROMPTS = (
    "The server keeps a copy of",
    "If you want to learn a new language,",
    "The house stood on a hill, and",
)


@dataclass(frozen=True)
class HeldOut:
    """Documents that nothing was learnt from: their tokens, and the bytes of their text."""

    tokens: Tokens
    text_bytes: int


@dataclass(frozen=True)
class Score:
    """Summed losses, in nats, of the model and of the two that only count, on the same held-out tokens."""

    tokens: int
    text_bytes: int
    model: float
    unigram: float
    trigram: float

    def __add__(self, other: Score) -> Score:
        """The two held-out sets taken together."""
        return Score(
            self.tokens + other.tokens,
            self.text_bytes + other.text_bytes,
            self.model + other.model,
            self.unigram + other.unigram,
            self.trigram + other.trigram,
        )

    def row(self, name: str) -> str:
        """One line of the model card's table of held-out losses."""
        model, unigram, trigram = (nats / self.tokens for nats in (self.model, self.unigram, self.trigram))
        bits = self.model / math.log(2) / self.text_bytes
        return (
            f"| {name} | {self.tokens:,} | {model:.3f} | {bits:.3f} | {math.exp(model):.1f} "
            f"| {math.exp(trigram):.1f} | {math.exp(unigram):.1f} |"
        )


@dataclass(frozen=True)
class TrainingFacts:
    """What the model card says about the training."""

    command: str
    hardware: str
    precision: str
    recipe: Recipe
    clock: Clock
    documents: int
    kept_out: int
    repeated: float
    training_tokens: dict[str, int]
    versions: dict[str, str]


@torch.inference_mode()
def model_nats(model: torch.nn.Module, stream: Tokens) -> float:
    """The summed loss of every token after the first, each scored once, in consecutive windows of the context."""
    total = 0.0
    for start in range(0, len(stream) - 1, CONTEXT):
        window = torch.from_numpy(stream[start : start + CONTEXT + 1].astype(np.int64))
        inputs = window[None, :-1]
        logits = model(input_ids=inputs, attention_mask=torch.ones_like(inputs)).logits[0]
        total += float(torch.nn.functional.cross_entropy(logits.float(), window[1:], reduction="sum"))
    return total


def held_out_scores(folder: Path, training: Tokens, held_out: dict[str, HeldOut]) -> dict[str, Score]:
    """Scores by source of the model saved in ``folder``: of what ships, rounded to float16 as it is."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    vocabulary = model.config.vocab_size
    unigram, orders = unigram_nats(training, vocabulary), trigram_orders(training, vocabulary)
    return {
        source: Score(
            tokens=len(kept.tokens) - 1,
            text_bytes=kept.text_bytes,
            model=model_nats(model, kept.tokens),
            unigram=float(unigram[kept.tokens[1:]].sum()),
            trigram=float(trigram_nats(orders, kept.tokens, vocabulary).sum()),
        )
        for source, kept in held_out.items()
    }


def samples(folder: Path, seed: int, length: int = 60) -> list[str]:
    """One sampled continuation of each prompt."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    texts = []
    for number, prompt in enumerate(PROMPTS):
        torch.manual_seed(seed + number)
        encoded = tokenizer(prompt, return_tensors="pt")
        output = model.generate(
            **encoded, max_new_tokens=length, do_sample=True, temperature=TEMPERATURE, top_k=LIKELIEST
        )
        texts.append(str(tokenizer.decode(output[0], skip_special_tokens=True)))
    return texts


# --- tables and the chart ---------------------------------------------------------------------------


def source_table(facts: TrainingFacts) -> str:
    """The sources as Markdown: package, version, licence, tokens trained on."""
    rows = [
        "| Debian package | Version | Text | Licence of the text | Training tokens | Copies |",
        "|---|---|---|---|---:|---:|",
    ]
    for source in SOURCES:
        name = source.name + (f" and {len(source.others)} more" if source.others else "")
        rows.append(
            f"| {name} | {facts.versions[source.name]} | {source.describes} | {source.licence} "
            f"| {facts.training_tokens[source.name]:,} | {source.copies} |"
        )
    return "\n".join(rows)


def score_table(scores: dict[str, Score]) -> str:
    """The held-out losses as Markdown: all sources together, then each."""
    total = sum(scores.values(), Score(0, 0, 0.0, 0.0, 0.0))
    head = "| Held-out text | Tokens | Nats/token | Bits/byte | Perplexity | Trigram perplexity | Unigram perplexity |"
    rows = [head, "|---|---:|---:|---:|---:|---:|---:|", total.row("**All**")]
    return "\n".join(rows + [part.row(source) for source, part in scores.items()])


def curve_table(clock: Clock) -> str:
    """The training curve as Markdown, a row for each time that the validation text was scored."""
    rows = ["| Minutes | Million tokens | Training loss | Validation loss |", "|---:|---:|---:|---:|"]
    rows.extend(
        f"| {point.minutes:.1f} | {point.tokens / 1e6:.2f} | {point.training_loss:.3f} | {point.validation_loss:.3f} |"
        for point in clock.curve
    )
    return "\n".join(rows)


def curve_chart(clock: Clock) -> str:
    """The validation loss over the tokens as a chart of text, without its first point, which is near a blind guess."""
    points = clock.curve[1:]
    if not points:
        return ""
    losses = [point.validation_loss for point in points]
    low, high = min(losses), max(losses)
    heights = [round((CHART_HEIGHT - 1) * (loss - low) / (high - low or 1.0)) for loss in losses]
    lines = []
    for height in reversed(range(CHART_HEIGHT)):
        value = low + (high - low) * height / (CHART_HEIGHT - 1)
        lines.append(f"    {value:6.2f} |" + "".join(" o" if at == height else "  " for at in heights).rstrip())
    lines.append("           +" + "--" * len(points))
    lines.append(f"            from {points[0].tokens / 1e6:.1f} to {points[-1].tokens / 1e6:.1f} million tokens")
    return "\n".join(lines)


def card(folder: Path, facts: TrainingFacts, scores: dict[str, Score], texts: list[str]) -> str:
    """The model card of the model saved in ``folder``."""
    total = sum(facts.training_tokens.values())
    quoted = "\n>\n".join("> " + " ".join(text.split()) for text in texts)
    return f"""# The embedded base model

A small English language model that ships with fedlora-tui, so that federated LoRA fine-tuning can be
tried, tested and taught without fetching anything. It is not meant to be useful by itself.

## Architecture

{architecture(folder)}

## Training text

{source_table(facts)}

Licences are named as each package's copyright file states them. The text is read from the packages,
stripped of markup, code, tables and headings, and cut into {facts.documents:,} documents of up to about 200
words. {facts.kept_out:,} of them, chosen by a hash of their text, were never trained on: one document in fifty is
held out for the losses below, and one in fifty, the validation text, served to compare short trainings
before the long one and to watch it. A source with several copies is seen so much more often in a pass.
None of the text is part of this project.

## Training

{training_section(facts, total)}

{curve_table(facts.clock)}

{curve_chart(facts.clock)}

Losses are in nats per token. The training loss is a running mean over about fifty steps, the validation
loss that of a fixed part of the validation text.

## Held-out loss

{score_table(scores)}

The same tokens are scored by all three. The unigram model gives each token its frequency in the training
documents, with add-one smoothing. The trigram model is interpolated modified Kneser-Ney smoothing (Chen
and Goodman, 1999) on the same documents, each counted once. Bits per byte compare models whose
tokenizers differ. The network scores windows of {CONTEXT} tokens, the first of a window without a past;
documents of one source follow each other. Manuals and stories repeat themselves: {facts.repeated:.1%} of the held-out
text is in paragraphs that stand, word for word, in a training document too.

## Samples

Continuations drawn at temperature {TEMPERATURE} from the {LIKELIEST} likeliest tokens, the first one for
each prompt:

{quoted}

{CLOSING}"""


def architecture(folder: Path) -> str:
    """The model's kind and size, in two sentences."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    config = model.config
    return f"""GPT-2 decoder with {config.n_layer} layers, {config.n_head} heads, width {config.n_embd}, a context of
{config.n_positions} tokens and tied embeddings: {model.num_parameters():,} parameters, stored in float16.
The tokenizer is a byte-level BPE of {config.vocab_size:,} tokens, trained on the training documents;
`<|endoftext|>` begins, ends and pads a text. Every Unicode text can be encoded and comes back unchanged."""


def training_section(facts: TrainingFacts, training_tokens: int) -> str:
    """The command, and what it took."""
    recipe, clock = facts.recipe, facts.clock
    seen = clock.step * recipe.batch * CONTEXT
    speed = seen / clock.seconds if clock.seconds else 0.0
    optimizer = f"AdamW, peak learning rate {recipe.learning_rate:g}"
    if recipe.orthogonal_rate:
        optimizer += f" (Muon, {recipe.orthogonal_rate:g}, for the matrices inside the blocks)"
    return f"""    {facts.command}

{clock.seconds / 60:.0f} minutes on {facts.hardware} ({facts.precision}), {speed:,.0f} tokens a second:
{clock.step:,} steps of {recipe.batch} sequences of {CONTEXT} tokens, which is {seen / 1e6:.1f} million tokens or
{seen / training_tokens:.1f} passes over the {training_tokens:,} training tokens.
{optimizer};
linear warm-up and linear decay to zero. The batch and AdamW's rate are those of an earlier base, which
were chosen partly on held-out text of five of these sources; Muon was chosen over AdamW alone on
validation text, the layers and their width for their speed."""


CLOSING = """## Limits

The model writes in the manner of its sources: software manuals above all, stories and dialogues of a fantasy
game and a space game, a political argument from one side, a dictionary of 1913 and the King James Bible.
Many of its sentences are grammatical and few make sense: it repeats itself, coins words and loses its thread
within a sentence or two. It knows no facts, follows no instructions, and reads nothing but English well. Its
sources include old texts and a partisan one, whose views it can repeat. It should answer nobody's question
and decide nothing.

## Licence of the weights

The weights were produced by this project's own script, `scripts/pretrain_base.py`, from random numbers and
the texts above; they start from no other model. They are distributed with the project, and the project
adds no terms of its own for them. The licences of the source texts are listed above for whoever has to
judge whether those terms reach a model trained on them.
"""
