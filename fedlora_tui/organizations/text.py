"""One organization's private text: `Documents` as a source hands them over, and their split into train and hold-out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.draw import seeded, shuffled


@dataclass(frozen=True)
class Documents:
    """What a source holds for one organization.

    `dropped` counts what could not be used (empty, broken, undecodable); `repaired` counts the texts in which bytes
    that could not be decoded stand as U+FFFD. `labels` has what each text is of, a trade or a value of the user's
    label column, or is empty where the source knows none.
    """

    texts: tuple[str, ...]
    dropped: int
    repaired: int = 0
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class PrivateText:
    """One organization's documents, already split; nothing of them may leave the organization but counts.

    `duplicates` were taken out before the split; `dropped` could not be used.
    """

    organization: str
    train: tuple[str, ...]
    holdout: tuple[str, ...]
    duplicates: int
    dropped: int

    @property
    def documents(self) -> int:
        """How many distinct documents there are, on both sides together."""
        return len(self.train) + len(self.holdout)


def split(organization: str, documents: Iterable[str], holdout: float, seed: int, dropped: int = 0) -> PrivateText:
    """Take exact duplicates out, then split by document; both sides keep the order in which the documents came.

    The draw depends on the seed and the organization's own name alone, so no other organization can change it. Each
    side gets one document at least; fewer than two distinct documents are a UserError.
    """
    distinct: dict[str, str] = {}
    duplicates = 0
    for document in documents:
        key = document.strip()
        if not key:
            dropped += 1
        elif key in distinct:
            duplicates += 1
        else:
            distinct[key] = document
    texts = tuple(distinct.values())
    if len(texts) < 2:
        raise UserError(
            f"organization {organization!r} has {len(texts)} distinct document(s); 2 are needed, one to train on "
            "and one to hold out: give it more text (a .txt file has blank lines between documents) or leave it out"
        )
    share = min(max(round(holdout * len(texts)), 1), len(texts) - 1)
    held = set(shuffled(seeded("hold-out", seed, organization), range(len(texts)))[:share])
    return PrivateText(
        organization=organization,
        train=tuple(text for index, text in enumerate(texts) if index not in held),
        holdout=tuple(text for index, text in enumerate(texts) if index in held),
        duplicates=duplicates,
        dropped=dropped,
    )
