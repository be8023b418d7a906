"""What is said on the ordinary screen after a run was left."""

from __future__ import annotations

from fedlora_tui.farewell import farewell, race_table
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.state import RunState, fold


def test_farewell_names_run_losses_folder_and_the_way_back() -> None:
    started = ev.RunStarted(
        *("1122-1402", "gpt2", 124_000_000, 147_456, 4, 8.0, "fedit", ("a", "b"), "cpu", {}),
        rounds=20,
        folder="runs/1122-1402",
    )
    records = [
        started,
        ev.OrgEvaluated("a", 0, 3.412, 100),
        ev.RoundFinished(6, 20, 2.868, 2.905, 1, 1, 9.0, 100, 0.04, ("a", "b")),
        ev.CheckpointWritten(6, "checkpoints/round-0006", 1, 0.1),
        ev.RunStopped(6, 12, "stopped by the operator"),
    ]
    state = fold(RunState(), [Record(seq, float(seq), event) for seq, event in enumerate(records, 1)])
    assert farewell(state) == (
        "  1122-1402 is stopped (stopped by the operator): round 6/20, hold-out 2.905, base 3.412\n"
        "    files   runs/1122-1402   checkpoint round-0006\n"
        "    go on   fedlora-tui resume 1122-1402\n"
        "    export  fedlora-tui export 1122-1402\n"
    )


def test_farewell_of_a_run_that_ended_within_a_round_says_which_one_begins_again() -> None:
    started = ev.RunStarted(*("r", "m", 1, 1, 4, 8.0, "fedit", ("a", "b"), "cpu", {}), rounds=20, folder="runs/r")
    saved = ev.CheckpointWritten(6, "checkpoints/round-0006", 1, 0.1)
    for before, words in (((), "   from round 1 on"), ((saved,), "   after round 6: round 7 begins again")):
        within = ev.RoundStarted(7 if before else 1, 20, ("a", "b"), 8)
        events = (started, *before, within, ev.RunStopped(within.round, 3, "terminated"))
        state = fold(RunState(), [Record(seq, float(seq), event) for seq, event in enumerate(events, 1)])
        assert f"    go on   fedlora-tui resume r{words}\n" in farewell(state)


def test_farewell_of_a_run_that_never_began() -> None:
    assert "nothing was written" in farewell(RunState())


def test_the_table_of_a_race_leaves_out_what_matters_least_where_it_is_narrow() -> None:
    runs = [(f"rank {rank}, learning rate 6e-3", RunState(rounds=10, round=10)) for rank in (2, 4)]
    whole, narrow = race_table(runs).splitlines(), race_table(runs, width=80).splitlines()
    assert len(whole[0]) > 80 >= max(map(len, narrow))
    assert whole[0].split("  ")[-1].strip() == narrow[0].split("  ")[-1].strip() == "rounds"
    assert ("best" in whole[0], "best" in narrow[0], "drift" in narrow[0]) == (True, False, True)
    assert [line.split("  ")[1].strip() for line in narrow[1:]] == [label for label, _ in runs]
