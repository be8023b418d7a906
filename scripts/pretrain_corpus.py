"""The text that the embedded base model is trained on, read from Debian distribution packages.

Here live the sources (packages, licence, reader), the documents they come as, and the unpacking of the
packages. Nothing is installed and nothing is fetched: the package files have to lie in a folder, and none
of their text enters the repository. Used by ``pretrain_base.py``.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pretrain_readers import (
    Reader,
    pages_below,
    pages_ending,
    pages_except,
    read_dictionary,
    read_endless_sky,
    read_jargon_file,
    read_king_james_bible,
    read_perl_manual,
    read_wesnoth_campaign,
)

HELD_OUT_ONE_IN = 50
SHUFFLING_FACTOR = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Document:
    """A stretch of prose from one source, the unit that is trained on or held out as a whole."""

    source: str
    text: str

    @property
    def digest(self) -> int:
        """A number that depends on the text alone, so that order and machine do not matter."""
        return int.from_bytes(hashlib.sha256(self.text.encode("utf-8")).digest()[:8], "big")

    @property
    def held_out(self) -> bool:
        """Whether the document is kept out of training, for about one document in fifty."""
        return self.digest % HELD_OUT_ONE_IN == 0

    @property
    def for_validation(self) -> bool:
        """Whether the document is kept out of training to watch and compare trainings by, one in fifty too."""
        return self.digest % HELD_OUT_ONE_IN == 1

    def place(self, copy: int) -> int:
        """Where a copy of the document stands among all: it mixes the sources and parts the copies."""
        return (self.digest + 1) * (SHUFFLING_FACTOR * copy + 1) % 2**64


@dataclass(frozen=True)
class Source:
    """Text to read from Debian packages: what it is, under which licence, how much of it to use, and how often."""

    name: str
    describes: str
    licence: str
    read: Reader
    most_words: int
    copies: int = 1
    others: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that the text is in: the one that names the source, and others."""
        return (self.name, *self.others)

    def documents(self, folder: Path) -> list[Document]:
        """The documents in the packages of ``folder``, thinned evenly to at most ``most_words`` words."""
        texts = dict.fromkeys(text for package in self.packages for text in self.read(package_files(package, folder)))
        return thinned([Document(self.name, text) for text in texts], self.most_words)


def package_file(package: str, folder: Path) -> Path | None:
    """The newest file of a Debian package in ``folder``, or None where there is none."""
    return max(folder.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime, default=None)


def package_version(package: str, folder: Path) -> str:
    """The version of a Debian package whose file lies in ``folder``."""
    path = package_file(package, folder)
    if path is None:
        return "unknown"
    query = ["dpkg-deb", "--field", str(path), "Version"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()


def package_files(package: str, folder: Path) -> list[Path]:
    """Every regular file in a Debian package, unpacked beside it the first time, in a fixed order."""
    path, unpacked = package_file(package, folder), folder / package
    if path is not None and not unpacked.exists():
        aside = folder / f".{package}.part"
        subprocess.run(["dpkg-deb", "--extract", str(path), str(aside)], check=True)
        aside.replace(unpacked)
    return sorted(path for path in unpacked.rglob("*") if path.is_file() and not path.is_symlink())


def thinned(documents: list[Document], most_words: int) -> list[Document]:
    """A sample of at most ``most_words`` words, drawn by digest and returned in the order of the input."""
    kept: set[Document] = set()
    words = 0
    for document in sorted(documents, key=lambda document: document.digest):
        words += len(document.text.split())
        if words > most_words:
            break
        kept.add(document)
    return [document for document in documents if document in kept]


SOURCES = (
    Source(
        "endless-sky-data",
        "Endless Sky, a game: its conversations and descriptions",
        "GPL-3+",
        read_endless_sky,
        700_000,
        copies=3,
    ),
    Source(
        "wesnoth-1.16-httt",
        "The Battle for Wesnoth, a game: the stories of its campaigns",
        "GPL-2+",
        read_wesnoth_campaign,
        700_000,
        copies=3,
        others=tuple(
            f"wesnoth-1.16-{campaign}"
            for campaign in (
                *("did", "dm", "dw", "ei", "l", "low", "nr", "sof"),
                *("sota", "sotbe", "thot", "trow", "tsg", "ttb", "utbs"),
            )
        ),
    ),
    Source(
        "anarchism",
        "An Anarchist FAQ, a book-length argument",
        "GPL-2",
        pages_below("html", without=("alinks", "biblio")),
        900_000,
    ),
    Source("jargon-text", "The Jargon File", "public domain", read_jargon_file, 700_000, copies=2),
    Source("debian-history", "A Brief History of Debian", "GPL-2+", pages_ending(".en.html"), 700_000),
    Source(
        "gnome-user-docs",
        "Help for users of the GNOME desktop",
        "CC-BY-SA-3.0",
        pages_below("C"),
        700_000,
    ),
    Source("libreoffice-help-en-us", "LibreOffice help", "MPL-2.0", pages_below("en-US"), 300_000),
    Source(
        "rust-doc",
        "Books and manuals of the Rust language",
        "MIT or Apache-2.0",
        pages_below("book", "edition-guide", "cargo", "rustc", "rustdoc", "reference", "nomicon", "rust-by-example"),
        300_000,
    ),
    Source("sqlite3-doc", "SQLite manual", "public domain", pages_except("release", "changes"), 300_000),
    Source("python-django-doc", "Django manual", "BSD-3-Clause", pages_except("genindex"), 300_000),
    Source("git-doc", "Git manual", "GPL-2", pages_except("RelNotes"), 300_000),
    Source("apache2-doc", "Apache HTTP server manual", "Apache-2.0", pages_below("en"), 300_000),
    Source("perl-doc", "Perl manual", "GPL-1+ or Artistic", read_perl_manual, 300_000),
    Source("installation-guide-amd64", "Debian installation guide", "GPL-2", pages_below("en"), 300_000),
    Source("debian-reference-en", "Debian Reference", "GPL-2+", pages_except(), 300_000),
    Source(
        "debian-handbook",
        "The Debian Administrator's Handbook, English edition",
        "GPL-2.0+ or CC-BY-SA-3.0",
        pages_below("en-US"),
        700_000,
    ),
    Source(
        "python3.11-doc",
        "Python manual",
        "Python Software Foundation License Version 2",
        pages_except("genindex", "changelog", "license", "copyright", "search", "py-modindex", "contents"),
        500_000,
    ),
    Source(
        "postgresql-doc-15",
        "PostgreSQL manual",
        "PostgreSQL License",
        pages_except("release", "bookindex", "biblio", "legalnotice", "features", "sql-keywords", "errcodes"),
        450_000,
    ),
    Source(
        "bible-kjv-text",
        "King James Bible",
        "copyright of the text expired (translation of 1611)",
        read_king_james_bible,
        450_000,
    ),
    Source(
        "dict-gcide",
        "The Collaborative International Dictionary of English",
        "GPL version 2 or later",
        read_dictionary,
        700_000,
    ),
)
