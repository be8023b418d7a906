"""Which models of a run answer a text: the base, the adapter of all organizations, and that of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedlora_tui.aggregation import METHODS
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.checkpoint import Checkpoint
from fedlora_tui.errors import UserError
from fedlora_tui.federation.last_replies import LastReplies
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.delta import as_adapter_total
from fedlora_tui.protocol.trying import ALL, BASE, Question


@dataclass(frozen=True)
class Candidate:
    """A model that is asked: its adapter (None: the base alone) and the round it is of, or what it lacks to answer."""

    name: str
    round: int = 0
    adapter: Adapter | None = None
    lacks: str = ""


class Voices:
    """The models of one run, as its folder and the replies that came last have them."""

    def __init__(self, folder: Path, last_replies: LastReplies) -> None:
        self._folder, self._last_replies = folder, last_replies

    def candidates(self, question: Question) -> list[Candidate]:
        """Give the models that a question is meant for. Raises UserError where a checkpoint cannot be read."""
        finished = [round for round in checkpoint.rounds(self._folder) if round > 0]
        found = [Candidate(BASE), self._of_all(question.round, finished)]
        return [*found, self._of(question.org, finished)] if question.org else found

    def _of_all(self, round: int, finished: list[int]) -> Candidate:
        if not finished:
            return Candidate(ALL, lacks="no round is finished yet")
        round = round or finished[-1]
        if round not in finished:
            return Candidate(ALL, lacks=f"round {round} is not finished: {finished[0]} to {finished[-1]} are")
        kept = self._read(round)
        if METHODS[kept.state["aggregation"]].keeps_b_at_home:
            return Candidate(ALL, lacks=f"with {kept.state['aggregation']} each organization has one of its own")
        return Candidate(ALL, round, as_adapter_total(kept.adapter, kept.delta))

    def _of(self, organization: str, finished: list[int]) -> Candidate:
        """Give an organization's own: what it sent last, or where its B never leaves it what it keeps at home."""
        kept = self._read(finished[-1]) if finished else None
        if kept is not None and METHODS[kept.state["aggregation"]].keeps_b_at_home:
            own = kept.own.get(organization)
            return Candidate(organization, kept.round, own, "" if own else "it has not trained yet")
        if kept is not None and kept.state["config"]["privacy"].get("secure_sum"):
            return Candidate(organization, lacks="updates are summed unseen: nobody has its own")
        last = self._last_replies.wanted(organization)
        if last is None:
            return Candidate(organization, lacks="none of its replies is here: its next one will be")
        return Candidate(organization, last.round, as_adapter_total(last.adapter, last.delta))

    def _read(self, round: int) -> Checkpoint:
        try:
            return checkpoint.read(self._folder, round)
        except Exception as error:
            # Whatever a broken file brings about, the run goes on.
            raise UserError(f"round {round} cannot be read: {type(error).__name__}") from None
