"""What the runs of a race share: base, passes, the gate where they pause, texts to be tried. A run alone has its own.

Every run has a thread, a journal and a folder of its own. They wait for one another at three places: before any of them
makes its folder, so that a race begins whole or not at all; when their passes are laid out; and wherever they send
messages or come to the next round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fedlora_tui.config import Config
from fedlora_tui.engine.attendance import ALWAYS_HERE, Attendance
from fedlora_tui.engine.gate import Gate
from fedlora_tui.engine.meeting import Meeting
from fedlora_tui.engine.trying import Trying
from fedlora_tui.organizations.roster import Roster, call_roster
from fedlora_tui.protocol.event import Event

if TYPE_CHECKING:
    from fedlora_tui.engine.prepare import Prepared, Say, Stood
    from fedlora_tui.federation.client_app import ClientSide
    from fedlora_tui.federation.organizations_grid import OrganizationsGrid
    from fedlora_tui.federation.passes import Passes, Replies, Sent


@dataclass(frozen=True)
class Entrant:
    """A run that is prepared, its side of the passes, and whom to tell that it waits for others before the next."""

    prepared: Prepared
    side: ClientSide
    rest: Callable[[], None]


@dataclass(frozen=True)
class Laid:
    """A run's way to its organizations, how many of them, of all runs together, go in one pass, and who is here.

    `told` is what its journal says of that way.
    """

    grid: OrganizationsGrid
    cohort: int
    attendance: Attendance = ALWAYS_HERE
    told: tuple[Event, ...] = ()


class Course:
    """What runs share; each has a place, counted from 0, and a label that tells it from the others."""

    def __init__(self, labels: Sequence[str] = ("",)) -> None:
        self.gate = Gate()
        self.trying = Trying(self.gate)
        self._labels, runs = labels, len(labels)
        self._preparing = threading.Lock()
        self._prepared: list[Prepared] = []
        self._passes: Passes
        self._entrants: Mapping[int, Entrant] = {}
        self._starting: Meeting[str | None, str | None] = Meeting(runs, self._first_refusal)
        self._laying: Meeting[Entrant, Laid] = Meeting(runs, self._lay)
        self._sending: Meeting[Sent | None, Replies] = Meeting(runs, self._answer)

    @property
    def alone(self) -> bool:
        """True where a run has the course for itself."""
        return len(self._labels) == 1

    def roster(self, config: Config) -> Roster:
        """Name the organizations that a run starts with. Raises UserError."""
        return call_roster(config)

    def prepare(
        self,
        config: Config,
        roster: Roster,
        say: Say,
        stood: Stood | None = None,
        opens: Callable[[], None] = lambda: None,
    ) -> Prepared:
        """Prepare a run; the first one loads the base, and the others go beside it. Raises UserError.

        Where that waits for organizations, the run `opens` before: its folder is there, and it can be looked at.
        """
        from fedlora_tui.engine.prepare import prepare

        with self._preparing:
            prepared = prepare(config, roster, say, self._prepared, stood)
            self._prepared.append(prepared)
        return prepared

    def start(self, place: int, refusal: str | None) -> str | None:
        """Wait until all are prepared; give why none of them begins, None where all do."""
        return self._starting.bring(place, refusal)

    def lay(self, place: int, entrant: Entrant) -> Laid:
        """Lay out the passes when all have come."""
        return self._laying.bring(place, entrant)

    def come_to_round(self, place: int) -> None:
        """Wait until all have come to their next round: what is asked of them counts from the same one."""
        self._sending.bring(place, None)

    def leave(self, place: int) -> None:
        """A run has ended: nobody waits for it."""
        for meeting in (self._starting, self._laying, self._sending):
            meeting.leave(place)

    def _first_refusal(self, refusals: Mapping[int, str | None]) -> Mapping[int, str | None]:
        """Let nobody begin where one cannot."""
        refused = [(self._labels[place], reason) for place, reason in refusals.items() if reason is not None]
        told = next((f"{label}: {reason}" if label else reason for label, reason in refused), None)
        return dict.fromkeys(refusals, told)

    def _lay(self, entrants: Mapping[int, Entrant]) -> Mapping[int, Laid]:
        from fedlora_tui.federation.client_app import client_app
        from fedlora_tui.federation.local_grid import LocalGrid, lanes_over
        from fedlora_tui.federation.passes import Passes, Shared

        # What a run alone holds is let go of when it ends.
        self._prepared.clear()
        sides = {run_id(place): entrant.side for place, entrant in entrants.items()}
        cohort = _cohort([entrant.prepared for entrant in entrants.values()])
        bases = next(iter(entrants.values())).prepared.bases
        lanes = lanes_over(bases, lambda context: sides[context.run_id])
        self._entrants = entrants
        self._passes = Passes(lanes, cohort)
        self.trying.open(bases[0])
        # Runs of a race meet in every pass, so each of them sends all its messages together.
        at_once = cohort * len(lanes) if self.alone else 0
        return {
            place: Laid(
                LocalGrid(client_app(entrant.side), Shared(partial(self._send, place)), run_id(place), at_once),
                cohort,
            )
            for place, entrant in entrants.items()
        }

    def _send(self, place: int, sent: Sent) -> Replies:
        self._entrants[place].rest()
        return self._sending.bring(place, sent)

    def _answer(self, brought: Mapping[int, Sent | None]) -> Mapping[int, Replies]:
        """Answer those who sent; only where nobody did have all come to their next round."""
        from fedlora_tui.federation.passes import answered_together

        sent = {place: own for place, own in brought.items() if own is not None}
        if not sent:
            self.gate.lanes_begin(0)  # all go on by themselves
            return {place: [] for place in brought}
        # Those whose run has ended are told of nothing any more.
        self._passes.watches = (self.gate, *(self._entrants[place].side.observer for place in sent))
        return answered_together(self._passes, sent)


def run_id(place: int) -> int:
    """Give Flower's number of the run at a place."""
    return place + 1


def _cohort(entrants: Sequence[Prepared]) -> int:
    """Give how many organizations go in one pass: as many as suit the run that takes the most."""
    from fedlora_tui.engine.plan import plan_of
    from fedlora_tui.lora.cohort_size import cohort_size
    from fedlora_tui.lora.lanes import lanes_on

    sizes = []
    for prepared in entrants:
        config, base = prepared.config, prepared.base
        asked = config.federation.cohort if base.rows_apart else 1
        if prepared.stood is not None:
            asked = prepared.stood.cohort
        plan, length, lanes = plan_of(config, 0), config.model.max_length, lanes_on(base)
        sizes += [cohort_size(asked, own, prepared.adapter, plan, length, lanes) for own in prepared.devices]
    return min(sizes)
