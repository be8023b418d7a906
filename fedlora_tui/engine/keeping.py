"""What a run keeps of its rounds: which checkpoints stay full, and what stands in one beside its tensors."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fedlora_tui.config import Config, to_mapping
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.checkpoint import Checkpoint
from fedlora_tui.engine.steering import Outstanding
from fedlora_tui.protocol.events import RoundFinished
from fedlora_tui.protocol.finite import finite


@dataclass(frozen=True)
class Standing:
    """Where a run stands after a round, beside its tensors: all of it goes into `state.json`.

    `cohort`, `lanes` and torch's threads decide in which order numbers are added up. Batches, samples and generators
    follow from the seed, an organization's name and the round alone: no random state is kept, for there is none.
    """

    run: str
    config: Config
    organizations: Collection[str]
    trained_by: Collection[str]
    modules: Collection[str]
    train_loss: float | None
    eval_loss: float | None
    base_loss: float | None
    outstanding: Outstanding
    finished: RoundFinished | None
    cohort: int | None
    lanes: int
    conduct: Mapping[str, Any]
    marks: Collection[str]
    privacy: Sequence[Mapping[str, Any]] = ()

    def state(self) -> dict[str, Any]:
        """Give it as a checkpoint holds it."""
        tables = to_mapping(self.config)
        return {
            "run": self.run,
            "rounds": self.config.federation.rounds,
            "aggregation": self.config.federation.aggregation,
            "organizations": list(self.organizations),
            "trained_by": sorted(self.trained_by),
            "modules": list(self.modules),
            "train_loss": self.train_loss,
            "eval_loss": self.eval_loss,
            "base_loss": self.base_loss,
            "seq": self.outstanding.seq,
            "waiting": [dataclasses.asdict(waiting) for waiting in self.outstanding.waiting],
            "finish": self.outstanding.finish,
            "finished": dataclasses.asdict(finite(self.finished)) if self.finished is not None else None,
            "cohort": self.cohort,
            "lanes": self.lanes,
            "threads": torch.get_num_threads(),
            "conduct": dict(self.conduct),
            "marks": sorted(self.marks),
            # What was charged to a privacy budget, a line a noised sum.
            "privacy": [dict(line) for line in self.privacy],
            "config": tables,
        }


class Keeping:
    """Writes checkpoints, and lets go of what only a resume needs, but of the newest, the best and marked rounds.

    `writing` is True while one is being written.
    """

    def __init__(self, folder: Path, newest: int) -> None:
        self.writing = False
        self._folder, self._newest = folder, newest
        self._marked: dict[int, bool] = {}
        for round in checkpoint.rounds(folder):
            with suppress(OSError, ValueError, KeyError):
                if checkpoint.is_full(folder, round):
                    self._marked[round] = bool(checkpoint.read_state(folder, round)["marks"])
                else:
                    # Whatever ended the process may have left behind what was let go of.
                    checkpoint.clear(folder, round)

    def write(self, kept: Checkpoint) -> int:
        """Write a checkpoint; give its size in bytes. Raises OSError."""
        self.writing = True
        try:
            return checkpoint.write(self._folder, kept)
        finally:
            self.writing = False

    def wrote(self, round: int, marked: bool, best: int | None) -> None:
        """A full checkpoint was written; thin out those that nobody goes back to."""
        # What lies beyond a round that is gone through once more is gone through, too.
        self._marked = {other: own for other, own in self._marked.items() if other < round} | {round: marked}
        stay = {*sorted(self._marked)[-self._newest :], best}
        for other, own in list(self._marked.items()):
            if other in stay or own:
                continue
            try:
                checkpoint.thin_out(self._folder, other)
            except (OSError, ValueError):
                # It only takes room. Whoever reads this checkpoint finds out what is wrong with it.
                logging.getLogger(__name__).exception("thinning out round %d", other)
            del self._marked[other]
