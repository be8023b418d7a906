"""What one pass of a cohort is given: rows, and the tokens in them that are predicted, as two arrays to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from fedlora_tui.lora.rows import IGNORED, Inputs, Row, padded, sent, targets

NO_ROW = Row(())
"""Fills a batch that has fewer rows than the others of its pass."""

LENGTHS = 32
"""Where passes are to be of few shapes, rows are as long as a multiple of this."""

TARGET_SHARE = 16
"""There, targets are filled up to a multiple of this share of a pass's positions."""

PROCESSOR = torch.device("cpu")


@dataclass(frozen=True)
class Given:
    """Batches of several organizations, each filled up to as many rows, one after the other.

    `numbers` are all whole numbers in one array, `shares` what each target's loss weighs: 1 over its organization's
    targets, or 0 where it only fills up.
    """

    numbers: Tensor
    shares: Tensor
    rows: int
    length: int
    packed: bool

    @property
    def shape(self) -> tuple[int, int, int, bool]:
        """What two passes have in common that the same kernels compute."""
        return self.rows, self.length, len(self.shares), self.packed

    @property
    def tokens(self) -> Tensor:
        """The tokens [rows, length]."""
        return self._part(0).view(self.rows, self.length)

    @property
    def positions(self) -> Tensor | None:
        """Each token's position in its document [rows, length]; None where no row holds several."""
        return self._part(1).view(self.rows, self.length) if self.packed else None

    @property
    def places(self) -> Tensor:
        """The positions, counted over all rows, after which a token is predicted [targets]."""
        return self._part(-3)

    @property
    def answers(self) -> Tensor:
        """The tokens that are predicted there."""
        return self._part(-2)

    @property
    def owners(self) -> Tensor:
        """Whose each target is, counted from 0."""
        return self._part(-1)

    def _part(self, index: int) -> Tensor:
        positions, count = self.rows * self.length, len(self.shares)
        if index >= 0:
            return self.numbers[index * positions : (index + 1) * positions]
        begin = len(self.numbers) + index * count
        return self.numbers[begin : begin + count]

    def on(self, device: torch.device) -> Given:
        """Give the same on a device, without waiting until it is there."""
        return replace(self, numbers=sent(self.numbers, device), shares=sent(self.shares, device))


def laid_out(
    batches: Sequence[Sequence[Row]], filler: int, dtype: torch.dtype, longest: int | None = None
) -> tuple[Given, list[int]]:
    """Lay out one batch of every organization, on the processor; tell how many targets each has.

    Where `longest` says how long rows may be at most, they are filled up with a view to few different shapes.
    """
    height = max(map(len, batches))
    rows = [row for batch in batches for row in [*batch, *[NO_ROW] * (height - len(batch))]]
    length = 0 if longest is None else min(_up(max(map(len, rows)), LENGTHS), longest)
    inputs = padded(rows, filler, PROCESSOR, length)
    counts = [targets(batch) for batch in batches]
    owners = torch.arange(len(batches)).repeat_interleave(torch.tensor(counts))
    shares = (1 / torch.tensor(counts, dtype=dtype))[owners]
    places, answers = chosen(inputs)
    if longest is not None:
        positions = inputs.tokens.numel()
        more = _up(len(shares), max(1, positions // TARGET_SHARE)) - len(shares)
        # What fills up weighs nothing, and is each organization's own, so that no number of one meets another's. No
        # position comes often: a GPU adds up what goes back to one position in turn.
        filling = torch.arange(more) % positions
        places, answers = torch.cat([places, filling]), functional.pad(answers, (0, more))
        owners = torch.cat([owners, filling // (positions // len(batches))])
        shares = functional.pad(shares, (0, more))
    numbers = [places, answers, owners]
    whole = [inputs.tokens.flatten(), *([] if inputs.positions is None else [inputs.positions.flatten()]), *numbers]
    height, length = inputs.tokens.shape
    return Given(torch.cat(whole), shares, height, length, inputs.positions is not None), counts


def chosen(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Give the positions, counted over all rows, after which a token is predicted, and those tokens.

    Found on the processor, for on a GPU every question of how many there are would wait for an answer.
    """
    length, device = inputs.labels.shape[1], inputs.tokens.device
    rows, columns = (inputs.labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    return sent(rows * length + columns, device), sent(inputs.labels[rows, columns + 1], device)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
