"""Flower's Grid in process: real Flower strategies and apps run on it, nodes come and go, errors are counted."""

from __future__ import annotations

import importlib.metadata
import threading
from collections import OrderedDict
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from fedlora_tui.federation import client_app as side
from fedlora_tui.federation.client_app import ORGANIZATION, ClientSide, client_app, train_messages
from fedlora_tui.federation.global_model import GlobalModel
from fedlora_tui.federation.local_grid import (
    HOLDS_FOR_FLOWER,
    RUN_ID,
    SERVER_NODE,
    LocalGrid,
    lanes_over,
)
from fedlora_tui.federation.messages import (
    AdapterSpec,
    Refused,
    Sent,
    decode,
    encode,
    evaluate_content,
    read_evaluate_reply,
    read_train_reply,
    train_content,
    weight,
)
from fedlora_tui.federation.passes import Passes
from fedlora_tui.federation.server_app import Server, serve
from fedlora_tui.lora.adapter import shapes
from fedlora_tui.lora.base_model import replica, twin
from fedlora_tui.lora.cohort import LocalTraining, measure, train_cohort
from fedlora_tui.lora.memory import OutOfMemory
from tests.tiny_models import base_of, gpt2, random_adapter, random_rows

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict  # isort: skip
from flwr.clientapp import ClientApp  # isort: skip
from flwr.serverapp.strategy import FedAvg  # isort: skip
from flwr.supercore.task_identity import TaskIdentity  # isort: skip


def test_the_private_touches_hold_for_this_flower():
    """A new Flower: check `_identify` and `_numbered` in local_grid.py, then raise HOLDS_FOR_FLOWER."""
    installed = importlib.metadata.version("flwr")
    assert installed.rpartition(".")[0] == HOLDS_FOR_FLOWER
    LocalGrid(ClientApp())
    assert (TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id) == (1, RUN_ID, SERVER_NODE)
    message = Message(RecordDict(), 2, MessageType.TRAIN)
    assert message.metadata.message_id == ""
    message.metadata.__dict__["_message_id"] = "mine"
    assert message.metadata.message_id == "mine"


def adding_app(seen):
    """An organization whose training adds its node's own number to every value; its weight is that number."""
    app = ClientApp()

    @app.train()
    def train(message, context):
        name = context.node_config[ORGANIZATION]
        seen.append((message.content["config"]["server-round"], name))
        if name.startswith("bad"):
            raise RuntimeError("cannot")
        number = int(name[1:])
        record = message.content["arrays"]
        moved = ArrayRecord(OrderedDict((key, Array(value.numpy() + number)) for key, value in record.items()))
        metrics = MetricRecord({"num-examples": number, "loss": float(number)})
        return Message(RecordDict({"arrays": moved, "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        number = int(context.node_config[ORGANIZATION][1:])
        value = float(message.content["arrays"]["x"].numpy()[0])
        return Message(
            RecordDict({"metrics": MetricRecord({"num-examples": number, "value": value})}), reply_to=message
        )

    return app


def start_of_numbers():
    return ArrayRecord(OrderedDict(x=Array(np.zeros(3, np.float32))))


class ChangingFedAvg(FedAvg):
    """Flower's own FedAvg, with something that happens to the federation before a round."""

    def __init__(self, before, **settings):
        super().__init__(**settings)
        self.before = before

    def configure_train(self, server_round, arrays, config, grid):
        self.before(server_round)
        return super().configure_train(server_round, arrays, config, grid)


def test_flowers_fedavg_runs_its_rounds_on_the_grid():
    seen = []
    grid = LocalGrid(adding_app(seen))
    for name in ("n1", "n3"):
        grid.join(name)
    result = FedAvg(min_available_nodes=2).start(grid, start_of_numbers(), num_rounds=3)
    # The mean of 1 and 3, weighted by 1 and 3, is 2.5 a round.
    np.testing.assert_allclose(result.arrays["x"].numpy(), [7.5] * 3)
    assert sorted(set(seen)) == [(round, name) for round in (1, 2, 3) for name in ("n1", "n3")]
    assert result.train_metrics_clientapp[2]["loss"] == pytest.approx(2.5)
    assert result.evaluate_metrics_clientapp[3]["value"] == pytest.approx(7.5)


def test_a_node_joins_and_another_leaves_between_rounds():
    seen, nodes = [], {}
    grid = LocalGrid(adding_app(seen))
    for name in ("n1", "n2"):
        nodes[name] = grid.join(name)

    def before(round):
        if round == 2:
            nodes["n5"] = grid.join("n5")
        if round == 3:
            grid.leave(nodes["n1"])

    ChangingFedAvg(before).start(grid, start_of_numbers(), num_rounds=3)
    by_round = {round: sorted(name for r, name in seen if r == round) for round in (1, 2, 3)}
    assert by_round == {1: ["n1", "n2"], 2: ["n1", "n2", "n5"], 3: ["n2", "n5"]}
    assert len(set(nodes.values())) == 3


def test_an_error_reply_is_counted_and_not_aggregated():
    grid = LocalGrid(adding_app([]))
    for name in ("n1", "n3", "bad"):
        grid.join(name)
    strategy = FedAvg(fraction_evaluate=0.0, min_available_nodes=3)
    result = strategy.start(grid, start_of_numbers(), num_rounds=1)
    np.testing.assert_allclose(result.arrays["x"].numpy(), [2.5] * 3)
    content = RecordDict({"arrays": start_of_numbers(), "config": ConfigRecord({"server-round": 1})})
    replies = list(
        grid.send_and_receive([grid.create_message(content, "train", node, "1") for node in grid.get_node_ids()])
    )
    assert [reply.has_error() for reply in replies] == [False, False, True]
    assert replies[2].error.reason == "RuntimeError"


def test_a_node_that_is_gone_is_answered_by_an_error():
    seen = []
    grid = LocalGrid(adding_app(seen))
    here, gone = grid.join("n1"), grid.join("n2")
    grid.leave(gone)
    grid.leave(12345)
    content = RecordDict({"arrays": start_of_numbers(), "config": ConfigRecord({"server-round": 1})})
    replies = list(grid.send_and_receive([grid.create_message(content, "train", node, "1") for node in (gone, here)]))
    assert [reply.has_error() for reply in replies] == [True, False]
    assert [reply.metadata.src_node_id for reply in replies] == [gone, here]
    assert [name for _, name in seen] == ["n1"]
    assert list(grid.get_node_ids()) == [here]


def test_message_ids_are_unique_and_replies_name_what_they_answer():
    grid = LocalGrid(adding_app([]))
    nodes = [grid.join(f"n{number}") for number in range(1, 6)]
    content = RecordDict({"arrays": start_of_numbers(), "config": ConfigRecord({"server-round": 1})})
    sent = [grid.create_message(content, "train", node, "1") for node in nodes]
    replies = list(grid.send_and_receive(sent))
    assert [reply.metadata.reply_to_message_id for reply in replies] == [m.metadata.message_id for m in sent]
    assert len({m.metadata.message_id for m in [*sent, *replies]} - {""}) == 10
    assert [reply.metadata.src_node_id for reply in replies] == nodes


def test_pushed_messages_are_answered_and_each_reply_is_pulled_once():
    grid = LocalGrid(adding_app([]))
    nodes = [grid.join("n1"), grid.join("n2")]
    content = RecordDict({"arrays": start_of_numbers(), "config": ConfigRecord({"server-round": 1})})
    ids = list(grid.push_messages(grid.create_message(content, "train", node, "1") for node in nodes))
    (second,) = grid.pull_messages([ids[1]])
    assert second.metadata.src_node_id == nodes[1]
    assert [reply.metadata.src_node_id for reply in grid.pull_messages(ids)] == [nodes[0]]
    assert list(grid.pull_messages([*ids, "unknown"])) == []


def test_the_server_app_of_flower_runs_on_the_grid_and_lets_errors_through():
    ran = []
    serve(LocalGrid(adding_app([])), lambda: ran.append(1))
    assert ran == [1]

    class Broken(Exception):
        pass

    def broken():
        raise Broken

    with pytest.raises(Broken):
        serve(LocalGrid(adding_app([])), broken)


# --- our own organizations on the grid

PLAN = LocalTraining(round=1, seed=7, local_steps=3, local_epochs=0, batch_size=2, learning_rate=5e-3)


class Nobody:
    """Watches nothing."""

    def ignore(self, *told):
        pass

    lanes_begin = lane_began = lane_has = lane_ended = shrunk = steps = testing = between = ignore


class Shrinking(Nobody):
    """Keeps what it is told of a cohort that shrinks."""

    def __init__(self, told):
        self.shrunk = told.append


def model(adapter, version):
    """The global model of a version in which both factors changed."""
    return GlobalModel(version, adapter, changed={"A": version, "B": version})


def whole(adapter):
    """What an organization that holds nothing is sent of version 0."""
    return Sent(0, adapter.rank, adapter=encode(adapter), delta_whole=True)


def local_federation(side, cohort, replicas=()):
    """One run's grid, as a race of one lays it out: a lane of each copy of the base."""
    passes = Passes(lanes_over((side.base, *replicas), lambda context: side), cohort, [side.observer])
    return LocalGrid(client_app(side), passes)


class Federation:
    """Three organizations over a tiny base."""

    def __init__(self, cohort=3, most=24):
        self.base = base_of(gpt2())
        self.start = random_adapter(self.base)
        self.spec = AdapterSpec(shapes(self.base.targets, 3), 3, 6.0)
        self.texts = {name: random_rows(name, 6, 1, least=most, most=most) for name in "abc"}
        self.side = ClientSide(self.base, self.spec, self.texts.__getitem__, Nobody())
        self.cohort = cohort
        self.grid = local_federation(self.side, cohort)

    def server(self):
        server = Server(self.grid, self.spec)
        for name in self.texts:
            server.welcome(name, self.grid.join(name))
        return server


def content(adapter):
    return {key: value.numpy().tobytes() for key, value in adapter.tensors().items()}


def test_flowers_fedavg_trains_our_organizations():
    world = Federation()
    for name in world.texts:
        world.grid.join(name)
    config = train_content(PLAN, Sent(0, 3))["config"]
    result = FedAvg(min_available_nodes=3).start(
        world.grid, encode(world.start), num_rounds=1, train_config=config, evaluate_config=ConfigRecord(config)
    )
    trained = train_cohort(world.base, [world.start] * 3, list(world.texts.values()), [PLAN] * 3)
    shares = [own.train_tokens for own in world.texts.values()]
    for key, value in decode(result.arrays, world.spec).tensors().items():
        mean = sum(s * t.adapter.tensors()[key].double() for s, t in zip(shares, trained, strict=True)) / sum(shares)
        assert torch.allclose(value.double(), mean, atol=1e-6)
    assert result.train_metrics_clientapp[1]["tokens"] == pytest.approx(trained[0].tokens)
    assert 0 < result.evaluate_metrics_clientapp[1]["loss"] < 20


@pytest.mark.parametrize("cohort", [1, 2, 100])
def test_a_cohort_and_one_by_one_give_equal_replies(cohort):
    """Through train_messages in cohorts of any size, or through the ClientApp one by one: the same bytes."""
    together = Federation(cohort)
    alone = Federation()
    alone.grid = LocalGrid(client_app(alone.side))
    for ours, theirs in zip(
        together.server().train(dict.fromkeys(["c", "a", "b"], PLAN), model(together.start, 0)),
        alone.server().train(dict.fromkeys(["a", "b", "c"], PLAN), model(alone.start, 0)),
        strict=True,
    ):
        assert ours.organization == theirs.organization
        assert content(ours.reply.adapter) == content(theirs.reply.adapter)
        assert (ours.reply.loss, ours.reply.tokens, ours.reply.steps, ours.reply.examples) == (
            theirs.reply.loss,
            theirs.reply.tokens,
            theirs.reply.steps,
            theirs.reply.examples,
        )
        assert (ours.bytes_up, ours.bytes_down) == (theirs.bytes_up, theirs.bytes_down)


def test_a_reply_says_what_training_gave_and_weighs_by_the_organizations_tokens():
    world = Federation()
    (answer,) = world.server().train(dict.fromkeys(["b"], PLAN), model(world.start, 0))
    (trained,) = train_cohort(world.base, [world.start], [world.texts["b"]], [PLAN])
    assert content(answer.reply.adapter) == content(trained.adapter)
    assert answer.reply.loss == trained.loss
    assert answer.reply.examples == world.texts["b"].train_tokens
    assert answer.reply.tokens == trained.tokens


def test_an_adapter_travels_only_where_it_is_not_held_already():
    world = Federation()
    server = world.server()
    adapter_weight = sum(len(array.data) for array in encode(world.start).values())

    def down(answers):
        return [answer.bytes_down // adapter_weight for answer in answers]

    assert down(server.evaluate(0, model(world.start, 0), ["a", "b"])) == [1, 1]
    assert down(server.train(dict.fromkeys(["a", "b", "c"], PLAN), model(world.start, 0))) == [0, 0, 1]
    following = random_adapter(world.base, seed=5)
    assert down(server.evaluate(1, model(following, 1), ["a", "b", "c"])) == [1, 1, 1]
    (held,) = server.evaluate(1, model(following, 1), ["a"])
    assert held.bytes_down == 0
    assert held.reply.loss == measure(world.base, following, world.texts["a"]).loss


def test_an_organization_that_comes_back_as_another_node_holds_nothing():
    world = Federation()
    server = world.server()
    server.evaluate(0, model(world.start, 0), ["a"])
    world.grid.leave(server.dismiss("a"))
    server.welcome("a", world.grid.join("a"))
    (answer,) = server.train(dict.fromkeys(["a"], PLAN), model(world.start, 0))
    assert answer.reply is not None
    assert answer.bytes_down > 0


def test_an_organization_that_lacks_the_adapter_says_so_and_is_sent_it_at_once():
    world = Federation()
    server = world.server()
    server._held = dict.fromkeys("abc", 0)
    answers = server.train(dict.fromkeys(["a", "b"], PLAN), model(world.start, 0))
    assert all(answer.reply is not None for answer in answers)
    assert {answer.bytes_down for answer in answers} == {weight(encode(world.start))}


def test_an_organization_does_not_take_an_older_adapter_for_the_one_that_is_meant():
    world = Federation()
    node = world.grid.join("a")

    def asked(brought):
        message = world.grid.create_message(evaluate_content(1, brought), "evaluate", node, "1")
        (reply,) = world.grid.send_and_receive([message])
        return reply.has_error()

    assert asked(Sent(1, 3, held=1))
    assert not asked(Sent(1, 3, adapter=encode(world.start)))
    assert not asked(Sent(1, 3, held=1))
    assert asked(Sent(2, 3, held=2))
    assert not asked(Sent(2, 3, adapter=encode(random_adapter(world.base, seed=5))))
    assert asked(Sent(1, 3, held=1))
    # What builds on a version that is not here cannot be added to anything.
    assert asked(Sent(3, 3, held=1, adapter=encode(world.start, {"B"})))
    assert not asked(Sent(3, 3, held=2, adapter=encode(world.start, {"B"})))


def test_a_refused_message_leaves_the_others_of_its_cohort_as_they_are():
    world = Federation()
    nodes = {name: world.grid.join(name) for name in "abc"}
    messages = []
    for name, node in nodes.items():
        sent = train_content(PLAN, whole(world.start))
        if name == "b":
            sent["config"]["local-steps"] = "many"
        messages.append(world.grid.create_message(sent, "train", node, "1"))
    replies = list(world.grid.send_and_receive(messages))
    assert [reply.has_error() for reply in replies] == [False, True, False]
    (alone,) = train_cohort(world.base, [world.start], [world.texts["c"]], [PLAN])
    assert content(read_train_reply(replies[2], world.spec).adapter) == content(alone.adapter)


def test_organizations_with_different_plans_may_share_a_call():
    world = Federation()
    nodes = {name: world.grid.join(name) for name in "ab"}
    messages = [
        world.grid.create_message(
            train_content(LocalTraining(**{**asdict(PLAN), "local_steps": steps}), whole(world.start)),
            "train",
            nodes[name],
            "1",
        )
        for name, steps in (("a", 1), ("b", 3))
    ]
    contexts = [world.grid._contexts[node] for node in nodes.values()]
    replies = [read_train_reply(reply, world.spec) for reply in train_messages(world.side, messages, contexts)]
    assert [reply.steps for reply in replies] == [1, 3]


def test_a_message_with_a_wrong_adapter_is_refused_on_the_organizations_side():
    world = Federation()
    node = world.grid.join("a")
    wrong = Sent(1, 3, adapter=encode(random_adapter(world.base, rank=1)))
    (reply,) = world.grid.send_and_receive(
        [world.grid.create_message(evaluate_content(1, wrong), "evaluate", node, "1")]
    )
    assert reply.has_error()
    with pytest.raises(Refused):
        read_evaluate_reply(reply)


def test_no_message_between_server_and_organizations_names_an_organization():
    """Node ids stand for organizations; the name stays in the node's own configuration."""
    world = Federation()
    world.texts = {"marmalade": random_rows("marmalade", 6, 1)}
    world.side = ClientSide(world.base, world.spec, world.texts.__getitem__, Nobody())
    world.grid = local_federation(world.side, 1)
    node = world.grid.join("marmalade")
    message = world.grid.create_message(train_content(PLAN, whole(world.start)), "train", node, "1")
    (reply,) = world.grid.send_and_receive([message])
    assert "marmalade" not in str(message)
    assert "marmalade" not in str(reply)
    assert reply.has_content()


def test_an_adapter_that_all_are_sent_is_read_once_and_measured_as_one(monkeypatch):
    world, read, measured = Federation(), [], []
    monkeypatch.setattr(side, "decode", lambda record, spec: read.append(record) or decode(record, spec))
    original = side.measure_cohort
    monkeypatch.setattr(
        side, "measure_cohort", lambda base, given, *rest: measured.append(given) or original(base, given, *rest)
    )
    answers = world.server().evaluate(1, model(world.start, 1), list(world.texts))
    assert len(read) == 1
    assert {id(adapter) for adapter in measured[-1]} == {id(measured[-1][0])}
    for answer, rows in zip(answers, world.texts.values(), strict=True):
        assert answer.reply.loss == pytest.approx(measure(world.base, world.start, rows).loss, abs=1e-6)


def beyond_all_memory():
    torch.empty(2**60)


@pytest.mark.parametrize(("fits", "told"), [(3, [3]), (1, [3, 1])])
def test_where_memory_runs_out_fewer_go_together_and_nothing_is_lost(fits, told):
    """A cohort that is too large asks torch for more than there can be, as a real one does, and is told so by torch."""
    world, shrunk, calls = Federation(), [], []
    alone = Federation(cohort=1)

    def together(messages, contexts):
        calls.append(len(messages))
        if len(messages) > fits:
            beyond_all_memory()
        return train_messages(world.side, messages, contexts)

    world.texts |= {name: random_rows(name, 6, 1, least=24, most=24) for name in "def"}
    alone.texts |= {name: world.texts[name] for name in "def"}
    world.grid = LocalGrid(client_app(world.side), Passes([{MessageType.TRAIN: together}], 100, [Shrinking(shrunk)]))
    answers = world.server().train(dict.fromkeys(list("abcdef"), PLAN), model(world.start, 0))
    assert (shrunk, calls) == (told, [6, 3, 3] if fits == 3 else [6, 3, 1, 1, 1, 1, 1, 1])
    for ours, theirs in zip(
        answers, alone.server().train(dict.fromkeys(list("abcdef"), PLAN), model(alone.start, 0)), strict=True
    ):
        assert ours.organization == theirs.organization
        assert content(ours.reply.adapter) == content(theirs.reply.adapter)
    again = world.server().train(dict.fromkeys(list("abcdef"), PLAN), model(world.start, 0))
    assert len(again) == 6
    assert shrunk == told


@pytest.mark.parametrize(
    ("error", "said"), [(RuntimeError("something else"), "^something else$"), (None, "batch_size")]
)
def test_other_errors_and_one_organization_too_large_for_itself_end_the_round(error, said):
    def together(messages, contexts):
        if error is not None:
            raise error
        beyond_all_memory()

    world = Federation()
    world.grid = LocalGrid(client_app(world.side), Passes([{MessageType.TRAIN: together}], 100))
    with pytest.raises(RuntimeError if error else OutOfMemory, match=said):
        world.server().train(dict.fromkeys(list(world.texts), PLAN), model(world.start, 0))


@pytest.mark.parametrize("organizations", ["abc", "abcdefg", "a"])
@pytest.mark.parametrize("copied", [twin, lambda base: replica(base, torch.device("cpu"))], ids=["twin", "replica"])
def test_lanes_share_a_round_and_answer_as_one_lane_does(organizations, copied):
    alone, shared = Federation(cohort=2), Federation(cohort=2)
    for world in (alone, shared):
        world.texts |= {name: random_rows(name, 6, 1, least=24, most=24) for name in organizations}
    shared.grid = local_federation(shared.side, 2, [copied(shared.base)])
    expected = alone.server().train(dict.fromkeys(list(organizations), PLAN), model(alone.start, 0))
    server = shared.server()
    found = server.train(dict.fromkeys(list(organizations), PLAN), model(shared.start, 0))
    assert [answer.organization for answer in found] == list(organizations)
    for ours, theirs in zip(found, expected, strict=True):
        assert content(ours.reply.adapter) == content(theirs.reply.adapter)
    measured = server.evaluate(1, model(shared.start, 0), list(organizations))
    for answer in measured:
        expected_loss = measure(shared.base, shared.start, shared.texts[answer.organization]).loss
        assert answer.reply.loss == pytest.approx(expected_loss, abs=1e-6)


def test_each_lane_has_a_thread_of_its_own_and_the_same_messages_each_time():
    world, met = Federation(), []
    both = threading.Barrier(2, timeout=60)

    def lane(number):
        own = replace(world.side, base=replica(world.base, torch.device("cpu")))

        def together(messages, contexts):
            both.wait()
            met.append((number, threading.current_thread(), [side.organization(context) for context in contexts]))
            return train_messages(own, messages, contexts)

        return {MessageType.TRAIN: together}

    world.grid = LocalGrid(client_app(world.side), Passes([lane(0), lane(1)], 3))
    server = world.server()
    for _ in range(2):
        assert len(server.train(dict.fromkeys(list(world.texts), PLAN), model(world.start, 0))) == 3
    assert sorted((number, names) for number, _, names in met) == [(0, ["a", "b"])] * 2 + [(1, ["c"])] * 2
    assert len({thread for _, thread, _ in met[:2]}) == 2


def test_the_error_of_one_lane_ends_the_round_when_the_others_have_ended_theirs():
    world, ended = Federation(), []

    def works(messages, contexts):
        ended.append(len(messages))
        return train_messages(world.side, messages, contexts)

    def breaks(messages, contexts):
        raise RuntimeError("one lane is gone")

    lanes = [{MessageType.TRAIN: breaks}, {MessageType.TRAIN: works}]
    world.grid = LocalGrid(client_app(world.side), Passes(lanes, 3))
    with pytest.raises(RuntimeError, match="one lane is gone"):
        world.server().train(dict.fromkeys(list(world.texts), PLAN), model(world.start, 0))
    assert ended == [1]


def test_where_one_lane_runs_out_of_memory_all_go_on_with_fewer():
    world, shrunk = Federation(), []
    world.texts |= {name: random_rows(name, 6, 1, least=24, most=24) for name in "defgh"}

    def tight():
        own = replace(world.side, base=replica(world.base, torch.device("cpu")))

        def together(messages, contexts):
            if len(messages) > 2:
                beyond_all_memory()
            return train_messages(own, messages, contexts)

        return {MessageType.TRAIN: together}

    lanes = [tight(), tight()]
    world.grid = LocalGrid(client_app(world.side), Passes(lanes, 100, [Shrinking(shrunk)]))
    answers = world.server().train(dict.fromkeys(list(world.texts), PLAN), model(world.start, 0))
    assert all(answer.reply is not None for answer in answers)
    assert (shrunk, world.grid.passes.cohort) == ([2], 2)


def test_who_lacked_memory_to_measure_a_new_version_measures_it_again(monkeypatch):
    world = Federation(cohort=3)
    server, passes = world.server(), []
    server.train(dict.fromkeys(list(world.texts), PLAN), model(world.start, 0))
    original = side.measure_cohort

    def measuring(base, adapters, *more):
        if adapters:
            passes.append(len(adapters))
            if len(passes) == 1:
                beyond_all_memory()
        return original(base, adapters, *more)

    monkeypatch.setattr(side, "measure_cohort", measuring)
    answers = server.evaluate(1, model(world.start, 0).resized(world.start), list(world.texts))
    assert passes == [3, 1, 1, 1]
    assert [answer.refusal for answer in answers] == [""] * len(world.texts)
