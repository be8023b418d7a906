"""Pretrain the base model that ships with the product, from text that Debian packages install.

Here live the command line, the tokenizer, the packing of documents into sequences and the training loop;
``pretrain_corpus`` reads the text and ``pretrain_report`` measures the result and writes its model card.
Run from the repository root, with the packages installed that the script asks for:

    python scripts/pretrain_base.py --minutes 45 --threads 1 --fast

Documents, tokenizer and checkpoints are kept in the ``--corpus`` folder, which ignores itself in git;
deleting it starts over. ``--out`` is only written to at the end, file by file, each renamed into place.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pretrain_corpus import SOURCES, Document, installed_version
from pretrain_report import Tokens, TrainingFacts, card, held_out_scores, samples, score_table
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

END_OF_TEXT = "<|endoftext|>"
VOCABULARY = 3072
CONTEXT = 256
BATCH = 8
PEAK_LEARNING_RATE = 4e-3
WARM_UP_SHARE = 0.02
CHECKPOINT_SECONDS = 180.0

console = Console()


@dataclass(frozen=True)
class Corpus:
    """The documents as token streams: one to train on, and one held out for each source."""

    tokenizer: Tokenizer
    training: Tokens
    training_tokens: dict[str, int]
    held_out: dict[str, Tokens]
    documents: int
    held_out_documents: int


@dataclass
class Clock:
    """How far a training has come; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0


def main() -> None:
    """Prepare the text, train for the time given, measure, and put the result in place."""
    options = parsed_options()
    disable_progress_bar()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    corpus = prepared_corpus(options.corpus)
    model = new_model()
    console.print(f"{model.num_parameters():,} parameters, {len(corpus.training):,} training tokens")
    clock = train(model, corpus.training, options)
    staging = options.corpus / "staging"
    save(model, corpus.tokenizer, staging)
    write_card(staging, corpus, clock, options)
    publish(staging, options.out)
    console.print(f"The base model is in {options.out}")


def parsed_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Pretrain the embedded base model.")
    parser.add_argument("--minutes", type=float, default=45.0, help="time to train for (default 45)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads to use (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and order (default 0)")
    parser.add_argument("--fast", action="store_true", help="bfloat16 products and compiled kernels (needs g++)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--out", type=Path, default=Path("fedlora_tui/assets/embedded"), help="where the model goes")
    parser.add_argument("--corpus", type=Path, default=Path("build/pretrain"), help="text, tokenizer, checkpoints")
    return parser.parse_args()


# --- text, tokenizer, sequences ---------------------------------------------------------------------


def prepared_corpus(folder: Path) -> Corpus:
    """Read or reuse the documents and the tokenizer, and encode."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    documents = cached_documents(folder / "documents.jsonl")
    tokenizer = cached_tokenizer(
        folder / "tokenizer.json", [document for document in documents if not document.held_out]
    )
    # The order by digest mixes the sources, so that every stretch of the stream holds some of each.
    documents.sort(key=lambda document: document.digest)
    encodings = tokenizer.encode_batch([document.text for document in documents])
    ids = {document: encoding.ids for document, encoding in zip(documents, encodings, strict=True)}
    learnt = [document for document in documents if not document.held_out]
    tokens = {source.package: sum(len(ids[d]) + 1 for d in learnt if d.source == source.package) for source in SOURCES}
    held_out = {
        source.package: stream([ids[d] for d in documents if d.held_out and d.source == source.package])
        for source in SOURCES
    }
    return Corpus(
        tokenizer, stream([ids[d] for d in learnt]), tokens, held_out, len(documents), len(documents) - len(learnt)
    )


def cached_documents(path: Path) -> list[Document]:
    """The documents of all sources, from the cache where there is one."""
    if not path.exists():
        refuse_missing_packages()
        with path.with_suffix(".part").open("w", encoding="utf-8") as lines:
            for source in SOURCES:
                with console.status(f"Reading {source.package}"):
                    documents = source.documents()
                words = sum(len(document.text.split()) for document in documents)
                console.print(f"{source.package}: {len(documents):,} documents, {words:,} words")
                lines.writelines(json.dumps(asdict(document)) + "\n" for document in documents)
        path.with_suffix(".part").replace(path)
    with path.open(encoding="utf-8") as lines:
        return list(dict.fromkeys(Document(**json.loads(line)) for line in lines))


def refuse_missing_packages() -> None:
    """End with one line that says what to install, where a source is not there."""
    missing = [source.package for source in SOURCES if installed_version(source.package) is None]
    if missing:
        raise SystemExit("Text sources are missing; install them with: apt-get install " + " ".join(missing))


def cached_tokenizer(path: Path, documents: list[Document]) -> Tokenizer:
    """A byte-level BPE trained on ``documents``, from the cache where there is one."""
    if not path.exists():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator((document.text for document in documents), trainer)
        tokenizer.save(str(path))
    return Tokenizer.from_file(str(path))


def stream(documents: list[list[int]]) -> Tokens:
    """Documents one after the other, the end-of-text token (number 0) before, between and after them."""
    return np.array([0] + [token for document in documents for token in (*document, 0)], dtype=np.uint16)


def batch_at(step: int, training: Tokens, seed: int) -> torch.Tensor:
    """The batch of a step: sequences in an order, and cut at an offset, drawn anew for each pass over the text."""
    sequences = (len(training) - CONTEXT - 1) // CONTEXT
    steps_per_pass = sequences // BATCH
    generator = np.random.default_rng((seed, step // steps_per_pass))
    offset = generator.integers(CONTEXT)
    order = generator.permutation(sequences)
    chosen = order[step % steps_per_pass * BATCH :][:BATCH]
    rows = [training[offset + CONTEXT * row :][: CONTEXT + 1] for row in chosen]
    return torch.from_numpy(np.stack(rows).astype(np.int64))


# --- training ---------------------------------------------------------------------------------------


def new_model() -> GPT2LMHeadModel:
    """A GPT-2 of 1.4 million parameters with random weights."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=CONTEXT,
            n_embd=128,
            n_layer=5,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def new_optimizer(model: torch.nn.Module) -> torch.optim.AdamW:
    """AdamW that decays matrices only; biases and gains have nothing to gain from it."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.95))


def learning_rate(share: float) -> float:
    """The learning rate when ``share`` of the time is spent: linear warm-up, then linear decay to zero."""
    return PEAK_LEARNING_RATE * min(share / WARM_UP_SHARE, (1.0 - share) / (1.0 - WARM_UP_SHARE))


def train(model: GPT2LMHeadModel, training: Tokens, options: argparse.Namespace) -> Clock:
    """Train until the time is spent, with a checkpoint every few minutes and on interruption."""
    optimizer = new_optimizer(model)
    path = options.corpus / "checkpoint.pt"
    clock = restored(path, model, optimizer) if options.resume and path.exists() else Clock()
    take_step = stepper(model, optimizer, options.fast)
    try:
        saved = clock.seconds
        for loss, rate in steps(take_step, training, clock, options):
            if clock.seconds - saved > CHECKPOINT_SECONDS:
                saved = clock.seconds
                write_checkpoint(path, model, optimizer, clock)
                console.print(f"{clock.seconds / 60:.0f} min: step {clock.step:,}, loss {loss:.3f}, rate {rate:.2g}")
    except KeyboardInterrupt:
        write_checkpoint(path, model, optimizer, clock)
        raise SystemExit("Interrupted; the same command with --resume goes on from here") from None
    write_checkpoint(path, model, optimizer, clock)
    return clock


def stepper(
    model: GPT2LMHeadModel, optimizer: torch.optim.Optimizer, fast: bool
) -> Callable[[torch.Tensor, float], float]:
    """The function that makes one optimizer step on a batch at a learning rate, and returns the loss."""
    precision = torch.autocast("cpu", dtype=torch.bfloat16) if fast else contextlib.nullcontext()

    def loss_on(batch: torch.Tensor) -> torch.Tensor:
        with precision:
            logits = model(input_ids=batch[:, :-1]).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())

    objective = torch.compile(loss_on) if fast else loss_on

    def take_step(batch: torch.Tensor, rate: float) -> float:
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = objective(batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.item())

    return take_step


def steps(
    take_step: Callable[[torch.Tensor, float], float], training: Tokens, clock: Clock, options: argparse.Namespace
) -> Iterator[tuple[float, float]]:
    """Make steps until the time is spent, showing progress; yields a smoothed loss and the learning rate."""
    budget = 60.0 * options.minutes
    note = TextColumn("{task.fields[note]}")
    loss, compiled = math.nan, False
    with Progress(
        "Training", BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), note, console=console
    ) as progress:
        task = progress.add_task("", total=budget, completed=int(clock.seconds), note="")
        while clock.seconds < budget:
            begun = time.monotonic()
            rate = learning_rate(clock.seconds / budget)
            latest = take_step(batch_at(clock.step, training, options.seed), rate)
            loss = latest if math.isnan(loss) else 0.98 * loss + 0.02 * latest
            clock.step += 1
            # The first step may compile for a minute; that is no training and would upset the schedule.
            clock.seconds += time.monotonic() - begun if compiled else 0.0
            compiled = True
            progress.update(task, completed=clock.seconds, note=f"step {clock.step:,}  loss {loss:.3f}")
            yield loss, rate


def write_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, clock: Clock) -> None:
    """Save everything that a resumed training needs; written aside and renamed, so that it is whole or absent."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "clock": asdict(clock)}
    aside = path.with_suffix(".part")
    torch.save(state, aside)
    aside.replace(path)


def restored(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Clock:
    """Load a checkpoint into the model and the optimizer, and say how far it had come."""
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return Clock(**state["clock"])


# --- the result -------------------------------------------------------------------------------------


def save(model: GPT2LMHeadModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the model in float16, its tokenizer and their configurations to a fresh folder."""
    shutil.rmtree(folder, ignore_errors=True)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    # Not set before: the library takes the end-of-text tokens between documents for padding and warns of it.
    model.config.pad_token_id = model.generation_config.pad_token_id = 0
    model.half().save_pretrained(folder)
    # Stored in half the bytes, computed with in float32: that is what plain `from_pretrained` takes from here.
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, "dtype": "float32"}, indent=2) + "\n")


def write_card(folder: Path, corpus: Corpus, clock: Clock, options: argparse.Namespace) -> None:
    """Measure the saved model on the held-out documents and write ``MODEL_CARD.md`` beside it."""
    fast = " --fast" if options.fast else ""
    facts = TrainingFacts(
        command=f"python scripts/pretrain_base.py --minutes {options.minutes:g} --threads {options.threads}"
        f" --seed {options.seed}{fast}",
        hardware=f"{options.threads} CPU core{'s' if options.threads > 1 else ''}",
        precision="bfloat16 products, float32 weights" if options.fast else "float32",
        minutes=clock.seconds / 60,
        steps=clock.step,
        batch=BATCH,
        learning_rate=PEAK_LEARNING_RATE,
        documents=corpus.documents,
        held_out_documents=corpus.held_out_documents,
        training_tokens=len(corpus.training),
    )
    scores = held_out_scores(folder, corpus.training, corpus.held_out)
    console.print(score_table(scores), soft_wrap=True, markup=False)
    text = card(folder, facts, corpus.training_tokens, scores, samples(folder, options.seed))
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf-8")


def publish(staging: Path, out: Path) -> None:
    """Move every finished file to ``out``, each by a rename, so that no reader sees half a file."""
    out.mkdir(parents=True, exist_ok=True)
    for source in sorted(staging.iterdir()):
        aside = out / f".{source.name}.part"
        shutil.copyfile(source, aside)  # by copy, since a rename cannot cross file systems
        os.replace(aside, out / source.name)


if __name__ == "__main__":
    main()
