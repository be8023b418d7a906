"""`bench console` over a small federation: whole runs on a real terminal, with keys and without."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from fedlora_tui.benchmarks import console, keys, pseudo_terminal
from fedlora_tui.benchmarks.coming_and_going import Visit, come_and_go, visits_of
from fedlora_tui.benchmarks.console import ConsoleBench, Costs, Rest, Typed, Watched, row_of, training
from fedlora_tui.benchmarks.keys import ESCAPE, Stroke
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from tests.tiny_runs import configured, small_settings


@pytest.fixture
def config(tmp_path):
    return configured(small_settings(tmp_path))


@pytest.fixture
def short(monkeypatch):
    """Rests and the moments between keys as short as can be."""
    monkeypatch.setattr(console, "REST_SECONDS", 0.5)
    monkeypatch.setattr(console, "LEAST_KEYS", 1)
    monkeypatch.setattr(pseudo_terminal, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(keys, "LEAST_APART", 0.0)
    monkeypatch.setattr(keys, "MOST_APART", 0.02)


def bench(config, organizations=(3,), repeats=1):
    return ConsoleBench(config, organizations, repeats, lambda text: None)


@pytest.mark.usefixtures("short")
def test_a_row_a_number_of_organizations_and_the_slowdown(tmp_path):
    config = configured(small_settings(tmp_path), federation__rounds=20, federation__local_steps=8)
    report = bench(config).report()
    told = json.loads(report.to_json())
    assert told["bench"] == "console"
    (row,) = told["rows"]
    assert row["name"] == "3 organizations"
    assert row["keys"] >= console.LEAST_KEYS
    assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["max_ms"]
    assert row["bytes_per_s"] > 0
    assert row["bytes_at_rest"] == 0
    if os.path.exists("/proc/self/task"):
        assert row["cpu_idle"] >= 0
        assert row["cpu_busy"] > 0
    # One visit: its own ratio is the median of all.
    assert told["ratios"] == {"slowdown": pytest.approx(row["round_seconds"] / row["alone_seconds"])}
    assert any("slowdown: " in note and "1 visits" in note for note in told["notes"])


def round_of(number, t, seconds):
    started = ev.RoundStarted(number, 3, ("a",), 2)
    finished = ev.RoundFinished(number, 3, 2.0, 2.0, 0, 0, seconds, 10, 0.0, ("a",))
    update = ev.UpdateReceived("a", number, 1, 1, 10, 2.0 + number)
    return [(t, started), (t + 1, update), (t + seconds, finished)]


def records(seconds=(9.0, 2.0, 4.0), loss=None):
    told = [(0.0, ev.RunStarted("r", "m", 1, 1, 1, 1.0, "fedit", ("a",), "cpu", {}, 3, 1e-3, (), "float32", ""))]
    for number, each in enumerate(seconds, 1):
        told += round_of(number, 10.0 * number, each)
    if loss is not None:
        told.append((90.0, ev.OrgEvaluated("a", 3, loss, 10)))
    return tuple(Record(seq, t, event) for seq, (t, event) in enumerate(told, 1))


def test_rounds_count_from_the_second_on():
    assert training(records()) == (20.0, 34.0)
    assert training(records((9.0,))) == (10.0, 19.0)


def test_a_visit_is_set_against_what_came_before_it_and_after_it():
    first, second = visits_of((1.0, 1.1, 1.2, 1.4, 1.6))
    assert (first.alone, first.slowdown) == (pytest.approx(1.1), pytest.approx(1.0))
    assert (second.alone, second.slowdown) == (pytest.approx(1.4), pytest.approx(1.0))
    assert visits_of((1.0,)) == ()


def test_a_run_that_cannot_begin_is_told_by_its_last_line(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(f'[model]\nbase = "{tmp_path / "no-such-base"}"\n')
    with pytest.raises(UserError, match=r"fedlora-tui run ended with status 2 and said: .*no-such-base"):
        come_and_go(file, tmp_path / "runs", 1, lambda text: None)


def test_a_console_comes_to_the_fewest_organizations_alone_and_as_many_train_elsewhere(config, monkeypatch):
    asked = []

    def watch(file, runs):
        asked.append(file.name)
        return Watched(1000.0, None, Rest(0, None), records((9.0, 3.0)))

    strokes = tuple(Stroke("j", 0.01) for _ in range(30))
    monkeypatch.setattr(console, "watch", watch)
    visits = (Visit(3.0, 2.0), Visit(2.2, 2.0), Visit(3.2, 2.0))
    monkeypatch.setattr(console, "come_and_go", lambda file, runs, number, say: asked.append(number) or visits)
    monkeypatch.setattr(console, "type_keys", lambda file, runs, seed: Typed(strokes, Rest(0, None)))
    measured = bench(config, (1000, 12), repeats=2)
    report = measured.report()
    assert asked == ["12.toml", 2, "1000.toml"]
    assert report.ratios == {"slowdown": 1.5}
    assert [(row["name"], row["alone_seconds"]) for row in report.rows] == [
        ("12 organizations", 2.0),
        ("1,000 organizations", None),
    ]
    assert all(row["cpu_busy"] is None and row["cpu_idle"] is None for row in report.rows)
    assert measured._running(1000).federation.fraction == pytest.approx(0.012)
    assert measured._running(12).federation.fraction == 1.0


QUIET = Rest(0, None)


def costs(strokes, ended=QUIET, paused=QUIET, visits=()):
    return Costs(12, Watched(1000.0, 0.1, ended, records()), Typed(tuple(strokes), paused), visits)


def test_a_row_tells_the_worst_rest_and_leaves_escape_out():
    strokes = [Stroke("j", 0.001 * number) for number in range(1, 41)] + [Stroke(ESCAPE, 9.0)]
    row = row_of(costs(strokes, Rest(7, 0.01), Rest(0, 0.03), (Visit(3.0, 2.0),)))
    assert (row["keys"], row["p50_ms"], row["p95_ms"], row["max_ms"]) == (40, 20.0, 38.0, 40.0)
    assert (row["bytes_per_s"], row["cpu_busy"]) == (1000.0, 0.1)
    assert (row["bytes_at_rest"], row["cpu_idle"]) == (7, 0.03)
    assert row["alone_seconds"] == 2.0


def test_a_run_too_short_for_keys_is_said():
    with pytest.raises(UserError, match="ended after 1 keys; give it more --rounds"):
        row_of(costs([Stroke("j", 0.1)]))


@pytest.mark.parametrize("organizations", [(), (1, 12)])
def test_numbers_that_leave_nothing_to_move_between_are_refused(config, organizations):
    with pytest.raises(UserError, match="needs numbers from 2"):
        bench(config, organizations).report()


def test_a_console_that_cannot_begin_says_its_last_line(tmp_path):
    config = configured(
        small_settings(tmp_path), data__text_field="nowhere", model__base=str(tmp_path / "no-such-base")
    )
    with pytest.raises(
        UserError, match=r"fedlora-tui ended with status 2 and said: fedlora-tui: .*no-such-base"
    ) as caught:
        bench(config).report()
    assert "\n" not in str(caught.value)


def test_what_runs_on_the_terminal_does_not_outlive_an_interrupt(tmp_path):
    told = tmp_path / "told"
    program = (
        f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); print('up', flush=True); time.sleep(600)"
    )

    def interrupted(piece, arrived):
        if b"up" in piece:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt), pseudo_terminal.pseudo_terminal("it", ["-c", program]) as terminal:
        terminal.read(60.0, interrupted)
    assert not psutil.pid_exists(int(Path(told).read_text()))


def test_a_terminal_has_its_size_and_its_colours():
    program = (
        "import os; print(*os.get_terminal_size(), os.environ['TERM'], os.environ['COLORTERM'], flush=True); input()"
    )
    pieces = []
    with pseudo_terminal.pseudo_terminal("it", ["-c", program]) as terminal:
        assert terminal.read(60.0, lambda piece, arrived: pieces.append(piece) or b"\n" in piece)
        terminal.leave("\n")
    assert b"120 40 xterm-256color truecolor" in b"".join(pieces)
    assert sum(piece.size for piece in terminal.written) >= len(b"".join(pieces))
