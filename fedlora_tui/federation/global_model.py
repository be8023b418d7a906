"""The global model as the server knows it, and what of it an organization lacks.

Each round makes a new version. An organization that holds an earlier one is sent the factors that changed since, and
what joined the base since; one that holds nothing is sent everything. So A travels once where it is frozen, and what
joined the base travels once, until it is written anew at a smaller rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from fedlora_tui.federation.messages import NOTHING, Sent, encode, encode_delta
from fedlora_tui.lora.adapter import SUFFIXES, Adapter, Factors
from fedlora_tui.lora.delta import NO_DELTA, BaseDelta, added


@dataclass(frozen=True)
class GlobalModel:
    """The adapter and what joined the base; each round, and each change of rank, makes the next `version`.

    `changed` tells in which version each factor ("A", "B") became what it is. `parts` are what joined the base by
    version, since the whole of it was last written anew, in version `whole_since`.
    """

    version: int
    adapter: Adapter
    delta: BaseDelta = NO_DELTA
    changed: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[int, Mapping[str, Factors]] = field(default_factory=dict)
    whole_since: int = 0

    def after(self, adapter: Adapter, part: Mapping[str, Factors]) -> GlobalModel:
        """Give the model that a round leaves behind: a new adapter, and what joins the base."""
        version = self.version + 1
        changed = {
            factor: self.changed.get(factor, 0) if _same(self.adapter, adapter, factor) else version
            for factor in SUFFIXES
        }
        if not part:
            return GlobalModel(version, adapter, self.delta, changed, self.parts, self.whole_since)
        delta = added(self.delta, part)
        if any(_rank(delta, module) != _rank(self.delta, module) + own.a.shape[0] for module, own in part.items()):
            # Written anew: what an organization holds of it cannot be added to any more.
            return GlobalModel(version, adapter, delta, changed, {}, version)
        return GlobalModel(version, adapter, delta, changed, {**self.parts, version: part}, self.whole_since)

    def taken_over(self, adapter: Adapter, delta: BaseDelta) -> GlobalModel:
        """Give the model of another run as the next version of this one: everybody lacks all of it."""
        version = self.version + 1
        return GlobalModel(
            version, adapter, delta, dict.fromkeys(SUFFIXES, version), {}, version if delta.factors else 0
        )

    def resized(self, adapter: Adapter) -> GlobalModel:
        """Give the model with its adapter at another rank: a version of which everybody lacks both factors."""
        version = self.version + 1
        changed = dict.fromkeys(SUFFIXES, version)
        return GlobalModel(version, adapter, self.delta, changed, self.parts, self.whole_since)

    def lacking(self, held: int | None) -> Sent:
        """Give what an organization lacks that holds a version (None: nothing)."""
        rank = self.adapter.rank
        if held is None:
            whole = encode_delta(self.delta) if self.delta.factors else None
            return Sent(self.version, rank, NOTHING, encode(self.adapter), whole, delta_whole=True)
        factors = {factor for factor in SUFFIXES if self.changed.get(factor, 0) > held}
        adapter = encode(self.adapter, factors) if factors else None
        if held < self.whole_since:
            return Sent(self.version, rank, held, adapter, encode_delta(self.delta), delta_whole=True)
        since = NO_DELTA
        for version in sorted(self.parts):
            since = added(since, self.parts[version]) if version > held else since
        return Sent(self.version, rank, held, adapter, encode_delta(since) if since.factors else None)


def _rank(delta: BaseDelta, module: str) -> int:
    return delta.factors[module].a.shape[0] if module in delta.factors else 0


def _same(before: Adapter, after: Adapter, factor: str) -> bool:
    first, second = before.tensors(), after.tensors()
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items() if name.endswith(SUFFIXES[factor]))
