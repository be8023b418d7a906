"""The operator's commands: what each is answered, when it acts, and that nothing hangs.

Threads stand for the worker; timeouts are guards alone, no test measures time.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from fedlora_tui.config import Config
from fedlora_tui.engine.steering import Change, Steering, Stopped, Terms
from fedlora_tui.engine.stream import Stream
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev

GUARD = 120.0


class Helm:
    """A steering with its stream, the events it told, and a worker to hold it against."""

    def __init__(self, present=("a", "b", "c"), rounds=5, least=2, spare=("d", "e"), opened=True):
        self.stream, self.events = Stream(), []
        self.stream.subscribe(lambda record: self.events.append(record.event))
        self.heard = threading.Condition()
        self.stream.subscribe(self._hear)
        self.steering = Steering(self.stream)
        self.exports, self.unfinished = [], None
        self.terms = Terms(
            min_organizations=least,
            another=lambda taken: next((name for name in spare if name not in taken), None),
            no_more=lambda: "all 5 files are here",
            cannot_export=lambda command: self.unfinished,
            export=lambda command, by: self.exports.append((command, by)),
            config=Config,
        )
        self.errors = []
        if opened:
            self.stream.emit(ev.RunStarted("r", "m", 1, 1, 4, 8.0, "fedit", tuple(present), "cpu", {}, rounds=rounds))
            self.steering.open(self.terms, present, rounds)

    def _hear(self, record):
        with self.heard:
            self.heard.notify_all()

    def wait_for(self, kind, count=1):
        """Wait until so many events of a kind were told."""
        with self.heard:
            assert self.heard.wait_for(lambda: self.count(kind) >= count, GUARD), f"no {kind.__name__}"

    def count(self, kind):
        return sum(isinstance(event, kind) for event in self.events)

    def send(self, command):
        """Send a command and give its answer, which must be there at once."""
        before = len(self.events)
        self.steering.send(command)
        answers = [
            event for event in self.events[before:] if isinstance(event, ev.CommandAcknowledged | ev.CommandRefused)
        ]
        assert len(answers) == 1
        assert answers[0].command == command.name
        return answers[0]

    def taken(self, command):
        answer = self.send(command)
        assert isinstance(answer, ev.CommandAcknowledged), answer
        return answer

    def refused(self, command):
        answer = self.send(command)
        assert isinstance(answer, ev.CommandRefused), answer
        return answer.reason

    def working(self, work):
        """Let a worker thread do something that may wait; what it raised is in `errors`."""

        def body():
            try:
                work()
            except Exception as error:
                self.errors.append(error)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        return thread


def joined(thread):
    thread.join(GUARD)
    assert not thread.is_alive()


# --- before, after


def test_while_the_run_starts_only_stop_is_taken():
    helm = Helm(opened=False)
    commands = [ask.Pause(), ask.Resume(), ask.AddOrganization(), ask.DropOrganization("a"), ask.Undo()]
    for command in [*commands, ask.Finish(), ask.Export()]:
        assert helm.refused(command) == "the run is still starting"
    helm.taken(ask.Stop())
    assert helm.steering.stop_reason == "stopped by the operator"


def test_when_the_run_is_over_only_exports_are_taken():
    helm = Helm()
    helm.steering.close()
    commands = [ask.Pause(), ask.Resume(), ask.AddOrganization(), ask.DropOrganization("a"), ask.Undo()]
    for command in [*commands, ask.Finish(), ask.Stop()]:
        assert helm.refused(command) == "the run is over"
    helm.taken(ask.Export())


# --- pause and resume


def test_a_pause_from_another_thread_holds_the_worker_at_its_next_step_and_resume_lets_it_go():
    helm = Helm()
    steps = []

    def work():
        helm.steering.begin_round(1)
        for step in range(1, 5):
            steps.append(step)
            if step == 2:
                helm.send(ask.Pause())
            helm.steering.between(1, step)

    thread = helm.working(work)
    helm.wait_for(ev.RunPaused)
    assert steps == [1, 2]
    assert helm.stream.state.phase == "paused"
    assert helm.refused(ask.Pause()) == "paused already"
    helm.taken(ask.Resume())
    assert helm.stream.state.phase == "running"
    joined(thread)
    assert steps == [1, 2, 3, 4]
    kinds = [type(event) for event in helm.events if not isinstance(event, ev.CommandAcknowledged | ev.CommandRefused)]
    assert kinds == [ev.RunStarted, ev.PauseRequested, ev.RunPaused, ev.RunResumed]
    assert [event for event in helm.events if isinstance(event, ev.RunPaused)] == [ev.RunPaused(1, 2, "")]
    assert helm.steering.paused_seconds > 0


def test_a_pause_that_is_taken_back_before_the_next_step_never_holds_the_worker():
    helm = Helm()
    helm.taken(ask.Pause())
    assert helm.stream.state.phase == "pausing"
    assert "pausing already" in helm.refused(ask.Pause())
    helm.taken(ask.Resume())
    assert helm.stream.state.phase == "running"
    helm.steering.between(1, 1)
    assert helm.count(ev.RunPaused) == 0
    assert helm.refused(ask.Resume()) == "it runs already"


def test_pause_resume_and_pause_again_at_once_ends_paused_and_says_so():
    helm = Helm()
    helm.taken(ask.Pause())
    thread = helm.working(lambda: helm.steering.between(1, 1))
    helm.wait_for(ev.RunPaused)
    with helm.steering._changed:  # the worker cannot wake between these two
        helm.taken(ask.Resume())
        helm.taken(ask.Pause())
    helm.wait_for(ev.RunPaused, 2)
    assert helm.stream.state.phase == "paused"
    helm.taken(ask.Resume())
    joined(thread)
    assert helm.stream.state.phase == "running"


def test_a_stop_reaches_a_paused_worker():
    helm = Helm()
    helm.taken(ask.Pause())
    thread = helm.working(lambda: helm.steering.between(1, 1))
    helm.wait_for(ev.RunPaused)
    helm.taken(ask.Stop("interrupted"))
    joined(thread)
    assert [str(error) for error in helm.errors] == ["interrupted"]
    assert isinstance(helm.errors[0], Stopped)
    assert helm.count(ev.RunResumed) == 0


def test_the_first_reason_to_stop_stays():
    helm = Helm()
    helm.taken(ask.Stop("interrupted"))
    helm.taken(ask.Stop("terminated"))
    with pytest.raises(Stopped, match="interrupted"):
        helm.steering.between(1, 1)
    with pytest.raises(Stopped, match="interrupted"):
        helm.steering.begin_round(1)


def test_finish_lets_a_paused_worker_go_on_to_the_end_of_its_round_and_stays_finishing():
    helm = Helm()
    helm.steering.begin_round(1)
    helm.taken(ask.Pause())
    thread = helm.working(lambda: helm.steering.between(1, 1))
    helm.wait_for(ev.RunPaused)
    helm.taken(ask.Finish())
    joined(thread)
    assert helm.errors == []
    assert helm.steering.finish_asked
    assert (helm.stream.state.phase, helm.stream.state.reason) == ("finishing", "asked for")
    assert [type(event) for event in helm.events[-3:]] == [ev.CommandAcknowledged, ev.RunResumed, ev.RunFinishing]


def test_finish_is_taken_once_and_then_nothing_can_be_changed_or_paused():
    helm = Helm()
    helm.steering.begin_round(2)
    helm.taken(ask.Finish())
    assert helm.refused(ask.Finish()) == "finishing already"
    assert "the round under way is the last" in helm.refused(ask.Pause())
    assert "is the last" in helm.refused(ask.AddOrganization())
    assert "is the last" in helm.refused(ask.DropOrganization("a"))


# --- organizations


def test_an_organization_is_added_at_the_next_round_under_the_sources_name():
    helm = Helm()
    assert helm.steering.begin_round(1) == []
    first, second = helm.taken(ask.AddOrganization()), helm.taken(ask.AddOrganization())
    assert (first.value, first.takes_effect_round) == ("d", 2)
    assert second.value == "e"
    assert helm.refused(ask.AddOrganization()) == "all 5 files are here"
    assert [org.state for org in helm.stream.state.organizations.values()][-2:] == ["joining", "joining"]
    assert helm.steering.begin_round(2) == [Change("add", "d"), Change("add", "e")]
    assert helm.steering.begin_round(3) == []


def test_an_organization_that_is_here_or_coming_is_not_added_twice():
    helm = Helm()
    assert helm.refused(ask.AddOrganization("a")) == "a takes part already"
    helm.taken(ask.AddOrganization("x"))
    assert helm.refused(ask.AddOrganization("x")) == "x takes part already"


def test_a_command_that_comes_while_changes_are_being_made_builds_on_them():
    """Between begin_round and now_present an organization's text is read, which takes its time."""
    helm = Helm()
    helm.taken(ask.AddOrganization())
    helm.taken(ask.DropOrganization("a"))
    assert helm.steering.begin_round(1) == [Change("add", "d"), Change("drop", "a")]
    assert helm.taken(ask.AddOrganization()).value == "e"
    assert helm.refused(ask.DropOrganization("a")) == "no such organization"
    assert helm.refused(ask.AddOrganization("d")) == "d takes part already"
    helm.steering.now_present(["b", "c", "d"])
    assert helm.steering.begin_round(2) == [Change("add", "e")]


def test_an_organization_is_dropped_at_the_next_round_if_enough_stay():
    helm = Helm()
    helm.steering.begin_round(1)
    answer = helm.taken(ask.DropOrganization("b"))
    assert (answer.value, answer.takes_effect_round) == ("b", 2)
    assert helm.refused(ask.DropOrganization("b")) == "b leaves already"
    assert helm.refused(ask.DropOrganization("c")) == "a round needs 2 (federation.min_organizations)"
    assert helm.refused(ask.DropOrganization("nobody")) == "no such organization"
    helm.taken(ask.AddOrganization())
    assert "undo takes it back" in helm.refused(ask.DropOrganization("d"))
    helm.taken(ask.DropOrganization("c"))
    assert helm.steering.begin_round(2) == [Change("drop", "b"), Change("add", "d"), Change("drop", "c")]


def test_in_the_last_round_nothing_can_be_changed():
    helm = Helm(rounds=3)
    helm.steering.begin_round(3)
    assert helm.refused(ask.AddOrganization()) == "round 3 is the last"
    assert helm.refused(ask.DropOrganization("a")) == "round 3 is the last"


def test_undo_takes_back_what_waits_last_first():
    helm = Helm()
    helm.steering.begin_round(1)
    assert helm.refused(ask.Undo()) == "nothing waits for the next round"
    helm.taken(ask.AddOrganization())
    helm.taken(ask.DropOrganization("a"))
    assert helm.taken(ask.Undo()).value == {"command": "drop", "org": "a"}
    assert helm.stream.state.organizations["a"].state == "waiting"
    assert helm.taken(ask.Undo()).value == {"command": "add", "org": "d"}
    assert "d" not in helm.stream.state.organizations
    assert helm.stream.state.waiting == ()
    assert helm.refused(ask.Undo()) == "nothing waits for the next round"
    assert helm.steering.begin_round(2) == []


def test_what_was_made_cannot_be_taken_back():
    helm = Helm()
    helm.taken(ask.AddOrganization())
    helm.steering.begin_round(1)
    assert helm.refused(ask.Undo()) == "nothing waits for the next round"


# --- too few


def test_too_few_organizations_pause_the_run_which_says_so_and_goes_on_when_put_right():
    helm = Helm(present=("a",))
    lack = helm.steering.lack()
    assert lack == "needs 2 organizations, has 1"
    helm.steering.begin_round(1)

    thread = helm.working(lambda: helm.steering.wait_for_organizations(1, f"round 1 {lack}"))
    helm.wait_for(ev.RunPaused)
    assert (helm.stream.state.phase, helm.stream.state.reason) == ("paused", "round 1 needs 2 organizations, has 1")
    assert helm.refused(ask.Resume()) == "a round needs 2 organizations, 1 would be here: add one first"
    assert helm.taken(ask.AddOrganization()).takes_effect_round == 1
    helm.taken(ask.Resume())
    joined(thread)
    assert helm.steering.begin_round(1) == [Change("add", "d")]
    helm.steering.now_present(["a", "d"])
    assert helm.steering.lack() is None


@pytest.mark.parametrize("command", [ask.Finish(), ask.Stop("enough")])
def test_a_run_that_waits_for_organizations_can_be_ended(command):
    helm = Helm(present=("a",))
    helm.steering.begin_round(1)
    thread = helm.working(lambda: helm.steering.wait_for_organizations(1, "needs 2"))
    helm.wait_for(ev.RunPaused)
    helm.taken(command)
    joined(thread)
    assert bool(helm.errors) == isinstance(command, ask.Stop)


def test_an_end_asked_for_just_before_the_run_would_wait_does_not_leave_it_waiting():
    helm = Helm(present=("a",))
    helm.steering.begin_round(1)
    helm.taken(ask.Finish())
    joined(helm.working(lambda: helm.steering.wait_for_organizations(1, "needs 2")))
    assert helm.steering.finish_asked


# --- exports


def test_an_export_is_begun_or_refused_with_its_reason():
    helm = Helm()
    helm.unfinished = "no round is finished yet"
    assert helm.refused(ask.Export()) == "no round is finished yet"
    assert helm.exports == []
    helm.unfinished = None
    command = ask.Export("best", True, "/there")
    assert helm.taken(command).value == {"round": "best", "merged": True, "out": "/there", "org": ""}
    assert helm.exports == [(command, "you")]


def test_many_commands_from_many_threads_are_each_answered_once():
    helm = Helm(spare=tuple(f"n{number}" for number in range(40)), rounds=50)
    commands = [ask.AddOrganization(), ask.Undo(), ask.Pause(), ask.Resume(), ask.DropOrganization("a")] * 6
    threads = [threading.Thread(target=helm.steering.send, args=(command,), daemon=True) for command in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        joined(thread)
    assert helm.count(ev.CommandAcknowledged) + helm.count(ev.CommandRefused) == len(commands)
    waiting = [change.org for change in helm.steering._wishes.waiting]
    assert [change.value for change in helm.stream.state.waiting] == waiting
    assert len(set(waiting)) == len(waiting)


def test_every_answer_says_who_asked():
    helm = Helm(present=("a", "b"), spare=("c",))
    asked = [ask.AddOrganization(), ask.Undo(), ask.Rank(8), ask.Rank(0), ask.Pause(), ask.Finish(), ask.Stop()]
    for place, command in enumerate(asked):
        helm.steering.send(command, f"console {place}")
    answers = [event for event in helm.events if isinstance(event, ev.CommandAcknowledged | ev.CommandRefused)]
    assert [(event.command, event.by) for event in answers] == [
        (command.name, f"console {place}") for place, command in enumerate(asked)
    ]


def test_nobody_joins_who_would_make_delta_of_a_privacy_budget_mean_nothing():
    helm, config = Helm(), Config()
    private = replace(config, privacy=replace(config.privacy, mechanism="gaussian", delta=0.3))
    helm.steering._terms = replace(helm.terms, config=lambda: private)
    assert "privacy.delta = 0.3 is no less than 1 / 4" in helm.refused(ask.AddOrganization())
