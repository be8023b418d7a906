"""How models go on with a text: the frozen base under several adapters at once, token by token, in one pass.

Each row of a pass meets an adapter of its own, as in training; an adapter of zeros is the base alone. Nothing is drawn
from torch's own generators, and nothing that training uses is written.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedlora_tui.lora.adapter import A_SUFFIX, B_SUFFIX, Adapter, Factors
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.injection import StackedFactors, injected
from fedlora_tui.lora.stack import Stack


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen: at temperature 0 the likeliest, above it drawn from the seed; `tokens` of them at most.

    Every model draws the same numbers, so that answers differ only where the models do.
    """

    tokens: int
    temperature: float = 0.0
    seed: int = 7


def no_adapter(base: BaseModel) -> Adapter:
    """Give an adapter that changes nothing: under it a base is the base alone."""
    factors = {t.name: Factors(torch.zeros(1, t.in_features), torch.zeros(t.out_features, 1)) for t in base.targets}
    return Adapter(factors, 1, 1.0)


class Generation:
    """One text under several adapters: the loss of its tokens, and what each model goes on with.

    `losses` are nats by model and token of the text behind the first; `tokens` what each model has said by now, without
    the end-of-text token that ends it.
    """

    def __init__(self, base: BaseModel, adapters: Sequence[Adapter], text: Sequence[int], sampling: Sampling) -> None:
        """Send the text through the base; `text` has a token or more, and room for the answer behind it."""
        self._sampling = sampling
        self._generators = [torch.Generator().manual_seed(sampling.seed) for _ in adapters]
        self._ends = _ends(base)
        # Where what a row gives hangs on the rows beside it, each model goes alone.
        parts = [list(adapters)] if base.rows_apart else [[adapter] for adapter in adapters]
        self._passes = [_Pass(base, part) for part in parts]
        self.losses = [losses for one in self._passes for losses in one.losses(text)]
        self.tokens: list[list[int]] = [[] for _ in adapters]
        self.ended = [False] * len(adapters)
        self._last = [list(text) for _ in adapters]

    @property
    def over(self) -> bool:
        """True once every model has come to its end."""
        return all(self.ended)

    def step(self) -> None:
        """Let every model that is not at its end say one token more."""
        logits: list[Tensor] = []
        for one in self._passes:
            logits += one.next_logits(self._last[len(logits) : len(logits) + one.models])
        for model, (own, ended) in enumerate(zip(logits, self.ended, strict=True)):
            token = self._ends[0] if ended else self._choose(own, model)
            self._last[model] = [token]
            if ended:
                continue
            if token in self._ends:
                self.ended[model] = True
            else:
                self.tokens[model].append(token)
                self.ended[model] = len(self.tokens[model]) >= self._sampling.tokens

    def _choose(self, logits: Tensor, model: int) -> int:
        if bool(torch.isnan(logits).any()):
            return self._ends[0]
        if self._sampling.temperature == 0:
            return int(logits.argmax())
        shares = (logits.double().cpu() / self._sampling.temperature).softmax(0).cumsum(0)
        drawn = torch.rand(1, generator=self._generators[model], dtype=torch.float64) * shares[-1]
        return min(int(torch.searchsorted(shares, drawn, right=True)), len(shares) - 1)


class _Pass:
    """Models that go through the base together, and what it remembers of their text."""

    def __init__(self, base: BaseModel, adapters: Sequence[Adapter]) -> None:
        self.models = len(adapters)
        self._base = base
        stack = Stack(adapters, base.device)
        self._stacked = {
            target.name: StackedFactors(
                stack.parameters[target.name + A_SUFFIX],
                stack.parameters[target.name + B_SUFFIX],
                stack.scales[target.name],
            )
            for target in base.targets
        }
        self._cache: Any = None
        self._so_far: list[list[int]] = [[] for _ in adapters]
        takes = inspect.signature(base.model.forward).parameters
        self._last_alone = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}

    @torch.no_grad()
    def losses(self, text: Sequence[int]) -> list[list[float]]:
        """Give the loss of every token of a text behind the first, by model."""
        length, device = len(text), self._base.device
        if length < 2:
            return [[] for _ in range(self.models)]
        tokens = torch.tensor([list(text)] * self.models, device=device)
        places = torch.arange(self.models * length, device=device).view(self.models, length)[:, :-1].flatten()
        call = {"input_ids": tokens, "use_cache": False}
        with injected(self._base.model, self._base.targets, self._stacked):
            found = self._base.head.losses(call, places, tokens[:, 1:].flatten(), None).by_target
        by_model: list[list[float]] = found.view(self.models, length - 1).tolist()
        return by_model

    @torch.no_grad()
    def next_logits(self, tokens: Sequence[Sequence[int]]) -> list[Tensor]:
        """Add tokens to each model's text; give the logits of what comes next, [vocabulary] each."""
        self._so_far = [[*before, *new] for before, new in zip(self._so_far, tokens, strict=True)]
        # A base that remembers nothing is sent the whole text each time.
        given = self._so_far if self._cache is None else tokens
        ids = torch.tensor([list(own) for own in given], device=self._base.device)
        also = {} if self._cache is None else {"past_key_values": self._cache}
        with injected(self._base.model, self._base.targets, self._stacked):
            outputs = self._base.model(input_ids=ids, use_cache=True, **also, **self._last_alone)
        self._cache = getattr(outputs, "past_key_values", None)
        return list(outputs.logits[:, -1].float())


def _ends(base: BaseModel) -> list[int]:
    """Give the tokens that end an answer: the tokenizer's, and those that the model says of itself."""
    told = getattr(getattr(base.model, "generation_config", None), "eos_token_id", None)
    more = [] if told is None else [told] if isinstance(told, int) else list(told)
    return list(dict.fromkeys([base.end_of_text, *more]))
