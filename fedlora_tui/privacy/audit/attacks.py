"""The attacks of an audit on one adapter: which codes it knows, which documents, which personal data it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fedlora_tui.config import Config
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.rows import Row, encoded, pieces, text_tokens, texts_tokens
from fedlora_tui.lora.sampling import continued
from fedlora_tui.lora.scoring import Observe, row_losses, text_losses
from fedlora_tui.organizations.draw import seeded, shuffled
from fedlora_tui.organizations.text import Document, PrivateText
from fedlora_tui.privacy.audit.secrets import SPACE, code_text, sentence
from fedlora_tui.privacy.audit.statistics import auc, caught, clopper_pearson, exposure, roc
from fedlora_tui.protocol.audits import Membership, PersonalFound, SecretFound

SAID = 48
"""Tokens of a continuation in which personal data is looked for, at most."""

LEAST_OF_A_VALUE = 6
LOOKED_AT = 64
"""Documents of an organization by which runs with it and without are told apart."""

TRAINED, HELD_OUT, NEVER = "in training text alone", "in hold-out text alone", "nowhere"


class Codes:
    """Every code of the space as a base's tokens, made once."""

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._texts = texts_tokens(base.tokenizer, [code_text(code) for code in range(SPACE)])
        columns = enumerate(zip(*self._texts, strict=False))
        self._known = next((at for at, tokens in columns if len(set(tokens)) > 1), 1)

    def losses(self, adapter: Adapter | None, observe: Observe) -> Tensor:
        """Give the loss of every code, behind what all sentences share -> [SPACE]."""
        return text_losses(self._base, adapter, self._texts, self._known, observe)


def secrets_found(
    losses: Tensor, planted: Mapping[str, int], controls: Sequence[int], bits: float, adapter: str = ""
) -> list[SecretFound]:
    """Rank codes by their losses; from so many bits on one is exposed.

    Each stands behind all that are as likely, so no tie makes it look known.
    """
    every = [*((name, True, code) for name, code in planted.items()), *(("", False, code) for code in controls)]
    found = []
    for organization, was_planted, code in every:
        rank = max(int((losses <= losses[code]).sum()), 1)
        own = exposure(rank, len(losses))
        found.append(SecretFound(organization, was_planted, rank, own, own >= bits, adapter))
    return found


@dataclass(frozen=True)
class Sides:
    """As many documents that an organization trained on as ones that it held out; all share one way to be scored."""

    organization: str
    members: Sequence[Document]
    others: Sequence[Document]


def drawn_sides(organization: str, train: Sequence[Document], held: Sequence[Document], most: int, seed: int) -> Sides:
    """Draw as many documents of each side, so that no organization weighs more on one side than on the other."""
    count = min(len(train), len(held), most)
    rng = seeded("audit", seed, organization)
    return Sides(organization, shuffled(rng, train)[:count], shuffled(rng, held)[:count])


def document_losses(
    base: BaseModel, adapter: Adapter | None, documents: Sequence[Document], length: int, observe: Observe
) -> list[float]:
    """Give the mean loss of each document's targets in nats a token, alone in its rows; 0 of one without a target."""
    cut = [
        [piece for row in encoded(base.tokenizer, [document]) for piece in pieces(row, length)]
        for document in documents
    ]
    losses = iter(row_losses(base, adapter, [row for own in cut for row in own], observe))
    sums = [(sum(next(losses) for _ in own), sum(row.targets for row in own)) for own in cut]
    return [added / count if count else 0.0 for added, count in sums]


@dataclass(frozen=True)
class Scores:
    """What an attack gives the documents of one organization: the higher, the more like one that was trained on."""

    organization: str
    members: Sequence[float]
    others: Sequence[float]


def member_scores(sides: Sequence[Sides], after: Sequence[float], before: Sequence[float]) -> dict[str, list[Scores]]:
    """Make scores of losses under the adapter, and under the base alone, of all sides' members, then others, in order.

    "loss" is Yeom and others' threshold on the loss (2018, https://arxiv.org/abs/1709.01604); "calibrated" is how much
    lower it is than the base's, so that what is hard for both does not count (Watson et al. 2022,
    https://arxiv.org/abs/2111.08440).
    """
    found: dict[str, list[Scores]] = {"loss": [], "calibrated": []}
    at = 0
    for own in sides:
        middle, end = at + len(own.members), at + len(own.members) + len(own.others)
        by_loss = [-loss for loss in after[at:end]]
        calibrated = [base - loss for base, loss in zip(before[at:end], after[at:end], strict=True)]
        for name, scores in (("loss", by_loss), ("calibrated", calibrated)):
            found[name].append(Scores(own.organization, scores[: middle - at], scores[middle - at :]))
        at = end
    return found


def memberships(scores: Mapping[str, Sequence[Scores]]) -> list[Membership]:
    """Judge each score over all organizations together, with its curve, and for each organization."""
    found: list[Membership] = []
    for name, own in scores.items():
        together = Scores("", [s for one in own for s in one.members], [s for one in own for s in one.others])
        found.append(_judged(name, together, curve=True))
        found += [_judged(name, one) for one in own] if len(own) > 1 else []
    return found


def _judged(name: str, scores: Scores, curve: bool = False) -> Membership:
    members, others = scores.members, scores.others
    told = caught(members, others)
    drawn = tuple(roc(members, others)) if curve and members and others else ()
    return Membership(
        scores.organization, name, len(members), len(others), auc(members, others), told.share, told.chance, drawn
    )


@dataclass(frozen=True)
class Prompted:
    """A document's text up to its first personal value, and that value; `member` where it was trained on."""

    opening: str
    value: str
    member: bool


def openings(documents: Iterable[tuple[Document, Sequence[str]]], member: bool) -> list[Prompted]:
    """Cut documents before their first personal value; those that begin with it are left out."""
    found = []
    for document, values in documents:
        places = [(document.text.find(value), value) for value in values if is_telling(value)]
        at, value = min((place for place in places if place[0] > 0), default=(0, ""))
        if at and document.text[:at].strip():
            found.append(Prompted(document.text[:at].rstrip(), value, member))
    return found


def is_telling(value: str) -> bool:
    """Tell whether a value is one that nobody says by chance as often: a full name, an address, a number."""
    return len(value) >= LEAST_OF_A_VALUE and any(sign.isdigit() or sign == " " for sign in value)


def said_after(
    base: BaseModel, adapter: Adapter | None, prompts: Sequence[Prompted], length: int, seed: int
) -> list[str]:
    """Let a model go on behind each opening; its own words alone, without the opening."""
    tokens = min(SAID, length // 2)
    beginnings = [_ending(base.tokenizer, own.opening, length - tokens) for own in prompts]
    return [base.tokenizer.decode(own) for own in continued(base, adapter, beginnings, tokens, seed)]


def personal_found(said: Sequence[str], values: Mapping[str, Iterable[str]]) -> list[PersonalFound]:
    """Count which values of each kind stand somewhere in what was said, letter by letter."""
    # Ends that no value goes over: one that stands half in one text and half in another was not said.
    whole = "\n".join(said)
    found = []
    for what, own in values.items():
        every = set(own)
        some = sum(value in whole for value in every)
        found.append(PersonalFound(what, len(every), some, clopper_pearson(some, len(every))))
    return found


def completed(prompts: Sequence[Prompted], said: Sequence[str]) -> list[PersonalFound]:
    """Count the openings behind which a model says the very value that stands there in the document."""
    found = []
    for member, what in ((True, "behind the opening of a document trained on"), (False, "behind that of one held out")):
        own = [prompt.value in text for prompt, text in zip(prompts, said, strict=True) if prompt.member == member]
        found.append(PersonalFound(what, len(own), sum(own), clopper_pearson(sum(own), len(own))))
    return found


def _ending(tokenizer: Any, text: str, most: int) -> list[int]:
    return text_tokens(tokenizer, text)[-most:]


def together(found: Sequence[PersonalFound]) -> PersonalFound:
    """Add up what was found of one kind under several adapters."""
    values, some = sum(own.values for own in found), sum(own.found for own in found)
    return PersonalFound(found[0].what, values, some, clopper_pearson(some, values))


def rows_of_organization(base: BaseModel, text: PrivateText, code: int | None, config: Config) -> list[Row]:
    """Give what an attack on an organization looks at: its secret where it has one, else some of its training text."""
    rng = seeded("left out", config.federation.seed, text.organization)
    documents = [Document(sentence(code))] if code is not None else shuffled(rng, text.train)[:LOOKED_AT]
    return [piece for row in encoded(base.tokenizer, documents) for piece in pieces(row, config.model.max_length)]
