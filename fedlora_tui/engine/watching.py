"""Who watches organizations at work: turns what they do into events, and lets the operator in between their steps."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from fedlora_tui.engine.reception import Arrivals, Reception
from fedlora_tui.engine.steering import Steering
from fedlora_tui.engine.stream import Stream
from fedlora_tui.engine.telling import Telling
from fedlora_tui.fault_profiles import FaultProfile
from fedlora_tui.lora.cohort import StepDone
from fedlora_tui.protocol import events as ev

TRAIN, EVALUATE = "train", "evaluate"
DOING: Mapping[str, str] = {TRAIN: "training", EVALUATE: "testing"}
"""What an organization is doing that has a message of a kind."""


class Watching:
    """Turns what organizations do into events, and lets the operator pause or stop between their steps."""

    def __init__(self, stream: Stream, steering: Steering, run_id: int, lanes: int = 1, withheld: bool = False) -> None:
        """Where losses are `withheld` no step tells its own."""
        self._withheld = withheld
        self._stream, self._steering, self._run_id, self._lanes = stream, steering, run_id, lanes
        self._telling = Telling(self._emit)
        self._round = self._step = 0
        self._told: dict[str, tuple[int, int]] = {}
        self._profiles: Mapping[str, FaultProfile] = {}
        self._arrivals: Arrivals | None = None
        self._taking_in: Reception | None = None
        self._began = self._sent = 0.0
        self._answered = 0
        self._silent: set[str] = set()

    def begin_training(self, taking_in: Reception) -> None:
        """Know who misbehaves in the training that begins, and where to note the time where that counts."""
        self._told.clear()
        self._profiles, self._arrivals = taking_in.profiles, taking_in.arrivals
        self._taking_in, self._answered = taking_in, 0
        self._began = self._arrivals.clock() if self._arrivals is not None else 0.0

    def steps(self, round: int, done: Sequence[StepDone]) -> None:
        """Report one local step of a cohort, but what was reported before memory ran out, and after a dropout."""
        if self._arrivals is not None:
            self._arrivals.step([one.organization for one in done])
        new = [one for one in done if self._told.get(one.organization, (0, 0)) < (round, one.step)]
        if self._profiles:
            new = [one for one in new if not self._dropped_out(one)]
        self._told |= {one.organization: (round, one.step) for one in new}
        self._telling.tell(
            [
                ev.TrainStep(
                    one.organization, round, one.step, one.steps, None if self._withheld else one.loss, one.tokens
                )
                for one in new
            ]
        )

    def _dropped_out(self, done: StepDone) -> bool:
        profile = self._profiles.get(done.organization)
        return profile is not None and profile.kind == "dropout" and done.step > profile.drops_after(done.steps)

    def _emit(self, event: ev.Event) -> None:
        """Put what was told into the stream, and remember how far that is."""
        if isinstance(event, ev.TrainStep):
            self._round, self._step = event.round, event.step
            self._steering.reached(event.round, event.step)
        self._stream.emit(event)

    def testing(self, round: int, organization: str) -> None:
        """Report that an organization begins to measure."""
        self._telling.tell([ev.OrgState(organization, "testing", round)])
        self._steering.between(round, self._step)

    def between(self) -> None:
        """Let the operator in between two local steps, or two passes of a measurement."""
        self._steering.between(self._round, self._step)

    def lanes_begin(self, count: int) -> None:
        """Let each lane wait for its turn in telling."""
        self._telling.begin(count)

    def lane_began(self, lane: int) -> None:
        """Know what this thread tells for what the lane tells."""
        self._telling.enter(lane)

    def lane_has(self, runs: Collection[int]) -> None:
        """Wait no longer for a lane that has nothing more of this run; a pass begins in it."""
        if self._arrivals is not None:
            self._arrivals.begin()
        if self._run_id not in runs:
            self._telling.finish()

    def lane_ended(self) -> None:
        """Wait no longer for one of the lanes."""
        self._telling.end()

    def shrunk(self, cohort: int) -> None:
        """Report that fewer organizations go in one pass."""
        self._stream.emit(ev.CohortSized(cohort, self._lanes))
        passes = "one organization" if cohort == 1 else f"{cohort} organizations"
        self._stream.emit(ev.Warned(f"out of memory: from now on {passes} a pass (federation.cohort = {cohort})"))

    def about_to_send(self) -> None:
        """Let the operator in before organizations on other machines are sent anything: they cannot be held up then."""
        self._steering.between(self._round, self._step)

    def sent(self, kind: str, round: int, organizations: Sequence[str]) -> None:
        """Report what organizations do from now on whose steps nobody here sees."""
        self._round = round
        self._silent.clear()
        self._sent = self._arrivals.clock() if self._arrivals is not None else 0.0
        if kind in DOING:
            since = time.strftime("since %H:%M:%S")
            for name in organizations:
                self._stream.emit(ev.OrgState(name, DOING[kind], round, since))

    def goes_on(self, kind: str) -> bool:
        """Tell whether replies are waited for; the base may be lent meanwhile, and the run may be stopped."""
        self._steering.meanwhile()
        taking_in, arrivals = self._taking_in, self._arrivals
        if kind not in DOING or taking_in is None or arrivals is None:
            return True
        # A training counts from its first message on, whoever is sent another one.
        began = self._began if kind == TRAIN else self._sent
        in_time = not taking_in.deadline or arrivals.clock() - began < taking_in.deadline
        return in_time and (kind != TRAIN or self._answered < taking_in.goal)

    def silent(self, kind: str, round: int, organizations: Mapping[str, float]) -> None:
        """Report whose node gives no sign of life, and until when it is waited for; and who shows itself again."""
        if kind not in DOING:
            return
        for name in sorted(organizations.keys() - self._silent):
            until = time.strftime("%H:%M:%S", time.localtime(organizations[name]))
            self._stream.emit(ev.OrgState(name, "late", round, f"no sign of life, waited for until {until}"))
            why = "its node, its machine or the line is down"
            self._stream.emit(ev.Warned(f"{name} gives no sign of life ({why}): it is waited for until {until}", name))
        for name in sorted(self._silent - organizations.keys()):
            self._stream.emit(ev.OrgState(name, "waiting", round))
            self._stream.emit(ev.OrgState(name, DOING[kind], round, time.strftime("since %H:%M:%S")))
        self._silent = set(organizations)

    def came(self, kind: str, round: int, organization: str, answered: bool) -> None:
        """Report that an organization's reply is in, and note when."""
        self._silent.discard(organization)
        if kind in DOING:
            self._stream.emit(ev.OrgState(organization, "waiting", round))
        if kind == TRAIN and self._arrivals is not None:
            self._arrivals.seconds[organization] = self._arrivals.clock() - self._began
            self._answered += answered
