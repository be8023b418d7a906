"""Pretrain the base model that ships with the product, from text that Debian packages hold.

Here live the command line, the tokenizer and the token streams; ``pretrain_corpus`` reads the text,
``pretrain_training`` trains, and ``pretrain_report`` measures the result and writes its model card.
Run from the repository root, with the package files in place that the script asks for:

    python scripts/pretrain_base.py --minutes 60 --threads 1 --fast

Packages, documents, tokenizer and checkpoints are kept in the ``--corpus`` folder, which ignores itself in
git; deleting it starts over. ``--out`` is only written to at the end, file by file, each renamed into place.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pretrain_corpus import SOURCES, Document, package_file, package_version
from pretrain_report import HeldOut, TrainingFacts, card, held_out_scores, samples, score_table
from pretrain_training import CONTEXT, Budget, Recipe, Tokens, Training, chosen_device, console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

END_OF_TEXT = "<|endoftext|>"
VALIDATION_SEQUENCES = 128
RECIPE = Recipe()


@dataclass(frozen=True)
class Corpus:
    """The documents as token streams: to train on, to watch the training by, and held out for each source."""

    tokenizer: Tokenizer
    training: Tokens
    distinct: Tokens
    validation: Tokens
    held_out: dict[str, HeldOut]
    training_tokens: dict[str, int]
    versions: dict[str, str]
    documents: int
    kept_out: int
    repeated: float


def main() -> None:
    """Prepare the text, train for the time given, measure, and put the result in place."""
    options = parsed_options()
    disable_progress_bar()
    torch.set_num_threads(options.threads)
    corpus = prepared_corpus(options.corpus)
    checkpoint = options.corpus / "checkpoint.pt"
    device = chosen_device(options.device)
    training = Training(RECIPE, options.seed, device, options.fast, checkpoint)
    if options.resume and checkpoint.exists():
        training.restore()
    console.print(f"{training.model.num_parameters():,} parameters, {len(corpus.training):,} training tokens, {device}")
    if not training.run(corpus.training, corpus.validation, Budget(options.minutes, options.steps)):
        raise SystemExit("Interrupted; the same command with --resume goes on from here")
    staging = options.corpus / "staging"
    save(training.model.cpu(), corpus.tokenizer, staging)
    write_card(staging, corpus, training, options)
    publish(staging, options.out)
    console.print(f"The base model is in {options.out}")


def parsed_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Pretrain the embedded base model.")
    parser.add_argument("--minutes", type=float, default=60.0, help="time to train for (default 60)")
    parser.add_argument("--steps", type=int, help="train for this many steps instead: repeatable to the bit")
    parser.add_argument("--threads", type=int, default=1, help="processor threads to use (default 1)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto: cuda where there is one (default)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and order (default 0)")
    parser.add_argument("--fast", action="store_true", help="bfloat16 products and compiled kernels (needs g++)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--out", type=Path, default=Path("fedlora_tui/assets/embedded"), help="where the model goes")
    parser.add_argument("--corpus", type=Path, default=Path("build/pretrain"), help="packages, text, checkpoints")
    return parser.parse_args()


# --- text, tokenizer, sequences ---------------------------------------------------------------------


def prepared_corpus(folder: Path) -> Corpus:
    """Read or reuse the documents and the tokenizer, and encode."""
    packages = folder / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    documents = cached_documents(folder / "documents.jsonl", packages)
    learnt = [document for document in documents if not document.held_out and not document.for_validation]
    tokenizer = cached_tokenizer(folder / "tokenizer.json", learnt)
    encodings = tokenizer.encode_batch([document.text for document in documents])
    ids = {document: encoding.ids for document, encoding in zip(documents, encodings, strict=True)}
    validation = stream(ids[document] for document in documents if document.for_validation)
    return Corpus(
        tokenizer=tokenizer,
        training=stream(ids[document] for document in in_training_order(learnt)),
        distinct=stream(ids[document] for document in learnt),
        validation=validation[: VALIDATION_SEQUENCES * CONTEXT + 1],
        held_out={source.name: held_out(source.name, ids) for source in SOURCES},
        training_tokens={
            source.name: source.copies * sum(len(ids[d]) + 1 for d in learnt if d.source == source.name)
            for source in SOURCES
        },
        versions={source.name: package_version(source.name, packages) for source in SOURCES},
        documents=len(documents),
        kept_out=len(documents) - len(learnt),
        repeated=repeated_share([document for document in documents if document.held_out], learnt),
    )


def cached_documents(path: Path, packages: Path) -> list[Document]:
    """The documents of all sources in the order of their digests, from the cache where there is one."""
    if not path.exists():
        refuse_missing_packages(packages)
        with path.with_suffix(".part").open("w", encoding="utf-8") as lines:
            for source in SOURCES:
                with console.status(f"Reading {source.name}"):
                    documents = source.documents(packages)
                words = sum(len(document.text.split()) for document in documents)
                console.print(f"{source.name}: {len(documents):,} documents, {words:,} words")
                lines.writelines(json.dumps(asdict(document)) + "\n" for document in documents)
        path.with_suffix(".part").replace(path)
    with path.open(encoding="utf-8") as lines:
        return sorted({Document(**json.loads(line)) for line in lines}, key=lambda document: document.digest)


def refuse_missing_packages(folder: Path) -> None:
    """End with one line that says what to fetch, where a package file is not there."""
    wanted = [package for source in SOURCES for package in source.packages]
    missing = [package for package in wanted if package_file(package, folder) is None]
    if missing:
        fetch = f"(cd {folder} && apt-get download {' '.join(missing)})"
        raise SystemExit(f"Text sources are missing; fetch them, without installing them, with: {fetch}")


def in_training_order(documents: list[Document]) -> list[Document]:
    """Every document as often as its source says, mixed so that every stretch holds some of each source."""
    copies = {source.name: source.copies for source in SOURCES}
    placed = [(d.place(copy), d) for d in documents for copy in range(copies[d.source])]
    return [document for _, document in sorted(placed, key=lambda pair: pair[0])]


def repeated_share(kept_out: list[Document], learnt: list[Document]) -> float:
    """The share of the text kept out, by characters, whose paragraphs are word for word in what is learnt too."""
    known = {paragraph for document in learnt for paragraph in document.text.split("\n\n")}
    paragraphs = [paragraph for document in kept_out for paragraph in document.text.split("\n\n")]
    repeated = sum(len(paragraph) for paragraph in paragraphs if paragraph in known)
    return repeated / max(1, sum(map(len, paragraphs)))


def held_out(source: str, ids: dict[Document, list[int]]) -> HeldOut:
    """The documents of one source that nothing is learnt from, with the number of bytes of their text."""
    documents = [document for document in ids if document.held_out and document.source == source]
    text_bytes = sum(len(document.text.encode("utf-8")) for document in documents)
    return HeldOut(stream(ids[document] for document in documents), text_bytes)


def cached_tokenizer(path: Path, documents: list[Document]) -> Tokenizer:
    """A byte-level BPE trained on ``documents``, from the cache where there is one."""
    if not path.exists():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=RECIPE.vocabulary,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator((document.text for document in documents), trainer)
        tokenizer.save(str(path))
    return Tokenizer.from_file(str(path))


def stream(documents: Iterable[list[int]]) -> Tokens:
    """Documents one after the other, the end-of-text token (number 0) before, between and after them."""
    return np.array([0] + [token for document in documents for token in (*document, 0)], dtype=np.uint16)


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


def write_card(folder: Path, corpus: Corpus, training: Training, options: argparse.Namespace) -> None:
    """Measure the saved model on the held-out documents and write ``MODEL_CARD.md`` beside it."""
    length = f"--minutes {options.minutes:g}" if options.steps is None else f"--steps {options.steps}"
    fast = " --fast" if options.fast else ""
    cuda = training.device.type == "cuda"
    facts = TrainingFacts(
        command=f"python scripts/pretrain_base.py {length} --threads {options.threads}"
        f" --device {training.device.type} --seed {options.seed}{fast}",
        hardware=torch.cuda.get_device_name() if cuda else f"{options.threads} CPU thread{'s' * (options.threads > 1)}",
        precision="bfloat16 products, float32 weights" if options.fast or cuda else "float32",
        recipe=RECIPE,
        clock=training.clock,
        documents=corpus.documents,
        kept_out=corpus.kept_out,
        repeated=corpus.repeated,
        training_tokens=corpus.training_tokens,
        versions=corpus.versions,
    )
    scores = held_out_scores(folder, corpus.distinct, corpus.held_out)
    console.print(score_table(scores), soft_wrap=True, markup=False)
    (folder / "MODEL_CARD.md").write_text(card(folder, facts, scores, samples(folder, options.seed)), encoding="utf-8")


def publish(staging: Path, out: Path) -> None:
    """Move every finished file to ``out``, each by a rename, so that no reader sees half a file."""
    out.mkdir(parents=True, exist_ok=True)
    for source in sorted(staging.iterdir()):
        aside = out / f".{source.name}.part"
        shutil.copyfile(source, aside)  # by copy, since a rename cannot cross file systems
        os.replace(aside, out / source.name)


if __name__ == "__main__":
    main()
