"""How the benchmark of the console tells a key's answer from other output, and what it makes of times and bytes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from pathlib import Path

import pytest

from fedlora_tui.benchmarks.keys import ESCAPE, KEYS, Shown, percentile, shown_on
from fedlora_tui.benchmarks.processor_time import processor_seconds, read_seconds
from fedlora_tui.benchmarks.pseudo_terminal import Worked, Written, last_words, rate, share
from fedlora_tui.benchmarks.screen import Screen
from fedlora_tui.engine.run import _name_thread


def drawn(*rows, help=False):
    """A screen with rows of the table below its sixth one."""
    screen = Screen(120, 40)
    for y, row in enumerate(rows, 7):
        screen.feed(f"\x1b[{y};1H{row}".encode())
    if help:
        screen.feed(b"\x1b[12;24H-- keys on this screen --")
    return screen


def test_the_organization_at_the_cursor_is_read_by_its_column():
    found = shown_on(drawn("   alpha   › training", " › beta              ▸ training   4/8", "   gamma"))
    assert found == Shown(frozenset({"beta"}), help=False)
    assert shown_on(drawn("   alpha", help=True)).help
    assert shown_on(Screen(120, 40)) == Shown(frozenset(), help=False)


def test_a_repaint_is_no_answer_and_the_first_sign_of_the_new_place_is_one():
    before = shown_on(drawn(" › alpha             ▸ training   4/8", "   beta"))
    repainted = shown_on(drawn(" › alpha             ▸ training   5/8", "   beta"))
    sorted_anew = shown_on(drawn("   beta", " › alpha"))
    between = shown_on(drawn("   alpha", "   beta"))
    both = shown_on(drawn(" › alpha", " › beta"))
    after = shown_on(drawn("   alpha", " › beta"))
    for key in "jkGg":
        assert not any(shown.answers(key, before) for shown in (repainted, sorted_anew, between))
        assert both.answers(key, before)
        assert after.answers(key, before)


@pytest.mark.parametrize("key", ["?", ESCAPE])
def test_help_answers_by_coming_and_going(key):
    closed, opened, moved = Shown(frozenset("a"), False), Shown(frozenset("a"), True), Shown(frozenset("b"), False)
    assert opened.answers(key, closed)
    assert closed.answers(key, opened)
    assert not moved.answers(key, closed)


@pytest.mark.parametrize("organizations", [2, 3, 12])
def test_each_key_of_the_round_changes_what_is_shown(organizations):
    place, help = 0, False
    moves = {"j": lambda at: at + 1, "k": lambda at: at - 1, "G": lambda at: organizations - 1, "g": lambda at: 0}
    for key in KEYS * 2:
        if key in moves:
            assert not help
            moved = moves[key](place)
            assert 0 <= moved < organizations
            assert moved != place
            place = moved
        else:
            assert (key == "?") or help
            help = not help
    assert (place, help) == (0, False)


def test_percentiles_are_values_that_were_measured():
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.95, 1.0)] == [1.0, 50.0, 95.0, 100.0]
    assert percentile([3.0], 0.95) == 3.0


def test_bytes_and_processor_time_are_counted_between_two_moments():
    written = [Written(t, size) for t, size in ((0.5, 7), (1.0, 10), (2.5, 20), (3.0, 40))]
    assert rate(written, 1.0, 3.0) == 15.0
    worked = [Worked(t, seconds) for t, seconds in ((0.0, 0.0), (1.0, 0.5), (2.0, 0.6), (3.0, 0.7), (9.0, 5.0))]
    assert share(worked, 0.5, 3.5) == pytest.approx(0.1)
    assert share(worked, 0.5, 1.5) is None


def test_the_last_line_of_text_is_found_among_what_moves_and_colours():
    assert last_words(b"\x1b[?1049l\x1b]0;t\x07\x1b[1mnoise\x1b[0m\r\nfedlora-tui: because\r\n\x1b[?25h") == (
        "fedlora-tui: because"
    )
    assert last_words(b"\x1b[2J") == "nothing"


def test_a_process_is_read_though_its_name_is_odd():
    line = "7 (a) b (c) S 1 7 7 0 -1 4194304 128 0 0 0 250 50 0 0 20 0 9 0 290964 31334"
    assert read_seconds(line) == 300 / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="this system does not tell a process's time")
def test_a_process_that_is_gone_has_no_time():
    assert processor_seconds(os.getpid()) > 0
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert processor_seconds(gone.pid) is None


def threads_named(name):
    """The numbers of this process's threads that the system knows by a name."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().strip() == name:
                found.add(task.name)
    return found


@pytest.mark.skipif(not os.path.exists("/proc/thread-self/comm"), reason="this system does not tell threads' names")
def test_the_runs_worker_and_the_threads_it_starts_have_its_name():
    named = threading.Barrier(3)
    # Runs that other tests have let go of may still end.
    others = threads_named("run")

    def worker():
        _name_thread()
        threading.Thread(target=lambda: (named.wait(), named.wait()), name="run").start()
        named.wait()
        named.wait()

    threading.Thread(target=worker, name="run").start()
    named.wait()
    found = threads_named("run")
    own = Path(f"/proc/self/task/{os.getpid()}/comm").read_text().strip()
    named.wait()
    assert len(found - others) == 2
    assert own != "run"
