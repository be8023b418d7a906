"""The readers that turn the files of packages into the prose the embedded base is trained on."""

from __future__ import annotations

import gzip
import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from pretrain_base import in_training_order, refuse_missing_packages, repeated_share
from pretrain_corpus import SOURCES, Document, thinned
from pretrain_readers import (
    is_prose,
    is_speech,
    pages_below,
    pages_except,
    read_endless_sky,
    read_jargon_file,
    read_perl_manual,
    read_wesnoth_campaign,
)

LONG = (
    "The ferry leaves the harbour every morning at seven, and it comes back in the evening when the lamps are lit, "
    "unless there is a storm, in which case nobody leaves and nobody comes back."
)


def written(path: Path, text: str) -> list[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return [path]


def test_web_pages_give_paragraphs_without_code_and_headings(tmp_path: Path) -> None:
    page = f"<html><body><h1>A heading that is long enough to be taken.</h1><p>{LONG}</p><pre>x = 1</pre></body></html>"
    wanted = written(tmp_path / "en" / "index.html", page)
    unwanted = written(tmp_path / "de" / "index.html", page.replace("ferry", "boat"))
    assert list(pages_below("en")(unwanted + wanted)) == [LONG]
    assert list(pages_except("index")(wanted)) == []


def test_pages_below_leaves_out_what_it_is_told_to(tmp_path: Path) -> None:
    page = f"<html><body><p>{LONG}</p></body></html>"
    assert list(pages_below("en", without=("list",))(written(tmp_path / "en" / "list.html", page))) == []


def test_perl_manual_gives_its_text_without_markup_and_code(tmp_path: Path) -> None:
    text = f"=head1 NAME\n\n{LONG.replace('harbour', 'B<harbour>')}\n\n    my $code = 1;\n"
    assert list(read_perl_manual(written(tmp_path / "perlferry.pod", text))) == [LONG]
    assert list(read_perl_manual(written(tmp_path / "perl5100delta.pod", text))) == []


def test_campaign_gives_its_speeches_in_order(tmp_path: Path) -> None:
    second = 'He said ""no"" and left.'
    text = f'name= _ "Anna"\nmessage= _ "{LONG}"\nfile="x.png"\nmessage=_"{second}"\n'
    assert list(read_wesnoth_campaign(written(tmp_path / "scenario.cfg", text))) == [
        LONG + "\n\n" + 'He said "no" and left.'
    ]


def test_conversation_leaves_out_a_text_with_a_gap_for_a_name(tmp_path: Path) -> None:
    text = f'mission "x"\n\t\t\t`{LONG}`\n\t\t\t`Hello, captain <last>, how are you?`\n\tdescription "{LONG[:70]}."\n'
    assert list(read_endless_sky(written(tmp_path / "data" / "x.txt", text))) == [LONG + "\n\n" + LONG[:70] + "."]


def test_jargon_file_gives_its_paragraphs_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "jargon.txt.gz"
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.write("   ferry\n\n   " + LONG.replace(", and", ",\n   and") + "\n")
    assert list(read_jargon_file([path])) == [LONG]


def test_speech_may_be_short_but_has_to_be_a_sentence() -> None:
    assert is_speech("I will go there.")
    assert not is_prose("I will go there.")
    assert not is_speech("Defeat the enemy leader")


def test_held_out_validation_and_training_documents_never_meet() -> None:
    documents = [Document("anarchism", f"Text number {number}.") for number in range(3000)]
    held_out = {document for document in documents if document.held_out}
    validation = {document for document in documents if document.for_validation}
    assert not held_out & validation
    assert 30 < len(held_out) < 90
    assert 30 < len(validation) < 90


def test_repeated_share_counts_paragraphs_that_are_learnt_too() -> None:
    kept_out = [Document("anarchism", "One two three.\n\nFour five six.")]
    assert repeated_share(kept_out, [Document("anarchism", "Four five six.")]) == 0.5
    assert repeated_share([], []) == 0.0


def test_copies_of_a_document_stand_apart() -> None:
    copies = {source.name: source.copies for source in SOURCES}
    documents = [
        Document(source, f"Text number {n}.") for source in ("endless-sky-data", "anarchism") for n in range(50)
    ]
    ordered = in_training_order(documents)
    assert len(ordered) == 50 * (copies["endless-sky-data"] + copies["anarchism"])
    # Not one after the other, as a plain sorting would have it: that would be a hundred times here.
    assert sum(first == second for first, second in pairwise(ordered)) < 10


def test_thinning_keeps_the_order_and_the_bound() -> None:
    documents = [Document("anarchism", f"Text number {number}.") for number in range(100)]
    kept = thinned(documents, 90)
    assert len(kept) == 30
    assert kept == [document for document in documents if document in set(kept)]


def test_missing_packages_are_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        refuse_missing_packages(tmp_path)
    line = str(ended.value)
    assert "\n" not in line
    assert all(package in line for source in SOURCES for package in source.packages)
    for source in SOURCES:
        for package in source.packages:
            (tmp_path / f"{package}_1_all.deb").touch()
    refuse_missing_packages(tmp_path)
