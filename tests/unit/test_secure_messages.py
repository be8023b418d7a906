"""What may travel for a secure sum: exact names and lengths; and an organization that is asked once more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict

from fedlora_tui.federation import secure_messages as wire
from fedlora_tui.federation import secure_organization
from fedlora_tui.federation.local_grid import _identify
from fedlora_tui.federation.messages import CONFIG, METRICS, SECURE, Refused, arrays_weight
from fedlora_tui.lora.adapter import Adapter, Factors
from fedlora_tui.lora.cohort import LocalTraining, Trained
from fedlora_tui.privacy.secure_sum.fixed_point import Fixed
from fedlora_tui.privacy.secure_sum.keys import PublicKeys, Session
from fedlora_tui.privacy.secure_sum.member import BOX_BYTES, Member
from fedlora_tui.privacy.secure_sum.server import Request, Unmasking

SESSION = Session(4, bytes(range(16)))
FIXED = Fixed(3, 64, 1.0)
LENGTH = 6


def message(content, kind=MessageType.QUERY):
    _identify()
    return Message(content, 2, kind, group_id="4")


def masked():
    """A good masked reply."""
    asked = message(RecordDict(), MessageType.TRAIN)
    return wire.masked_reply(asked, np.arange(LENGTH).astype(FIXED.kind), 1.5, 20, 2)


def test_what_is_written_is_read_as_it_was():
    member = Member(SESSION)
    asked = message(wire.advertise_content(SESSION))
    assert wire.read_stage(asked) == (wire.ADVERTISE, SESSION)
    assert wire.read_keys(wire.advertise_reply(asked, SESSION, member.public), SESSION) == member.public
    peers = {place: Member(SESSION).public for place in (3, 4)}
    for unusable in (PublicKeys(bytes(32), member.public.masking), PublicKeys(member.public.channel, bytes(32))):
        with pytest.raises(Refused, match="a public key that nothing can be agreed with"):
            wire.read_keys(wire.advertise_reply(asked, SESSION, unusable), SESSION)
    request = Request(2, 3, peers)
    asked = message(wire.share_content(SESSION, request))
    assert wire.read_stage(asked)[0] == wire.SHARE
    assert wire.read_request(asked) == request
    shared = member.share(2, 3, peers)
    assert wire.read_shared(wire.share_reply(asked, SESSION, shared), SESSION, 2) == shared
    unmasking = Unmasking(frozenset({2, 3}), frozenset({4}))
    asked = message(wire.unmask_content(SESSION, unmasking))
    assert wire.read_unmasking(asked) == unmasking
    shares = {place: bytes([place]) * 33 for place in (2, 3, 4)}
    reply = wire.unmask_reply(asked, SESSION, shares)
    assert wire.read_shares(reply, SESSION, unmasking) == shares
    assert arrays_weight(reply) == 3 * 33 + 16 + 3 * 8
    hidden = RecordDict({SECURE: wire.hidden_record(SESSION, FIXED, shared.boxes)})
    assert wire.read_hidden(hidden) == wire.Hidden(SESSION, FIXED, shared.boxes)
    read = wire.read_masked_reply(masked(), LENGTH, FIXED)
    assert (read.words.tolist(), read.loss, read.tokens, read.steps) == (list(range(LENGTH)), 1.5, 20, 2)


BAD_HIDDEN = [
    ({"nonce": b"short"}, "nonce is not 16 bytes"),
    ({"server-round": -1}, "server-round is not a whole number from 0"),
    ({"server-round": True}, "server-round is not a whole number"),
    ({"places": [3, 3]}, "places has a place twice, or out of order"),
    ({"places": [4, 3]}, "places has a place twice, or out of order"),
    ({"places": ["a diary", "more"]}, "places is no list of places"),
    ({"places": 3}, "places is no list of places"),
    ({"boxes": bytes(2 * BOX_BYTES + 1)}, f"boxes is not {2 * BOX_BYTES} bytes"),
    ({"boxes": "text"}, f"boxes is not {2 * BOX_BYTES} bytes"),
    ({"range": 0.0}, "range is not a number above 0"),
    ({"range": float("nan")}, "range is not a number above 0"),
    ({"unit": 2**60}, "unit is not a whole number from 1 to"),
    ({"diary": "text"}, "secure-sum holds organizations, unit, range, places, boxes; this one has others"),
]


@pytest.mark.parametrize(("change", "reason"), BAD_HIDDEN)
def test_an_organization_refuses_what_a_sum_has_no_place_for(change, reason):
    record = wire.hidden_record(SESSION, FIXED, {3: bytes(BOX_BYTES), 4: bytes(BOX_BYTES)})
    for name, value in change.items():
        record[name] = value
    with pytest.raises(Refused, match=reason):
        wire.read_hidden(RecordDict({SECURE: record}))


def test_queries_are_stages_of_a_sum_and_nothing_else():
    good = wire.advertise_content(SESSION)
    for content, reason in (
        (RecordDict({**good, CONFIG: ConfigRecord()}), "a stage of a secure sum and nothing else"),
        (RecordDict({SECURE: ConfigRecord({**good[SECURE], "stage": 4})}), "stage is not a whole number from 1 to 3"),
        (RecordDict({SECURE: ConfigRecord({**good[SECURE], "place": 1})}), "this one has others"),
        (RecordDict({SECURE: MetricRecord({"stage": 1})}), "the message has no secure-sum"),
    ):
        with pytest.raises(Refused, match=reason):
            wire.read_stage(message(content))


def test_the_server_refuses_replies_of_other_lengths_places_and_sessions():
    asked = message(wire.advertise_content(SESSION))
    other = Session(5, SESSION.nonce)
    keys = PublicKeys(bytes(32), bytes(32))
    with pytest.raises(Refused, match="another stage or session"):
        wire.read_keys(wire.advertise_reply(asked, other, keys), SESSION)
    with pytest.raises(Refused, match="keys is not 64 bytes"):
        wire.read_keys(wire.advertise_reply(asked, SESSION, PublicKeys(b"", bytes(32))), SESSION)
    shared = Member(SESSION).share(2, 3, {place: Member(SESSION).public for place in (3, 4)})
    with pytest.raises(Refused, match="an organization that has another place"):
        wire.read_shared(wire.share_reply(asked, SESSION, shared), SESSION, 3)
    with pytest.raises(Refused, match="others than those that were asked for"):
        wire.read_shares(
            wire.unmask_reply(asked, SESSION, {2: bytes(33)}), SESSION, Unmasking(frozenset({3}), frozenset())
        )


def test_a_masked_vector_is_its_words_and_nothing_more():
    def changed(change):
        reply = masked()
        change(reply.content)
        return reply

    def array(content, **values):
        own = content[wire.MASKED][wire.MASKED]
        held = {"dtype": own.dtype, "shape": own.shape, "stype": own.stype, "data": own.data} | values
        content[wire.MASKED] = ArrayRecord({wire.MASKED: Array(**held)})

    plain = np.zeros(LENGTH, np.float32)
    for change, reason in (
        (lambda c: array(c, dtype="float32"), r"the masked vector is not uint32 \[6\]"),
        (lambda c: array(c, shape=(LENGTH + 1,)), r"is not uint32 \[6\]"),
        (lambda c: array(c, data=c[wire.MASKED][wire.MASKED].data + b"more"), "something else than its words"),
        (lambda c: array(c, data=Array(plain).data), "something else than its words"),
        (lambda c: c.__setitem__("diary", ConfigRecord()), "a reply holds"),
        (lambda c: c[METRICS].__setitem__("num-examples", 5), "numbers are loss, tokens, steps"),
        (lambda c: c.__setitem__(wire.MASKED, ArrayRecord({"a": Array(plain)})), "holds one array"),
    ):
        with pytest.raises(Refused, match=reason):
            wire.read_masked_reply(changed(change), LENGTH, FIXED)


def test_what_an_organization_was_given_counts_once_its_reply_is_made():
    """Where a pass runs out of memory the same train message comes again: it was not answered."""
    members = {place: Member(SESSION) for place in (2, 3, 4)}
    shown = {place: own.public for place, own in members.items()}
    shared = {
        place: own.share(place, 3, {peer: key for peer, key in shown.items() if peer != place})
        for place, own in members.items()
    }
    context = Context(1, 2, {}, RecordDict(), {})
    secure_organization._keep(context, members[2])
    record = wire.hidden_record(SESSION, FIXED, {peer: shared[peer].boxes[2] for peer in (3, 4)})
    content = RecordDict({CONFIG: ConfigRecord({"server-round": 4}), SECURE: record})
    asked = message(content, MessageType.TRAIN)
    first = secure_organization.begin_hiding(asked, context, only=True)
    again = secure_organization.begin_hiding(asked, context, only=True)
    assert first is not None
    assert again is not None
    again.member.mask(np.zeros(LENGTH, FIXED.kind))
    secure_organization._keep(context, again.member)
    before = dict(context.state[SECURE])
    a = torch.tensor([[0.5, 0.25]])
    began = Adapter({"m": Factors(a, torch.zeros(2, 1))}, 1, 1.0)
    spoilt = Adapter({"m": Factors(a, torch.tensor([[0.0], [torch.nan]]))}, 1, 1.0)
    plan = LocalTraining(4, 7, 1, 0, 1, 1e-3, 0.0, 0.0, 0.0)
    with pytest.raises(Refused, match="nan or infinity in the update"):
        secure_organization.hidden_reply(asked, context, first, began, Trained("a", spoilt, 1.0, 9, 1), 9, plan)
    assert dict(context.state[SECURE]) == before
    with pytest.raises(Refused, match="out of turn: this organization has masked in round 4"):
        secure_organization.begin_hiding(asked, context, only=True)
