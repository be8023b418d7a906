"""The player of a journal under a clock moved by hand, and the state that its session shows at every place."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.console.player import JUST_PASSED_SECONDS, LONGEST_SILENCE, PORTION, Replay
from fedlora_tui.console.replay_session import MOST_KEPT, ReplaySession, speed_words
from fedlora_tui.console.replaying import SPEEDS, Playing, reason
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record, to_json
from fedlora_tui.protocol.state import RunState, fold
from fedlora_tui.replay_command import demo_folder, recorded
from tests.flows.scripted_run import HandClock

T = 1_790_000_000.0


def records_at(*seconds: float) -> list[Record]:
    """Records that say little, at these seconds."""
    return [Record(number, T + t, ev.Warned(f"{number}")) for number, t in enumerate(seconds, 1)]


def rounds_of(lengths: Sequence[int], names: tuple[str, ...] = ("alpha", "beta")) -> list[Record]:
    """A run whose rounds have these numbers of local steps, one second each."""
    told: list[ev.Event] = [
        ev.RunStarted("r", "m", 9, 3, 4, 8.0, "fedit", names, "cpu", {}, rounds=len(lengths)),
        *(ev.OrgJoined(name, 1) for name in names),
        *(ev.OrgEvaluated(name, 0, 5.0, 10) for name in names),
    ]
    for number, steps in enumerate(lengths, 1):
        told.append(ev.RoundStarted(number, len(lengths), names, steps))
        told += [
            ev.TrainStep(name, number, step, steps, 5.0 - number / 10, 8)
            for step in range(1, steps + 1)
            for name in names
        ]
        told += [ev.UpdateReceived(name, number, 10, 10, 8, 4.0) for name in names]
        told += [ev.OrgEvaluated(name, number, 4.9, 10) for name in names]
        told.append(
            ev.RoundFinished(number, len(lengths), 4.0, 4.9, 20, 20, 1.0, 16, 0.1, names),
        )
    told.append(ev.RunFinished(len(lengths), 4.0, 4.9, 5.0, 1, 4.9, 9.0))
    return [Record(number, T + number, event) for number, event in enumerate(told, 1)]


class Watched:
    """A replay that plays, under a clock moved by hand."""

    def __init__(self, records: Sequence[Record], speed: float = 1.0) -> None:
        self.clock = HandClock(0.0)
        self.replay = Replay(records, speed, self.clock)
        self.session = ReplaySession(self.replay, UNICODE)
        self.replay.start()

    def after(self, seconds: float) -> list[int]:
        """Let time pass; give the numbers of the records that come."""
        self.clock.now += seconds
        return [record.seq for record in self.replay.drain()]

    def watch(self, seconds: float) -> RunState:
        """Let time pass, and give the state that is shown then."""
        self.clock.now += seconds
        self.session.poll()
        return self.session.state


def test_records_come_in_order_each_at_its_time() -> None:
    watched = Watched(records_at(0, 1, 1, 2.5, 4))
    assert [watched.after(seconds) for seconds in (0, 0.9, 0.1, 1.4, 0.1, 1.5)] == [[1], [], [2, 3], [], [4], [5]]
    assert watched.replay.over
    assert watched.after(100) == []


@pytest.mark.parametrize("speed", [speed for speed in SPEEDS if math.isfinite(speed)])
def test_what_took_t_seconds_takes_t_over_the_speed(speed: float) -> None:
    watched = Watched(records_at(0, 2, 4), speed)
    just = 1 - 1e-9
    assert watched.after(0) == [1]
    assert watched.after(2 / speed * just) == []
    assert watched.after(2 / speed * (1 - just)) == [2]
    assert watched.after(2 / speed) == [3]


def test_nothing_comes_before_the_first_frame_or_while_it_is_stopped() -> None:
    clock = HandClock(0.0)
    replay = Replay(records_at(0, 1), 1.0, clock)
    clock.now = 50.0
    assert replay.drain() == ()
    replay.start()
    assert [record.seq for record in replay.drain()] == [1]
    replay.stop()
    clock.now += 50.0
    assert replay.drain() == ()
    replay.start()
    assert replay.drain() == ()
    clock.now += 1.0
    assert [record.seq for record in replay.drain()] == [2]


def test_a_new_speed_holds_from_then_on() -> None:
    watched = Watched(records_at(0, 4, 4.5))
    assert watched.after(2) == [1]
    watched.replay.speed = 4.0
    assert watched.after(0.25) == []
    assert watched.after(0.25) == [2]


def test_a_silence_of_an_hour_is_cut_and_the_clock_of_the_recording_goes_through_all_of_it() -> None:
    watched = Watched(records_at(0, 3600, 3601))
    watched.after(0)
    times = []
    for _ in range(5):
        assert watched.after(LONGEST_SILENCE / 5 - 1e-6) == []
        times.append(watched.replay.time() - T)
    assert times == sorted(times)
    assert 1400 < times[1] < 1480
    assert times[-1] == pytest.approx(3600, abs=0.1)
    assert watched.after(1e-4) == [2]
    assert watched.replay.time() == pytest.approx(T + 3600, abs=1e-2)


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    watched = Watched(records_at(100, 5, 6))
    assert watched.after(0) == [1, 2]
    assert watched.after(1) == [3]


def test_as_fast_as_it_goes_comes_in_portions_between_which_keys_are_answered() -> None:
    records = records_at(*range(2 * PORTION + 7))
    watched = Watched(records, math.inf)
    given = [watched.after(1e-9) for _ in range(3)]
    assert [len(portion) for portion in given] == [PORTION, PORTION, 7]
    assert [seq for portion in given for seq in portion] == [record.seq for record in records]
    assert watched.replay.over


def test_what_did_not_fit_a_portion_is_not_skipped() -> None:
    watched = Watched(records_at(*[0.0] * (PORTION + 3), 1.0), 64.0)
    assert len(watched.after(10)) == PORTION
    watched.replay.speed = 1.0
    assert len(watched.after(0)) == 3
    assert len(watched.after(1)) == 1


def test_marks_are_the_beginning_the_first_rounds_start_each_rounds_end_and_the_end() -> None:
    records = rounds_of([1, 2])
    replay = Replay(records)
    kinds = [type(records[mark].event) if mark < len(records) else None for mark in replay.marks]
    assert kinds == [ev.RunStarted, ev.RoundStarted, ev.RoundStarted, ev.RunFinished, None]


def test_at_its_end_it_stands_and_can_go_back_and_play_again() -> None:
    watched = Watched(rounds_of([1, 1]))
    assert watched.watch(1000).phase == "done"
    assert watched.replay.playing == Playing(1.0, plays=False, at_end=True)
    assert watched.session.ended
    watched.session.play("rank", "down")
    assert (watched.session.state.phase, watched.session.state.round) == ("running", 2)
    assert not watched.replay.playing.plays
    watched.session.play("pause", "")
    assert watched.watch(1000).phase == "done"


def test_back_and_on_go_from_mark_to_mark_and_stay_at_both_ends() -> None:
    watched = Watched(rounds_of([2, 2, 2]))
    watched.replay.stop()
    shown = []
    for direction in ("up",) * 6 + ("down",) * 6:
        watched.session.play("rank", direction)
        shown.append((watched.session.state.round, watched.session.state.phase))
    on = [(0, "starting"), (1, "running"), (2, "running"), (3, "running"), (3, "done"), (3, "done")]
    assert shown[:6] == on
    assert shown[6:] == [
        (3, "running"),
        (2, "running"),
        (1, "running"),
        (0, "starting"),
        (0, "starting"),
        (0, "starting"),
    ]
    assert watched.session.said is not None
    assert watched.session.said.words == "the beginning"


def test_back_shortly_after_a_rounds_end_means_the_round_before() -> None:
    watched = Watched(rounds_of([2, 2, 2]))
    watched.session.play("rank", "up")
    watched.session.play("rank", "up")
    watched.session.play("rank", "up")
    assert watched.watch(JUST_PASSED_SECONDS * 0.9).round == 2
    watched.session.play("rank", "down")
    assert watched.session.state.round == 1
    assert watched.watch(JUST_PASSED_SECONDS * 3).round == 2
    watched.session.play("rank", "down")
    assert watched.session.state.round == 1


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=12),
    st.lists(st.sampled_from(["on", "back", "wait", "fast", "end"]), max_size=25),
)
def test_the_state_shown_is_always_that_of_the_records_up_to_there(lengths: list[int], moves: list[str]) -> None:
    records = rounds_of(lengths)
    watched = Watched(records)
    for move in moves:
        if move in ("on", "back"):
            watched.session.play("rank", "up" if move == "on" else "down")
        else:
            if watched.replay.playing.plays is False and not watched.replay.over:
                watched.session.play("pause", "")
            watched.watch({"wait": 0.7, "fast": 9.0, "end": 1e4}[move])
        place = watched.replay._place
        assert watched.session.state == fold(RunState(), records[:place])
        assert set(watched.session.order) == set(watched.session.state.organizations)
        assert watched.replay.time() >= records[max(0, place - 1)].t


ANY = (
    ev.RoundStarted(1, 3, ("alpha", "beta"), 4),
    ev.TrainStep("alpha", 1, 2, 4, 3.5, 8),
    ev.RoundFinished(1, 3, 4.0, 4.9, 20, 20, 1.0, 16, 0.1, ("alpha",)),
    ev.RunPaused(1, 2),
    ev.RunResumed(1),
    ev.OrgJoined("gamma", 2),
    ev.OrgLeft("alpha", 2),
    ev.CommandAcknowledged("rank", 8, 2, before=4),
    ev.CommandAcknowledged("undo", None, None),
    ev.KnobTurned(2, "rank", 4, 8, 9),
    ev.CommandRefused("drop", "beta", "a round needs 2"),
    ev.RunStopped(1, 2),
    ev.Unknown("of_another_version", {"x": 1}),
)


@given(
    st.lists(st.tuples(st.sampled_from(ANY), st.floats(-5.0, 5000.0)), min_size=1, max_size=40),
    st.lists(st.sampled_from(["on", "back", "wait", "max"]), max_size=20),
)
def test_so_it_is_for_any_journal_whatever_its_order_and_its_clock(
    told: list[tuple[ev.Event, float]], moves: list[str]
) -> None:
    times = accumulate((gap for _, gap in told), initial=T)
    records = [Record(number, t, event) for number, ((event, _), t) in enumerate(zip(told, times, strict=False), 1)]
    watched = Watched(records)
    for move in moves:
        watched.replay.start()
        if move in ("on", "back"):
            watched.session.play("rank", "up" if move == "on" else "down")
        else:
            watched.replay.speed = math.inf if move == "max" else 1.0
            watched.watch(3.0)
        assert watched.session.state == fold(RunState(), records[: watched.replay._place])
        assert watched.replay.playing.at_end == (watched.replay._place == len(records))


def test_a_journal_of_many_rounds_keeps_few_states_and_is_right_wherever_it_goes_back_to() -> None:
    records = rounds_of([1] * (3 * MOST_KEPT), ("alpha",))
    watched = Watched(records, math.inf)
    while not watched.replay.over:
        watched.watch(0.1)
    assert len(watched.session._kept) <= MOST_KEPT + 1
    for back in range(1, 40):
        watched.session.play("rank", "down")
        assert watched.session.state.round == 3 * MOST_KEPT + 1 - back
        assert watched.session.state == fold(RunState(), records[: watched.replay._place])


def test_what_was_good_to_press_then_is_not_offered_in_a_replay() -> None:
    watched = Watched(rounds_of([1]))
    watched.watch(1000)
    assert watched.session.said is not None
    assert watched.session.said.words == "the run is done"
    assert watched.session.said.hints == ()


def test_a_recording_that_ends_in_a_round_says_so_and_not_that_the_run_died() -> None:
    watched = Watched(rounds_of([2, 2])[:-4])
    watched.watch(1000)
    watched.watch(0.1)
    assert watched.session.said is not None
    assert watched.session.said.words == "the recording ends here, the run may have gone on"


@pytest.mark.parametrize(
    ("action", "direction", "playing", "said"),
    [
        ("rank", "down", Playing(at_start=True), "the recording begins here"),
        ("rank", "up", Playing(at_end=True), "the recording ends here: [ goes a round back"),
        ("pause", "", Playing(at_end=True), "the recording ends here: [ goes a round back"),
        ("more_rounds", "up", Playing(math.inf), "as fast as it goes already"),
        ("more_rounds", "down", Playing(0.25), "it goes no slower"),
        ("tune", "", Playing(), "a replay cannot be tuned"),
        ("try", "", Playing(), "a replay has no model: fedlora-tui resume RUN"),
        ("fork", "", Playing(), "a replay cannot fork"),
        ("faults", "", Playing(), "a replay cannot be changed"),
        ("add", "", Playing(), "a replay cannot be changed"),
        ("rank", "down", Playing(), None),
        ("rank", "up", Playing(at_start=True), None),
        ("rank", "", Playing(at_end=True), None),
        ("pause", "", Playing(), None),
        ("more_rounds", "up", Playing(64.0), None),
        ("more_rounds", "down", Playing(math.inf), None),
    ],
)
def test_what_cannot_be_done_is_said(action: str, direction: str, playing: Playing, said: str | None) -> None:
    assert reason(action, direction, playing) == said


def test_speeds_go_up_and_down_one_ladder_from_wherever_it_began() -> None:
    assert [Playing(speed).faster for speed in (0.25, 3.0, 64.0, math.inf)] == [0.5, 4.0, math.inf, math.inf]
    assert [Playing(speed).slower for speed in (math.inf, 3.0, 0.25, 0.1)] == [64.0, 2.0, 0.25, 0.25]
    assert [speed_words(speed, UNICODE) for speed in (0.25, 1.0, 64.0, math.inf, 1.5)] == [
        *("×1/4", "×1", "×64", "×max", "×1.5")
    ]


def journal_of(folder: Path, text: str) -> Path:
    (folder / "events.jsonl").write_text(text)
    return folder


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    lines = "".join(to_json(record) + "\n" for record in records_at(0, 1))
    assert [record.seq for record in recorded(journal_of(tmp_path, lines + '{"v":1,"seq":3,'))] == [1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no event yet"),
        ('{"v":1,"se', "holds no event yet"),
        (json.dumps({"v": 99, "seq": 1, "t": 0.0, "type": "warning"}) + "\n", "99"),
        ("hello\n", "not a journal"),
        ("[1]\n", "not a journal"),
    ],
)
def test_a_journal_that_cannot_be_replayed_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        recorded(journal_of(tmp_path, text))
    assert said in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_recording_that_comes_along_shows_the_consoles_range_and_names_no_machine() -> None:
    records = recorded(demo_folder())
    kinds = {record.event.type for record in records}
    steered = {"run_paused", "run_resumed", "knob_turned", "org_joined", "org_left", "adapter_exported"}
    assert kinds >= steered | {"update_rejected", "org_quarantined", "org_released", "update_measured"}
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    state = fold(RunState(), records)
    assert (state.phase, state.round, len(state.organizations)) == ("done", 12, 8)
    assert state.gain is not None
    assert state.gain > 0
    for organization in state.organizations.values():
        assert organization.counts is not None
        assert organization.by_module.shares
        assert min(organization.ledger.replies, organization.ledger.tensors, organization.ledger.numbers) > 0
    assert state.started is not None
    assert (state.started.run, state.started.folder) == ("demo", "runs/demo")
    text = (demo_folder() / "events.jsonl").read_text()
    assert len(text) <= 300_000
    assert not [name for name in ("/tmp/", "/home/", "/root/", "/Users/", "C:\\") if name in text]
