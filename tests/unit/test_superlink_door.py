"""The SuperLink's door: who may ask what from where, who is refused, and how that is counted."""

import base64
import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedlora_tui.federation import door, refusals
from fedlora_tui.federation.door import Door
from fedlora_tui.federation.refusals import DIFFERENT, OTHERS, Refusal, Refusals

KEY = public_key_to_bytes(ec.generate_private_key(ec.SECP384R1()).public_key())
VERSIONS = {"flwr-package-name": "flwr", "flwr-package-version": "1.41.7", "flwr-component-name": "SuperNode"}


class Flower:
    """What stands behind the door: keeps what it was asked and answers with one status and body."""

    def __init__(self, status: int = 200, code: int = 0) -> None:
        self.asked: list[str] = []
        self.status = status
        self.body = json.dumps({"code": code, "detail": "words"}).encode()

    async def __call__(self, scope, receive, send) -> None:
        self.asked.append(scope["path"])
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.body})


async def _ask(flower, path, peer="192.0.2.9", headers=VERSIONS, counted=None, here="192.0.2.1", opened=True):
    """Ask through the door; give the status, the body and the answer's headers."""
    sent: list[dict] = []

    async def send(message) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "headers": pairs, "client": (peer, 5000), "server": (here, 8000)}
    open_now = threading.Event()
    if opened:
        open_now.set()
    await Door(flower, counted or Refusals(None), open_now)(scope, None, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]), dict(sent[0]["headers"])


ORDERS = [
    "/v1/control/register-node",
    "/v1/control/start-run",
    "/v1/runtime/acquire-task",
    "/v1/responses",
    "/docs",
    "/",
]


@pytest.mark.parametrize("path", [*ORDERS, "/v1/fleets/x", "//v1/fleet/x"])
async def test_orders_are_taken_from_this_machine_alone(path, tmp_path):
    flower, counted = Flower(), Refusals(tmp_path / "refused.json")
    status, body, _ = await _ask(flower, path, counted=counted)
    assert (status, flower.asked) == (403, [])
    assert door.NOT_FROM_HERE in json.loads(body)["detail"]
    assert [(entry.reason, entry.address) for entry in refusals.read(tmp_path / "refused.json")] == [
        (door.NOT_FROM_HERE, "192.0.2.9")
    ]
    for peer in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "192.0.2.1"):
        assert (await _ask(flower, path, peer=peer))[0] == 200


async def test_nodes_come_in_from_everywhere_and_learn_the_versions():
    flower = Flower()
    status, _, headers = await _ask(flower, "/v1/fleet/pull-messages")
    assert (status, flower.asked) == (200, ["/v1/fleet/pull-messages"])
    assert headers[b"x-flwr-version"].startswith(b"1.41")
    assert (await _ask(flower, "/health", headers={}))[0] == 200


async def test_nodes_are_told_to_wait_until_it_is_known_who_is_let_in(tmp_path):
    flower, counted = Flower(), Refusals(tmp_path / "refused.json")
    status, _, _ = await _ask(flower, "/v1/fleet/activate-node", counted=counted, opened=False)
    # Flower's SuperNode asks again after 503, and ends after whatever else is no success.
    assert (status, flower.asked, refusals.read(tmp_path / "refused.json")) == (503, [], [])
    assert (await _ask(flower, "/v1/control/list-nodes", peer="127.0.0.1", opened=False))[0] == 200


@pytest.mark.parametrize(
    ("headers", "version"), [(VERSIONS | {"flwr-package-version": "1.42.0"}, "1.42.0"), ({}, "unknown")]
)
async def test_a_node_with_another_flower_is_refused_in_flowers_own_words(headers, version, tmp_path):
    flower, counted = Flower(), Refusals(tmp_path / "refused.json")
    status, body, _ = await _ask(flower, "/v1/fleet/activate-node", headers=headers, counted=counted)
    assert (status, flower.asked) == (412, [])
    assert FlowerError.from_json(body.decode()).code == ApiErrorCode.RUNTIME_VERSION_INCOMPATIBLE
    [entry] = refusals.read(tmp_path / "refused.json")
    assert entry.reason.startswith(f"it has Flower {version}, the SuperLink 1.41")


def _signed(minutes: float) -> dict[str, str]:
    stamp = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
    return VERSIONS | {"flwr-public-key": base64.b64encode(KEY).decode(), "flwr-timestamp": stamp}


@pytest.mark.parametrize(
    ("status", "code", "minutes", "reason"),
    [
        (412, 2004, 0, door.NOT_REGISTERED),
        (412, 2001, 0, door.NO_KEY),
        (401, 0, 0, door.WRONG_KEY),
        (401, 0, 60, door.WRONG_CLOCK),
        (403, 2007, 0, None),
        (412, 9, 0, None),
        (500, 0, 0, None),
    ],
)
async def test_what_flower_refuses_is_counted_by_its_reason_and_key(status, code, minutes, reason, tmp_path):
    counted = Refusals(tmp_path / "refused.json")
    for _ in range(3):
        answer = await _ask(Flower(status, code), "/v1/fleet/activate-node", headers=_signed(minutes), counted=counted)
        assert answer[0] == status
    counted.write(at_once=True)
    entries = refusals.read(tmp_path / "refused.json")
    expected = [(reason, "192.0.2.9", door.fingerprint(KEY), 3)] if reason else []
    assert [(entry.reason, entry.address, entry.key, entry.times) for entry in entries] == expected


def test_a_fingerprint_is_that_of_ssh():
    line = load_pem_public_key(KEY).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    assert door.fingerprint(KEY) == "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    assert door.fingerprint(b"whatever a stranger sends") == ""


def test_refusals_outlive_the_process_are_written_once_a_second_and_are_bounded(tmp_path):
    file, now = tmp_path / "refused.json", [100.0]
    counted = Refusals(file, clock=lambda: now[0])
    assert counted.count("unknown", "192.0.2.9") is True
    assert counted.count("unknown", "192.0.2.9") is False
    assert [entry.times for entry in refusals.read(file)] == [1]
    now[0] += 1.5
    counted.write()
    assert refusals.read(file) == [Refusal("unknown", "192.0.2.9", "", 2, 100.0, 100.0)]
    again = Refusals(file, clock=lambda: now[0])
    again.count("unknown", "192.0.2.9")
    again.write(at_once=True)
    assert [(entry.times, entry.first, entry.last) for entry in refusals.read(file)] == [(3, 100.0, 101.5)]
    for number in range(DIFFERENT + 5):
        again.count("unknown", f"198.51.100.{number}")
    again.write(at_once=True)
    entries = refusals.read(file)
    assert len(entries) == DIFFERENT + 1
    assert entries[-1].reason == OTHERS
    assert sum(entry.times for entry in entries) == 3 + DIFFERENT + 5


async def test_the_servers_own_start_goes_through_and_what_is_no_request_ends_at_the_door():
    through: list[str] = []

    async def flower(scope, receive, send) -> None:
        through.append(scope["type"])

    stands = Door(flower, Refusals(None), threading.Event())
    for kind in ("lifespan", "websocket"):
        await stands({"type": kind, "path": "/v1/control/start-run"}, None, None)
    assert through == ["lifespan"]


def test_what_is_new_between_two_readings_is_counted_alone():
    before = [Refusal("unknown", "a", times=2), Refusal("clock", "b", times=1)]
    now = [Refusal("unknown", "a", times=5), Refusal("clock", "b", times=1), Refusal("clock", "c", times=1)]
    grown = refusals.since(before, now)
    assert [(entry.reason, entry.address, entry.times) for entry in grown] == [("unknown", "a", 3), ("clock", "c", 1)]
    assert refusals.since([], []) == []
