"""Texts tried on real runs, over the control socket: who answers, who hears of it, and that it changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora_tui.attached import Link, attach
from fedlora_tui.engine import checkpoint, trying
from fedlora_tui.engine.race import Entry
from fedlora_tui.protocol.commands import Pause, Resume, Stop
from fedlora_tui.protocol.trying import ALL, BASE, Answer, Question
from tests.flows.served import PATIENCE, Served, until
from tests.tiny_runs import WatchedRun, configured, small_settings

SECRET = "zwybrecht quolfinamide amber barrel"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served([Entry(configured(small_settings(tmp_path), federation__rounds=5000))])
    yield one
    one.close()


def answered(link: Link, question: Question, place: int = 0) -> Answer:
    """Ask, and wait for the whole answer."""
    tries = link.runs[place].tries
    tries.ask(question)

    def over() -> bool:
        return tries.answer is not None and tries.answer.number == question.number and tries.answer.over

    until(over, "the answer")
    assert tries.answer is not None
    return tries.answer


def test_base_all_and_one_organization_answer_while_it_trains(served: Served) -> None:
    served.finished(2)
    link = attach(served.folder, steers=True)
    answer = answered(link, Question(1, SECRET, org="beta", tokens=12))
    assert answer.refusal == ""
    base, everybody, own = answer.voices
    assert (base.name, everybody.name, own.name) == (BASE, ALL, "beta")
    assert everybody.round >= 2
    assert own.round >= 2
    assert "".join(answer.pieces) == SECRET
    for voice in answer.voices:
        assert len(voice.losses) == len(answer.pieces) - 1
        assert 0 < voice.tokens <= 12
        assert voice.loss is not None
    assert len({voice.losses for voice in answer.voices}) == 3
    chosen = answered(link, Question(2, SECRET, round=1, tokens=2))
    assert [voice.name for voice in chosen.voices] == [BASE, ALL]
    assert chosen.voices[1].round == 1
    assert chosen.voices[0].losses == pytest.approx(base.losses)
    assert chosen.voices[1].losses != everybody.losses
    reached = served.race.runs[0].state.round
    until(lambda: served.race.runs[0].state.round > reached + 1, "the run goes on")
    link.close()


def test_a_round_and_an_organization_that_have_no_adapter_say_so_and_the_base_answers(served: Served) -> None:
    served.finished(1)
    link = attach(served.folder, steers=True)
    answer = answered(link, Question(1, "amber barrel", org="nobody", round=4000, tokens=3))
    base, everybody, own = answer.voices
    assert base.tokens > 0
    assert everybody.lacks.startswith("round 4000 is not finished: 1 to ")
    assert own.lacks == "none of its replies is here: its next one will be"
    link.close()


def test_an_answer_comes_bit_by_bit_and_while_paused_training_waits_for_nothing(served: Served) -> None:
    served.finished(1)
    link = attach(served.folder, steers=True)
    link.ask(0, Pause())
    until(lambda: served.race.runs[0].state.phase == "paused", "the pause")
    seen: list[int] = []
    tries = link.runs[0].tries
    take = tries.take
    tries.take = lambda answer: (seen.append(answer.voices[0].tokens), take(answer))  # type: ignore[assignment,func-returns-value]
    answer = answered(link, Question(1, "amber", tokens=30))
    assert seen == sorted(seen)
    assert len(set(seen)) > 1
    assert answer.waited == 0.0
    link.ask(0, Resume())
    until(lambda: served.race.runs[0].state.phase == "running", "it goes on")
    link.close()


def test_only_the_face_that_asked_is_told(served: Served) -> None:
    served.finished(1)
    asks, watches = attach(served.folder, steers=True), attach(served.folder, steers=True)
    until(lambda: asks.steers.yours and not asks.steers.sole, "the wheel at the first")
    answer = answered(asks, Question(1, SECRET, tokens=8))
    said = answer.voices[0].text
    assert len(said) > 8
    assert watches.runs[0].tries.answer is None
    reached = served.race.runs[0].state.round
    until(lambda: served.race.runs[0].state.round > reached, "a round after it")
    for link in (asks, watches):
        for record in link.runs[0].drain():
            assert "quolfinamide" not in record.line
            assert said not in record.line
        link.close()
    served.race.send(Stop())
    assert served.race.wait(PATIENCE)
    found = [file for file in served.folder.rglob("*") if file.is_file() and _holds(file, "quolfinamide", said)]
    assert found == []


def _holds(file: Path, *texts: str) -> bool:
    data = file.read_bytes()
    return any(text.encode() in data or text.encode("utf-16-le") in data for text in texts)


def test_who_watches_is_told_who_steers(served: Served) -> None:
    served.finished(1)
    steers, watches, readonly = (attach(served.folder, steers=may) for may in (True, True, False))
    until(lambda: steers.steers.yours, "the wheel")
    assert answered(watches, Question(3, "amber")).refusal.endswith(" steers: w takes the wheel")
    assert answered(readonly, Question(4, "amber")).refusal == "this console only watches (--readonly)"
    for link in (steers, watches, readonly):
        link.close()


@pytest.mark.parametrize(
    ("text", "refusal"),
    [("", "type a text that the models are to go on with"), ("amber " * 300, "64 at most")],
)
def test_a_text_that_cannot_be_tried_is_refused_in_a_line(served: Served, text: str, refusal: str) -> None:
    served.finished(1)
    link = attach(served.folder, steers=True)
    answer = answered(link, Question(1, text))
    if refusal == "64 at most":
        assert answer.refusal.startswith("a text of ")
        assert "63 at most, so that there is room for an answer" in answer.refusal
    else:
        assert answer.refusal == refusal
    link.close()


def test_a_stop_ends_an_answer_and_a_pause_is_told_in_the_middle_of_one(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedlora_tui.lora.generation import Generation

    step = Generation.step

    def slowly(own: Generation) -> None:
        time.sleep(0.02)
        if len(own.tokens[0]) < 20:
            step(own)
        else:
            # The tiny base has few places for tokens, and this answer takes as long as the test does.
            for tokens in own.tokens:
                tokens.append(1)
        own.ended = [False] * len(own.ended)

    monkeypatch.setattr(Generation, "step", slowly)
    served.finished(1)
    link = attach(served.folder, steers=True)
    tries = link.runs[0].tries
    tries.ask(Question(1, "amber", tokens=500))
    until(lambda: tries.answer is not None and tries.answer.voices[0].tokens > 2, "the first words")
    link.ask(0, Pause())
    until(lambda: served.race.runs[0].state.phase == "paused", "the pause, while it is answered")
    assert tries.answer is not None
    before = tries.answer.voices[0].tokens
    until(lambda: tries.answer is not None and tries.answer.voices[0].tokens > before, "more words while paused")
    link.ask(0, Resume())
    reached = served.race.runs[0].state.seq
    until(lambda: served.race.runs[0].state.seq > reached + 5, "training goes on beside it")
    assert not tries.answer.over
    tries.stop()
    until(lambda: tries.answer is not None and tries.answer.over, "its end")
    assert tries.answer.waited > 0
    tries.ask(Question(2, "amber", tokens=500))
    link.close()
    until(lambda: served.race.runs[0]._course.trying._now is None, "who is gone is answered no longer")


def test_memory_that_runs_out_is_told_in_a_line_and_the_run_goes_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedlora_tui.lora import generation

    def full(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    served.finished(1)
    link = attach(served.folder, steers=True)
    with monkeypatch.context() as patch:
        patch.setattr(generation, "_Pass", full)
        assert answered(link, Question(1, SECRET)).refusal == trying.NO_MEMORY

    def broken(*given: Any) -> None:
        raise RuntimeError(f"cannot do {SECRET}")

    with monkeypatch.context() as patch:
        patch.setattr(generation, "_Pass", broken)
        assert answered(link, Question(2, SECRET)).refusal == "not answered: RuntimeError"
    log = (served.folder / "engine.log").read_text(encoding="utf-8")
    assert "a text that was tried was not answered: RuntimeError" in log
    assert "quolfinamide" not in log
    assert answered(link, Question(3, SECRET, tokens=2)).refusal == ""
    link.close()


def test_a_run_that_is_over_still_answers(served: Served) -> None:
    served.finished(1)
    link = attach(served.folder, steers=True)
    link.ask(0, Stop())
    until(lambda: served.race.over, "the end")
    assert [voice.lacks for voice in answered(link, Question(1, "amber", tokens=3)).voices] == ["", ""]
    link.close()


def test_each_run_of_a_race_answers_with_its_own_adapter(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)
    given = [Entry(configured(settings, federation__rounds=5000, lora__rank=rank), f"rank {rank}") for rank in (1, 2)]
    one = Served(given)
    one.finished(1)
    link = attach(one.folder, steers=True)
    first, second = (answered(link, Question(place + 1, SECRET, round=1, tokens=2), place) for place in (0, 1))
    assert first.voices[0].losses == pytest.approx(second.voices[0].losses)
    assert first.voices[1].losses != second.voices[1].losses
    link.close()
    one.close()


@pytest.mark.parametrize("method", ["flora", "fedex", "fedsa", "fedsvd"])
def test_what_joined_the_base_and_what_stays_at_home_are_part_of_what_is_tried(tmp_path: Path, method: str) -> None:
    config = configured(small_settings(tmp_path), federation__rounds=5000, federation__aggregation=method)
    one = Served([Entry(config)])
    one.finished(2)
    link = attach(one.folder, steers=True)
    answer = answered(link, Question(1, SECRET, org="beta", tokens=2))
    lacking = "with fedsa each organization has one of its own" if method == "fedsa" else ""
    assert [voice.lacks for voice in answer.voices] == ["", lacking, ""]
    assert len({voice.losses for voice in answer.voices}) == 3
    link.close()
    one.close()


class Trier(threading.Thread):
    """Tries texts on a run for as long as it goes on."""

    def __init__(self, watched: WatchedRun) -> None:
        super().__init__(daemon=True)
        self.run_, self.answers = watched.run, list[Answer]()
        self._free = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.run_.over:
            number += 1
            self._free.clear()
            self.run_.try_text(1, Question(number, "amber barrel", org="beta", tokens=9, temperature=0.9), self._take)
            self._free.wait(PATIENCE)

    def _take(self, answer: Answer) -> None:
        if answer.over:
            self.answers.append(answer)
            self._free.set()


@pytest.mark.parametrize(
    "changes", [{}, {"federation__cohort": 1}, {"federation__aggregation": "flora", "lora__dropout": 0.2}]
)
def test_a_run_on_which_texts_were_tried_ends_with_the_same_bytes(tmp_path: Path, changes: dict[str, Any]) -> None:
    kept = {}
    for tried in (False, True):
        folder = tmp_path / str(tried)
        config = configured(small_settings(folder), federation__rounds=4, federation__local_steps=3, **changes)
        one = WatchedRun(config)
        trier = Trier(one)
        one.run.start()
        if tried:
            trier.start()
        one.end()
        if tried:
            trier.join(PATIENCE)
            whole = [answer for answer in trier.answers if len(answer.voices) == 3 and not answer.voices[1].lacks]
            assert whole, [answer.refusal for answer in trier.answers]
        kept[tried] = [
            (one.folder / checkpoint.FOLDER / checkpoint.name(round) / checkpoint.ADAPTER).read_bytes()
            for round in range(5)
        ]
    assert kept[True] == kept[False]
