"""Whole runs whose updates are summed unseen: what comes out, what the server had in hand, and what ends a round."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from fedlora_tui.engine import checkpoint, rounds
from fedlora_tui.engine.reception import Arrivals
from fedlora_tui.engine.voices import Voices
from fedlora_tui.errors import UserError
from fedlora_tui.federation import secure_organization
from fedlora_tui.federation.last_replies import LastReplies
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import ARRAYS, METRICS, SECURE, arrays_weight
from fedlora_tui.federation.secure_messages import MASKED, UNMASK
from fedlora_tui.privacy.secure_sum.fixed_point import Fixed
from fedlora_tui.privacy.secure_sum.member import Declined
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.trying import Question
from tests.flows.test_faults import SECONDS, FakeTime
from tests.flows.test_going_on import GoneOn, at, check_same, ended_at
from tests.tiny_models import write_texts
from tests.tiny_runs import WatchedRun, configured, small_settings

ON = {"privacy.secure_sum": "true", "federation.quarantine_after": 0}
NODE = 2
"""The node that the first organization is."""

DROPS = {"faults.beta": "dropout in round 2"}


class Tapped:
    """All that goes over a grid, as the server has it."""

    def __init__(self, monkeypatch):
        self.sent, self.came = [], []
        whole = LocalGrid.send_and_receive

        def tap(grid, messages, *, timeout=None):
            self.grid, sent = grid, list(messages)
            replies = list(whole(grid, sent))
            self.sent += [message for message in sent if message.metadata.message_type != MessageType.EVALUATE]
            self.came += [reply for reply in replies if reply.metadata.message_type != MessageType.EVALUATE]
            return replies

        monkeypatch.setattr(LocalGrid, "send_and_receive", tap)

    def stages(self):
        """The kinds of messages in their order, each once where it went to several."""
        kinds = [
            message.content[SECURE]["stage"] if message.metadata.message_type == MessageType.QUERY else "train"
            for message in self.sent
        ]
        return [kind for place, kind in enumerate(kinds) if place == 0 or kinds[place - 1] != kind]


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


def with_a_fourth(settings):
    """The same settings, and an organization more: of four one can drop out, and three are left."""
    write_texts(Path(settings["data.path"]), ("delta",))
    return settings


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run with one who drops out in round 2, plain and summed unseen; the latter with what went over its grid."""
    with pytest.MonkeyPatch.context() as patched:
        settings = with_a_fourth(small_settings(tmp_path_factory.mktemp("secure")))
        plain = WatchedRun(configured(settings | DROPS)).go()
        tapped = Tapped(patched)
        secure = WatchedRun(configured(settings | DROPS | ON)).go()
    return plain, secure, tapped


def tensors(watched, round):
    return checkpoint.read(watched.folder, round).adapter.tensors()


def apart(one, other, round):
    """The largest difference of any number of two runs' adapters."""
    ours, theirs = tensors(one, round), tensors(other, round)
    return max(float((tensor.double() - theirs[name].double()).abs().max()) for name, tensor in ours.items())


def products(one, other, round):
    """What two runs' adapters add to each module."""
    ours, theirs = (checkpoint.read(run.folder, round).adapter.factors for run in (one, other))
    return {name: [own.b.double() @ own.a.double() for own in (ours[name], theirs[name])] for name in ours}


def test_the_sum_is_the_plain_one_within_its_bound_though_one_dropped_out(runs):
    plain, secure, _ = runs
    assert secure.run.state.phase == plain.run.state.phase == "done"
    first, second = secure.told(ev.SecureSummed)
    assert (first.orgs, first.gone) == (("alpha", "beta", "delta", "gamma"), ())
    assert (second.orgs, second.gone) == (("alpha", "delta", "gamma"), ("beta",))
    assert (first.threshold, first.holders, first.outside, first.numbers) == (3, 4, 0, 1024)
    # Beyond the bound there is the rounding of the adapter's own numbers, float32 of at most 1.
    assert 0 < first.bound < 3e-9
    assert apart(plain, secure, 1) <= first.bound + 2**-24
    losses = [[event.eval_loss for event in run.told(ev.RoundFinished)] for run in (plain, secure)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_nothing_is_told_of_one_update_by_itself(runs):
    plain, secure, _ = runs
    assert plain.told(ev.UpdateMeasured)
    assert not secure.told(ev.UpdateMeasured)
    for event in secure.told(ev.RoundAggregated):
        assert (event.drift, event.weights, event.norms, event.cosines, event.drifts) == (None, {}, {}, {}, {})
    assert [event.drift for event in secure.told(ev.RoundFinished)] == [None, None]
    assert {org.norm for org in secure.run.state.organizations.values()} == {None}
    assert secure.run.state.history[-1].drift is None
    tried = Voices(secure.folder, LastReplies()).candidates(Question(1, "Dear", "alpha"))
    assert tried[-1].lacks == "updates are summed unseen: nobody has its own"


def test_every_reply_is_keys_shares_or_one_masked_vector_and_three_numbers(runs):
    tapped = runs[2]
    assert tapped.stages() == [1, 2, "train", 3, 1, 2, "train", 3]
    masked = [reply for reply in tapped.came if reply.metadata.message_type == MessageType.TRAIN]
    assert len(masked) == 7
    for reply in masked:
        assert set(reply.content) == {MASKED, METRICS}
        assert set(reply.content[METRICS]) == {"loss", "tokens", "steps"}
    words = [reply.content[MASKED][MASKED].numpy() for reply in masked]
    assert {vector.shape for vector in words} == {(1026,)}
    # The same update under other masks: no word of one tells of the other.
    assert all((words[0] == other).mean() < 0.01 for other in words[1:])
    for reply in tapped.came:
        assert ARRAYS not in reply.content


def test_bytes_of_all_stages_are_counted_for_each_organization(runs):
    plain, secure, _ = runs
    keys, sealed, bound, seed, shares = 64, 3 * 82, 4 * 32, 16, 4 * 33
    lists, nonces = 8 * (4 + 4), 3 * 16
    received = secure.told(ev.UpdateReceived)[0]
    assert received.left["shares"] == keys + sealed + bound + seed + shares + lists + nonces
    assert received.bytes_up - received.left["shares"] == 128 + 4 * 1026
    assert received.left["masked"] == 128 + 4 * 1026
    assert received.left.keys() == {"masked", "shares", "numbers"}
    assert received.bytes_down == received.shares_down
    finished = secure.told(ev.RoundFinished)
    assert finished[0].bytes_up == sum(event.bytes_up for event in secure.told(ev.UpdateReceived) if event.round == 1)
    first = secure.told(ev.SecureSummed)[0]
    assert first.bytes_up == 4 * received.left["shares"]
    assert first.bytes_down == 4 * received.shares_down
    assert secure.run.state.organizations["alpha"].ledger.came == plain.run.state.organizations["alpha"].ledger.came


def test_a_run_that_is_gone_on_with_sums_to_the_same_bytes_under_other_masks(settings, tmp_path):
    watched = WatchedRun(configured(with_a_fourth(settings) | ON | DROPS))
    copies = ended_at(watched, tmp_path, {"summed": at(ev.SecureSummed, 2)})
    watched.go()
    check_same(watched, GoneOn(copies["summed"]).go(), 2)


@pytest.mark.parametrize("method", ["ffa", "rolora", "fedsvd"])
def test_methods_that_need_a_sum_make_of_it_what_they_make_of_the_replies(settings, method):
    settings |= {"federation.aggregation": method, "federation.local_steps": 1}
    plain, secure = (WatchedRun(configured(settings | more)).go() for more in ({}, ON))
    assert secure.run.state.phase == "done", secure.run.state.reason
    # Factors of a decomposition may turn where singular values are close; their products are what counts.
    for name, (ours, theirs) in products(plain, secure, 1).items():
        assert torch.allclose(ours, theirs, atol=1e-7), name
    ends = [[event.eval_loss for event in run.told(ev.RoundFinished)] for run in (plain, secure)]
    assert ends[0] == pytest.approx(ends[1], abs=1e-5)


@pytest.mark.parametrize("noise", ["organizations", "server"])
def test_under_noise_the_sum_is_the_plain_one_too_and_losses_may_stay_at_home(settings, noise):
    """Seeded noise is the same in both; under real noise nobody could compare."""
    settings = with_a_fourth(settings) | {
        "privacy.mechanism": "gaussian",
        "privacy.noise": noise,
        "privacy.noise_multiplier": 1.0,
        "privacy.target_epsilon": 0.0,
        "privacy.clip_norm": 0.05,
        "privacy.seeded_noise": "true",
        "privacy.withhold_losses": "true",
        "federation.rounds": 1,
        "federation.quarantine_after": 0,
        "faults.beta": "dropout",
    }
    plain, secure = (WatchedRun(configured(settings | more)).go() for more in ({}, ON))
    assert secure.run.state.phase == plain.run.state.phase == "done", secure.run.state.reason
    (summed,) = secure.told(ev.SecureSummed)
    assert (summed.orgs, summed.outside) == (("alpha", "delta", "gamma"), 0)
    assert apart(plain, secure, 1) <= summed.bound + 2**-23
    assert {event.loss for event in secure.told(ev.UpdateReceived)} == {None}


def test_with_too_few_left_the_round_fails_before_anybody_is_asked_to_unmask(settings, monkeypatch):
    tapped = Tapped(monkeypatch)
    watched = WatchedRun(configured(settings | ON | {"faults.beta": "crash"}), patient=False).go()
    assert watched.run.state.phase == "failed"
    # With two left each would know the other's update: the mean less its own.
    assert watched.run.state.reason == (
        "round 1: the secure sum failed, and no update was seen: 2 of 3 organizations are left: 2 hold shares of one "
        "organization's secrets, 3 are needed (privacy.secure_threshold)"
    )
    assert tapped.stages() == [1, 2, "train"]


def test_who_is_late_is_not_in_the_sum_though_its_masked_update_came(settings, monkeypatch):
    monkeypatch.setattr(rounds, "time", FakeTime())
    monkeypatch.setattr(
        Arrivals, "step", lambda self, names: self.seconds.update({name: SECONDS[name] for name in names})
    )
    tapped = Tapped(monkeypatch)
    settings = with_a_fourth(settings) | ON | {"federation.deadline": 2.0, "federation.rounds": 1}
    watched = WatchedRun(configured(settings)).go()
    summed = [(event.orgs, event.gone) for event in watched.told(ev.SecureSummed)]
    assert summed == [(("alpha", "delta", "gamma"), ("beta",))]
    assert [(event.org, event.bytes_up > 0) for event in watched.told(ev.UpdateLate)] == [("beta", True)]
    assert sum(MASKED in reply.content for reply in tapped.came if not reply.has_error()) == 4


def test_a_round_that_failed_is_gone_through_again_in_another_session(settings, monkeypatch):
    tapped = Tapped(monkeypatch)
    watched = WatchedRun(configured(settings | ON | {"faults.alpha": "dropout", "faults.beta": "dropout"}))
    watched.run.start()
    watched.wait_for(lambda event: isinstance(event, ev.RunPaused))
    for command in (ask.Fault("none", "alpha"), ask.Fault("none", "beta"), ask.Resume()):
        watched.run.send(command)
    watched.end()
    assert watched.run.state.phase == "done", watched.run.state.reason
    assert tapped.stages() == [1, 2, "train", 1, 2, "train", 3, 1, 2, "train", 3]
    assert len({message.content[SECURE]["nonce"] for message in tapped.sent}) == 3
    whole = WatchedRun(configured(settings | ON)).go()
    assert apart(watched, whole, 2) == 0


def test_who_cannot_share_is_out_and_the_others_are_summed(settings, monkeypatch):
    share = secure_organization._share

    def refusing(message, context, session):
        if context.node_config["organization"] == "beta":
            raise Declined("no")
        return share(message, context, session)

    monkeypatch.setattr(secure_organization, "_share", refusing)
    watched = WatchedRun(configured(with_a_fourth(settings) | ON | {"federation.rounds": 1})).go()
    assert [event.orgs for event in watched.told(ev.SecureSummed)] == [("alpha", "delta", "gamma")]
    assert [event.reason for event in watched.told(ev.UpdateRejected)] == [
        "error 2 (its reason stays in the organization's own log)"
    ]


def test_what_left_for_a_sum_that_nobody_made_is_told_and_is_nobodys_fault_who_sent_it(settings, monkeypatch):
    share, tapped = secure_organization._share, Tapped(monkeypatch)

    def refusing(message, context, session):
        if context.node_config["organization"] == "beta":
            raise Declined("no")
        return share(message, context, session)

    monkeypatch.setattr(secure_organization, "_share", refusing)
    watched = WatchedRun(configured(settings | ON), patient=False).go()
    (told,) = watched.told(ev.SecureFailed)
    assert told.reason.startswith("2 of 3 organizations are left: ")
    assert watched.run.state.reason == f"round 1: the secure sum failed, and no update was seen: {told.reason}"
    sent = dict.fromkeys(("alpha", "beta", "gamma"), 0)
    for reply in tapped.came:
        sent[sorted(sent)[reply.metadata.src_node_id - NODE]] += 0 if reply.has_error() else arrays_weight(reply)
    assert told.left == {"alpha": sent["alpha"], "gamma": sent["gamma"]}
    (refused,) = watched.told(ev.UpdateRejected)
    assert (refused.org, refused.left) == ("beta", {"shares": sent["beta"], "words": len("secure sum: no")})
    for name, org in watched.run.state.organizations.items():
        assert (org.ledger.left["shares"], org.faults) == (sent[name], int(name == "beta"))


def test_a_weight_that_none_may_have_ends_the_sum(settings, monkeypatch):
    words = Fixed.words

    def lying(fixed, update, weight):
        own = words(fixed, update, weight)
        own[-2] += 1
        return own

    monkeypatch.setattr(Fixed, "words", lying)
    private = {"privacy.mechanism": "gaussian", "privacy.noise_multiplier": 1.0, "privacy.target_epsilon": 0.0}
    watched = WatchedRun(configured(settings | ON | private), patient=False).go()
    assert watched.run.state.reason.endswith("no update was seen: its 3 weights add up to 6, which they may not")


def test_organizations_answer_no_replayed_message_and_no_plain_one(settings, monkeypatch):
    tapped, replies = Tapped(monkeypatch), []
    watched = WatchedRun(configured(settings | ON | {"federation.rounds": 1}))

    def ask_again():
        to_one = [message for message in tapped.sent if message.metadata.dst_node_id == NODE]
        asked = [(message.metadata.message_type, dict(message.content)) for message in to_one]
        plain = {name: record for name, record in asked[2][1].items() if name != SECURE}
        masked_otherwise = {**asked[2][1], SECURE: ConfigRecord({**asked[2][1][SECURE], "server-round": 2})}
        lie = ConfigRecord({**asked[3][1][SECURE], "alive": [NODE, NODE + 1], "gone": [NODE + 2]})
        asked += [(MessageType.TRAIN, plain), (MessageType.TRAIN, masked_otherwise), (MessageType.QUERY, {SECURE: lie})]
        for kind, content in asked:
            replies.extend(tapped.grid.send_and_receive([Message(RecordDict(content), NODE, kind, group_id="1")]))

    watched.when(lambda event: isinstance(event, ev.RoundAggregated), ask_again)
    watched.go()
    assert [reply.error.reason if reply.has_error() else "" for reply in replies] == [
        "secure sum: a session of round 1 that has begun already",
        "secure sum: out of turn: this organization has unmasked in round 1",
        "secure sum: out of turn: this organization has unmasked in round 1",
        "",  # the same question has the same answer
        "this organization takes part in secure sums alone: it sends no update that is not masked",
        "secure sum: its config is of another round",
        "secure sum: asked a second time who dropped out, and told otherwise than before",
    ]
    answers = [reply for reply in tapped.came if not reply.has_error() and SECURE in reply.content]
    answers = [reply.content[SECURE]["shares"] for reply in answers if reply.content[SECURE]["stage"] == UNMASK]
    assert replies[3].content[SECURE]["shares"] in answers


REFUSED = [
    ({"federation.aggregation": "flora"}, r'aggregation = "flora" needs each reply by itself: choose fedit, ffa, rol'),
    ({"federation.aggregation": "fedsa"}, r'aggregation = "fedsa" looks at what stays at home: choose fedit, ffa'),
    ({"federation.robust": "median"}, r'robust = "median" looks at each reply: set it to "none"'),
    ({"lora.rank": '{ default = 4, "beta" = 2 }', "federation.aggregation": "fedit"}, r"needs equal ones"),
    (
        {"faults.beta": "poison"},
        r'faults.beta = "poison": a reply under privacy.secure_sum is masked, .* slow, drop',
    ),
    (
        {"privacy.mechanism": "gaussian", "privacy.noise_multiplier": 1.0, "federation.fraction": 0.9},
        r'privacy.sampling = "poisson" may draw none: set it to "fixed", or federation.fraction to 1.0',
    ),
    (
        {"privacy.secure_sum": "false", "privacy.secure_threshold": 0.9},
        r"^privacy.secure_threshold does nothing with priv",
    ),
    (
        {"privacy.mechanism": "gaussian", "privacy.noise_multiplier": 1.0, "privacy.secure_range": 0.5},
        r"^privacy.secure_range does nothing .*, where the range follows from privacy.clip_norm: leave it out$",
    ),
    ({"federation.fraction": 0.4}, r"needs 3 organizations in a round, this one has 2: let more take part, or raise"),
]


@pytest.mark.parametrize(("more", "reason"), REFUSED)
def test_what_a_secure_sum_cannot_go_with_is_refused_before_the_run_begins(settings, more, reason):
    watched = WatchedRun(configured(settings | ON | more)).go()
    assert watched.run.folder is None
    assert re.search(reason, watched.run.refusal)


def test_what_it_cannot_go_with_is_not_turned_while_it_runs(settings):
    watched = WatchedRun(configured(settings | ON))
    watched.when(
        lambda event: isinstance(event, ev.RoundStarted),
        lambda: [
            watched.run.send(command) for command in (ask.Method("flora"), ask.Fault("nan", "beta"), ask.Fraction(0.3))
        ],
    )
    watched.go()
    reasons = [event.reason for event in watched.told(ev.CommandRefused)]
    assert len(reasons) == 3
    assert "needs each reply by itself" in reasons[0]
    assert "masked" in reasons[1]
    assert "needs 3 organizations in a round" in reasons[2]


@pytest.mark.parametrize(
    ("key", "value"), [("secure_threshold", 0.5), ("secure_neighbours", 7), ("secure_range", 0.0), ("secure_sum", 1)]
)
def test_keys_out_of_their_bounds_are_refused(key, value):
    with pytest.raises(UserError, match=f"privacy.{key}"):
        configured({}, **{f"privacy.{key}": value})


def test_numbers_beyond_the_range_are_cut_and_told(settings):
    watched = WatchedRun(configured(settings | ON | {"privacy.secure_range": 1e-6, "federation.rounds": 1})).go()
    (summed,) = watched.told(ev.SecureSummed)
    assert 0 < summed.outside <= 3 * 1024
    (warned,) = watched.told(ev.Warned)
    assert warned.message == (
        f"round 1: {summed.outside:,} of 3,072 numbers of the updates were beyond 1e-06 and cut to it "
        "(privacy.secure_range)"
    )
