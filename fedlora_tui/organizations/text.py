"""One organization's private text: `Documents` as a source hands them over, and their split into train and hold-out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.draw import seeded, shuffled

EMPTY, DUPLICATE = "empty", "duplicate"
MOST_TOLD = 3
"""Organizations of which one line says what was dropped."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document; where it has a prompt, `text` is the response, and only the response is learned.

    `label` says what it is of, a trade or a value of the user's label column; empty where nobody knows.
    """

    text: str
    prompt: str = ""
    label: str = ""


@dataclass(frozen=True)
class Documents:
    """What a source holds for one organization.

    `dropped` counts what could not be used, by reason; `repaired` the documents in which bytes that could not be
    decoded stand as U+FFFD; `cut` the pieces, beyond the first, of documents too long to hold. `full`: as much text as
    an organization may keep was found, and the rest was not read. `counted` has the same of those
    whose text it was before it was dealt out anew, by name and without their texts.
    """

    texts: tuple[Document, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    repaired: int = 0
    cut: int = 0
    full: bool = False
    counted: Mapping[str, Documents] = field(default_factory=dict)


@dataclass(frozen=True)
class PrivateText:
    """One organization's documents, already split; nothing of them may leave the organization but counts.

    `dropped` counts by reason what is on neither side, duplicates among them.
    """

    organization: str
    train: tuple[Document, ...]
    holdout: tuple[Document, ...]
    dropped: Mapping[str, int]

    @property
    def documents(self) -> int:
        """How many distinct documents there are, on both sides together."""
        return len(self.train) + len(self.holdout)


def split(organization: str, documents: Documents, holdout: float, seed: int) -> PrivateText:
    """Take exact duplicates out, then split by document; both sides keep the order in which the documents came.

    The draw depends on the seed and the organization's own name alone, so no other organization can change it. Each
    side gets one document at least; fewer than two distinct documents are a UserError.
    """
    distinct: dict[tuple[str, str], Document] = {}
    dropped = Counter(documents.dropped)
    for document in documents.texts:
        key = document.prompt.strip(), document.text.strip()
        if not key[1]:
            dropped[EMPTY] += 1
        elif key in distinct:
            dropped[DUPLICATE] += 1
        else:
            distinct[key] = document
    texts = tuple(distinct.values())
    if len(texts) < 2:
        raise UserError(
            f"organization {organization!r} has {len(texts)} distinct document(s){_of_dropped(dropped)}; 2 are needed, "
            "one to train on and one to hold out: give it more text (a .txt file has blank lines between documents) or "
            "leave it out"
        )
    share = min(max(round(holdout * len(texts)), 1), len(texts) - 1)
    held = set(shuffled(seeded("hold-out", seed, organization), range(len(texts)))[:share])
    return PrivateText(
        organization=organization,
        train=tuple(text for index, text in enumerate(texts) if index not in held),
        holdout=tuple(text for index, text in enumerate(texts) if index in held),
        dropped=dropped,
    )


def in_words(dropped: Mapping[str, int]) -> str:
    """Counts by reason, the largest first: "9 broken, 3 empty"."""
    ordered = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {reason}" for reason, count in ordered if count)


def notice(organization: str, documents: Documents, megabytes: int) -> str:
    """What an operator should know of how an organization's text was read; nothing where all of it was used."""
    if documents.counted:
        told = [said for name, own in documents.counted.items() if (said := notice(name, own, megabytes))]
        more = [f"and of {len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else []
        return "; ".join(told[:MOST_TOLD] + more)
    parts = []
    if sum(documents.dropped.values()):
        parts.append(f"{sum(documents.dropped.values()):,} dropped ({in_words(documents.dropped)})")
    if documents.repaired:
        parts.append(f"{documents.repaired:,} with undecodable bytes")
    if documents.cut:
        parts.append(f"{documents.cut:,} cut off documents that were too long for one")
    if documents.full:
        parts.append(f"the rest not read after {megabytes} MiB (data.max_megabytes)")
    return f"documents of {organization}: {', '.join(parts)}" if parts else ""


def _of_dropped(dropped: Mapping[str, int]) -> str:
    return f", dropped were {in_words(dropped)}" if sum(dropped.values()) else ""
