"""All text of a source, dealt out anew among organizations with a heterogeneity that was asked for (`data.partition`).

iid: every document is as likely in every organization. dirichlet: of each label the organizations' shares are drawn
from a Dirichlet distribution (Yurochkin et al. 2019, arXiv:1905.12022; Hsu et al. 2019, arXiv:1909.06335). quantity:
the labels as in iid, the amounts by a power law. The dealing is done by flwr-datasets' partitioners, on the places
and labels of the documents; no text is handed to them.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

from fedlora_tui.config import Config
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.draw import seeded, shuffled
from fedlora_tui.organizations.source import Source
from fedlora_tui.organizations.synthetic import SyntheticSource
from fedlora_tui.organizations.text import DUPLICATE, Document, Documents


class PartitionedSource:
    """A source whose organizations share all text of another source; what each has depends on all of them.

    Nothing is read before an organization's text is asked for; then all of it is, and kept. How many organizations
    there are is settled at the start: one more would have to take text from those that are there.
    """

    def __init__(self, source: Source, config: Config) -> None:
        self.partition = config.data.partition
        if importlib.util.find_spec("flwr_datasets") is None:
            raise UserError(
                f'data.partition = "{self.partition}" needs flwr-datasets, which is not installed: '
                "pip install 'fedlora-tui[partitions]'"
            )
        self._source = source
        self._config = config
        count = config.organizations
        # There is no end of synthetic organizations: those are pooled that would take part by themselves.
        self._pooled = source.first(count if isinstance(source, SyntheticSource) else None)
        self.names = partition_names(len(self._pooled) if count is None else count)

    def first(self, count: int | None) -> tuple[str, ...]:
        """All organizations, or the first `count` of them."""
        return self.names[:count]

    def another(self, taken: Collection[str]) -> str | None:
        """One that was there and left; there are never more than at the start."""
        return next((name for name in self.names if name not in taken), None)

    def documents(self, name: str) -> Documents:
        """What was dealt to one organization."""
        if name not in self.names:
            raise UserError(f"no organization is called {name!r}: {self.names_left_reason()}")
        return self._dealt[self.names.index(name)]

    @property
    def passed_over(self) -> Mapping[str, Mapping[str, int]]:
        """What gave no text to be dealt out."""
        return self._source.passed_over

    def names_left_reason(self) -> str:
        """One more would take text from those that are there."""
        return (
            f"all text is dealt out among {self.names[0]} to {self.names[-1]} "
            f'(data.partition = "{self.partition}"); more can join with "natural"'
        )

    @cached_property
    def _dealt(self) -> tuple[Documents, ...]:
        """Each organization's documents, every document in one place; what could not be used counts at the first."""
        read = [self._source.documents(name) for name in self._pooled]
        # Where a field of labels is named, a document without it has none: its file's name is no label of that kind.
        asked = self._config.data.label_field
        # A copy in another organization could be trained on in one place and measured in the other.
        distinct: dict[tuple[str, str], Document] = {}
        counted = {}
        for name, documents in zip(self._pooled, read, strict=True):
            before = len(distinct)
            for document in documents.texts:
                labelled = document if document.label or asked else replace(document, label=name)
                distinct.setdefault((document.prompt, document.text), labelled)
            copies = len(documents.texts) - (len(distinct) - before)
            dropped = +(Counter(documents.dropped) + Counter({DUPLICATE: copies}))
            counted[name] = replace(documents, texts=(), dropped=dropped)
        texts = tuple(distinct.values())
        if asked and texts and not any(document.label for document in texts):
            raise UserError(f"data.label_field = {asked!r}: no document has such a field; name the one with the labels")
        parts = deal([document.label for document in texts], len(self.names), self._config)
        first, *others = (tuple(texts[place] for place in part) for part in parts)
        return pooled(first, counted), *map(Documents, others)


def pooled(first: tuple[Document, ...], counted: Mapping[str, Documents]) -> Documents:
    """The documents of the first organization, with what was counted in reading those of all."""
    read = counted.values()
    return Documents(
        first,
        sum((Counter(documents.dropped) for documents in read), Counter[str]()),
        sum(documents.repaired for documents in read),
        sum(documents.cut for documents in read),
        any(documents.full for documents in read),
        counted,
    )


def partition_names(count: int) -> tuple[str, ...]:
    """Names whose order is that of their numbers, org-01 to org-12."""
    digits = len(str(count))
    return tuple(f"org-{number:0{digits}d}" for number in range(1, count + 1))


def deal(labels: Sequence[str], count: int, config: Config) -> list[list[int]]:
    """Deal the documents with these labels among `count` organizations -> the places of each one's documents.

    Equal for equal labels, count, seed and [data]. Raises UserError where somebody would get too few for a batch.
    """
    data, seed = config.data, config.federation.seed
    fewest = math.ceil((config.federation.batch_size + 1) / (1 - data.holdout))
    if len(labels) < fewest * count:
        raise UserError(
            f"{len(labels):,} documents are too few for {count} organizations with {fewest} each (a batch and a "
            "hold-out): ask for fewer organizations or give more text"
        )
    if data.partition == "dirichlet" and len(set(labels)) < 2:
        raise UserError(
            'data.partition = "dirichlet" spreads labels, and all documents have the same: set data.label_field to '
            'the field that holds them, or use "quantity"'
        )
    order = shuffled(seeded("partition", seed), range(len(labels)))
    return PARTITIONERS[data.partition]([(place, labels[place]) for place in order], count, fewest, config)


Placed = list[tuple[int, str]]
"""Documents in a drawn order, as their places and labels."""


def _iid(documents: Placed, count: int, fewest: int, config: Config) -> list[list[int]]:
    from flwr_datasets.partitioner import IidPartitioner

    return _parts(IidPartitioner(num_partitions=count), documents, count)


def _quantity(documents: Placed, count: int, fewest: int, config: Config) -> list[list[int]]:
    from flwr_datasets.partitioner import SizePartitioner

    sizes = power_law(len(documents), count, config.data.quantity_skew, fewest)
    return _parts(SizePartitioner(partition_sizes=sizes), documents, count)


def _dirichlet(documents: Placed, count: int, fewest: int, config: Config) -> list[list[int]]:
    from flwr_datasets.partitioner import DirichletPartitioner

    alpha = config.data.dirichlet_alpha
    partitioner = DirichletPartitioner(
        num_partitions=count,
        partition_by="label",
        alpha=alpha,
        min_partition_size=fewest,
        self_balancing=False,
        seed=config.federation.seed,
    )
    try:
        with warnings.catch_warnings(action="ignore"):  # each of its draws that leaves somebody too little
            return _parts(partitioner, documents, count)
    except ValueError:
        raise UserError(
            f"data.dirichlet_alpha = {alpha:g} leaves one of {count} organizations fewer than {fewest} documents in "
            "every draw: raise it, or ask for fewer organizations"
        ) from None


PARTITIONERS: dict[str, Callable[[Placed, int, int, Config], list[list[int]]]] = {
    "iid": _iid,
    "dirichlet": _dirichlet,
    "quantity": _quantity,
}


def _parts(partitioner: Any, documents: Placed, count: int) -> list[list[int]]:
    """Each partition's places, in the order in which the documents stood in their source."""
    from datasets import Dataset

    columns = {"place": [place for place, _ in documents], "label": [label for _, label in documents]}
    partitioner.dataset = Dataset.from_dict(columns)
    return [sorted(partitioner.load_partition(number)["place"]) for number in range(count)]


def power_law(total: int, count: int, skew: float, fewest: int) -> list[int]:
    """Sizes that add up to `total`: `fewest` each, and the rest shared so that the n-th gets n to the minus `skew`."""
    sums = [0.0, *accumulate(number**-skew for number in range(1, count + 1))]
    rest = total - fewest * count
    return [fewest + upper - lower for lower, upper in pairwise(round(rest * part / sums[-1]) for part in sums)]
