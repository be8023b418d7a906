"""A node's app in this process: its ledger says what the server's does, its policy holds, nothing leaves unwritten."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from fedlora_tui.config import Config, LoraConfig, ModelConfig, to_toml
from fedlora_tui.engine.plan import plan_of
from fedlora_tui.errors import UserError
from fedlora_tui.federation import client_app
from fedlora_tui.federation.global_model import GlobalModel
from fedlora_tui.federation.introduction import INTRODUCE, question, read_introduction
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import STAYED, Refused, spec_of
from fedlora_tui.federation.parcels import unpacked
from fedlora_tui.federation.secure_rounds import SecureRound, SecureTerms
from fedlora_tui.federation.server_app import Server
from fedlora_tui.lora import base_model
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.node import client_app as node
from fedlora_tui.node import events as ev
from fedlora_tui.node.home import Homes
from fedlora_tui.node.journal import NAME, read_ledger
from fedlora_tui.node.ledger import NodeLedger, folded
from fedlora_tui.node_policy import UNWRITTEN
from tests.tiny_models import random_adapter
from tests.tiny_runs import configured, small_settings


class Nodes(LocalGrid):
    """Nodes of this process that are told by their SuperNode's configuration where their ledger and policy are."""

    def __init__(self, config: Config, folder: Path, policy: Path) -> None:
        super().__init__(node.app)
        self._config, self._folder, self._policy = to_toml(config), folder, policy

    def join(self, organization: str) -> int:
        place = super().join(organization)
        journal = self._folder / organization
        journal.mkdir()
        data = self._folder / "texts" / f"{organization}.txt"
        own = {"organization": organization, "data": str(data), "journal": str(journal), "policy": str(self._policy)}
        self._contexts[place] = Context(self.run_id, place, own, RecordDict(), {"config": self._config})
        return place

    def send_and_receive(self, messages, *, timeout=None):
        """Take apart what came in parcels, as a deployed grid does before a server sees it."""
        replies = super().send_and_receive(messages, timeout=timeout)
        for reply in replies:
            if reply.has_content():
                reply.content = unpacked(reply.content)
        return replies


class World:
    """One organization, alpha, at a node with a policy, and its server."""

    def __init__(self, folder: Path, policy: str = "", **changes: object) -> None:
        self.folder = folder / "alpha"
        self.config = configured(small_settings(folder), **changes)
        self.policy = folder / "policy.toml"
        self.policy.write_text(policy)
        self.grid = Nodes(self.config, folder, self.policy)
        self.place = self.grid.join("alpha")
        context = self.grid._contexts[self.place]
        base = node.HOMES.of(context.node_config, context.run_config).base
        self.server = Server(self.grid, spec_of(self.config.lora, base.targets))
        self.server.welcome("alpha", self.place)
        self.model = GlobalModel(0, random_adapter(base, 4, 8.0), changed={"A": 0, "B": 0})

    def train(self, round: int = 1):
        return self.ask(plan_of(self.config, round))

    def ask(self, plan: LocalTraining):
        return self.server.train({"alpha": plan}, self.model)[0]

    def evaluate(self, round: int = 1):
        return self.server.evaluate(round, self.model, ["alpha"])[0]

    def events(self, kind: type[ev.NodeEvent]) -> list:
        return [record.event for record in read_ledger(self.folder) if isinstance(record.event, kind)]

    def ledger(self) -> NodeLedger:
        return folded(read_ledger(self.folder))


def test_the_nodes_ledger_says_byte_for_byte_what_the_servers_answers_do(tmp_path: Path) -> None:
    world = World(tmp_path)
    trained, measured, again = world.train(), world.evaluate(), world.train(2)
    assert trained.reply is not None
    assert measured.reply is not None
    answered = world.events(ev.MessageAnswered)
    assert [one.kind for one in answered] == ["train", "evaluate", "train"]
    for own, answer in zip(answered, (trained, measured, again), strict=True):
        assert (own.left, own.bytes, own.tensors, own.numbers) == (
            answer.left,
            answer.bytes_up,
            answer.tensors,
            answer.numbers,
        )
    came = world.events(ev.MessageReceived)
    assert [one.bytes for one in came] == [trained.bytes_down, 0, 0]
    assert len(came[0].sha256) == 64
    assert came[1].sha256 == ""
    told = world.events(ev.Trained)
    assert [(one.round, one.steps, one.tokens) for one in told] == [
        (1, 2, trained.reply.tokens),
        (2, 2, again.reply.tokens),
    ]
    assert told[0].loss == pytest.approx(trained.reply.loss)
    text = (world.folder / NAME).read_text()
    assert "alpha" not in text
    assert "amber" not in text


def test_what_the_policy_does_not_allow_is_refused_before_anything_is_trained_and_the_server_is_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, "[training]\nmax_rank = 2\n")
    monkeypatch.setattr("fedlora_tui.federation.client_app.train_cohort", lambda *given: pytest.fail("trained"))
    reason = "its policy allows a rank of 2 at most, 4 was asked"
    for answer in (world.train(), world.evaluate()):
        assert (answer.reply, answer.refusal, answer.left) == (None, reason, {"words": len(reason)})
    assert [one.reason for one in world.events(ev.MessageRefused)] == [reason, reason]
    assert [(one.error, one.left) for one in world.events(ev.MessageAnswered)] == [(reason, {"words": len(reason)})] * 2
    assert not world.events(ev.Trained)


def test_the_policys_highest_rank_holds_for_modules_of_a_rank_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, "[training]\nmax_rank = 4\n", lora__rank_pattern="{ c_attn = 32 }")
    monkeypatch.setattr("fedlora_tui.federation.client_app.train_cohort", lambda *given: pytest.fail("trained"))
    reason = "its policy allows a rank of 4 at most, 32 was asked"
    assert (world.train().refusal, world.evaluate().refusal) == (reason, reason)


def test_rounds_are_counted_by_the_ledger_whatever_number_the_server_gives_them(tmp_path: Path) -> None:
    world = World(tmp_path, "[training]\nmax_rounds = 2\nmax_steps = 2\n")
    refusals = [world.train(1).refusal for _ in range(3)]
    assert refusals == ["", "", "its policy allows 2 rounds of a run at most, and so many are trained"]
    world.config = configured(small_settings(tmp_path), federation__local_epochs=1)
    assert world.train(4).refusal.startswith("its policy allows 2 local steps at most, ")


def test_a_round_counts_that_was_trained_and_of_which_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, "[training]\nmax_rounds = 3\n")
    assert world.train(1).refusal == ""
    with monkeypatch.context() as patch:
        patch.setattr(client_app, "read_train_reply", _refusing)
        assert world.train(2).refusal == STAYED
        patch.setattr(client_app, "leaving", lambda *given: 1 // 0)
        assert world.train(3).refusal.endswith(": ZeroDivisionError")
    assert world.train(4).refusal == "its policy allows 3 rounds of a run at most, and so many are trained"
    assert [(one.round, one.steps) for one in world.events(ev.Trained)] == [(1, 2), (2, 2), (3, 2)]
    stayed = [one for one in world.ledger().handled if one.trained and one.answered and one.answered.error]
    assert [(one.received.round, set(one.answered.left)) for one in stayed] == [(2, {"words"}), (3, {"words"})]


def test_a_round_counts_whose_training_was_broken_off_for_its_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, "[training]\nmax_rounds = 1\n")

    def ended(*given: object) -> None:
        raise KeyboardInterrupt

    # Before its first step, and after its last one.
    for broken, steps in (("train_cohort", []), ("leaving", [2])):
        with monkeypatch.context() as patch:
            patch.setattr(client_app, broken, ended)
            with pytest.raises(KeyboardInterrupt):
                world.train(1)
        assert [one.steps for one in world.events(ev.Trained)] == steps
    assert [one.error for one in world.events(ev.MessageAnswered)] == ["broken off", "broken off"]
    assert [one.broken_off for one in world.ledger().handled] == [True, True]
    assert world.train(2).refusal == "its policy allows 1 rounds of a run at most, and so many are trained"


def _refusing(*given: object) -> None:
    raise Refused("it holds what may not travel")


def test_a_method_is_the_one_that_the_message_names_and_must_train_the_factors_that_it_trains(tmp_path: Path) -> None:
    world = World(tmp_path, '[training]\nmethods = ["ffa"]\n', federation__aggregation="ffa")
    assert world.train().refusal == ""
    world.config = configured(small_settings(tmp_path), federation__aggregation="fedit")
    assert world.train(2).refusal == "its policy does not allow the method fedit"
    liar = plan_of(configured(small_settings(tmp_path), federation__aggregation="ffa"), 3)
    assert world.ask(replace(liar, train_a=1)).refusal == "its policy does not allow the method unknown"


def test_a_policy_that_asks_for_protection_takes_part_where_the_run_gives_it(tmp_path: Path) -> None:
    private = {"privacy__mechanism": "gaussian", "privacy__clip_norm": 0.5, "federation__server_optimizer": "none"}
    policy = '[privacy]\nmechanism = "gaussian"\nmax_clip_norm = 0.5\nmax_epsilon = 8.0\n'
    world = World(tmp_path, policy, **private)
    assert world.train().refusal == ""
    world.config = configured(small_settings(tmp_path), **{**private, "privacy__clip_norm": 1.0})
    assert world.train(2).refusal == "its policy allows an update of length 0.5 at most, 1 was asked"
    world.config = configured(small_settings(tmp_path))
    assert world.train(3).refusal.startswith("its policy asks for privacy.mechanism = gaussian")
    own = replace(plan_of(configured(small_settings(tmp_path), **private), 3), update_noise=0.5)
    world.policy.write_text("[privacy]\nmin_own_noise = 1.0\n")
    assert world.ask(own).refusal == ""
    for known in ({"seeded_noise": 1}, {"update_noise": math.nan}, {"update_norm": math.inf}, {"update_noise": 0.25}):
        assert world.ask(replace(own, **known)).refusal.startswith("its policy asks for noise of its own of 1 clip")
    world.policy.write_text("[privacy]\nsecure_sum = true\n")
    assert world.train(4).refusal == "its policy lets updates leave in secure sums alone"


def test_with_sums_that_are_made_unseen_ledgers_are_equal_over_all_stages(tmp_path: Path) -> None:
    world = World(tmp_path, "[privacy]\nsecure_sum = true\n", privacy__secure_sum="true")
    names = ("alpha", "beta", "gamma")
    for name in names[1:]:
        world.server.welcome(name, world.grid.join(name))
    round = SecureRound(world.server, SecureTerms(0.6, 100, 1.0), 1, 10_000)
    answers = round.train(dict.fromkeys(names, plan_of(world.config, 1)), world.model)
    answers = round.unmask(answers, ())
    assert round.failed == ""
    for name, answer in zip(names, answers, strict=True):
        assert answer.reply is not None, answer.refusal
        ledger = folded(read_ledger(tmp_path / name))
        assert (ledger.sums.left, ledger.sums.received) == (answer.left, answer.bytes_down)
        assert set(answer.left) == {"masked", "numbers", "shares"}
        came = [one.received for one in ledger.handled]
        assert [one.kind for one in came] == ["secure-sum", "secure-sum", "train", "secure-sum"]
        assert sum(one.shares for one in came) == answer.shares_down


def test_what_breaks_is_told_by_its_bare_name_and_a_broken_policy_lets_nothing_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.policy.write_text("[training]\nmax_rank = 0\n")
    assert world.train().refusal.endswith(": NotSetUp")
    (told,) = world.events(ev.NotSetUp)
    assert "policy.toml" in told.reason
    world.policy.write_text("")

    def breaks(*given: object) -> None:
        raise ZeroDivisionError("Anna owes 5")

    monkeypatch.setattr("fedlora_tui.federation.client_app.train_cohort", breaks)
    assert world.train().refusal.endswith(": ZeroDivisionError")
    assert "Anna" not in (world.folder / NAME).read_text()
    assert [one.error for one in world.events(ev.MessageAnswered)] == ["NotSetUp", "ZeroDivisionError"]


def test_where_the_ledger_cannot_be_written_nothing_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    append = node.recorded.__globals__["NodeJournal"].append

    def full(self, event):
        if isinstance(event, ev.MessageAnswered):
            raise OSError(28, "No space left on device")
        return append(self, event)

    monkeypatch.setattr("fedlora_tui.node.recording.NodeJournal.append", full)
    answer = world.train()
    assert (answer.refusal, answer.bytes_up) == (UNWRITTEN, 0)
    (world.folder / NAME).unlink()
    world.folder.rmdir()
    assert world.train().refusal == UNWRITTEN


def test_an_introduction_says_in_short_what_the_policy_limits_and_stands_in_the_ledger(tmp_path: Path) -> None:
    world = World(tmp_path, "[training]\nmax_rank = 8\n")
    (reply,) = world.grid.send_and_receive([world.grid.create_message(question(), INTRODUCE, world.place, "0")])
    said = read_introduction(reply)
    assert (said.organization, said.policy) == ("alpha", "rank <= 8")
    (own,) = world.events(ev.MessageAnswered)
    assert (own.kind, set(own.left)) == ("introduce", {"introduction"})
    assert world.ledger().sums.messages == 1


def test_a_base_stays_for_the_next_run_that_asks_for_it_and_goes_before_another_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loaded, still_there = base_model.load, [], []

    def watched(model: ModelConfig, lora: LoraConfig) -> BaseModel:
        still_there.append([own() is not None for own in loaded])
        base = load(model, lora)
        loaded.append(weakref.ref(base.model))
        return base

    monkeypatch.setattr(base_model, "load", watched)
    homes, settings = Homes(), small_settings(tmp_path)
    own = {"organization": "alpha", "data": str(tmp_path / "texts" / "alpha.txt")}

    def begun(**changes: object) -> None:
        homes.of(own, {"config": to_toml(configured(settings, **changes))})

    begun(runs__name="first")
    begun(runs__name="second")
    begun(model__max_length=16)
    with pytest.raises(UserError):
        begun(model__base=str(tmp_path / "none"))
    begun(model__max_length=16)
    assert still_there == [[], [False], [False, False], [False, False]]
