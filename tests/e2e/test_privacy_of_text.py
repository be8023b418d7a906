"""Nothing that an organization wrote leaves it: not in an event, a message, a checkpoint, a log or an export.

Looked for are planted words, any five consecutive words of any organization's text, and any run of eight of its token
ids, as bytes of several number formats or written out.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest

from fedlora_tui.config import ModelConfig
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.lora.base_model import load as load_base
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings, tiny_base

from flwr.common.serde import message_to_proto  # isort: skip

PLANTED = ("Zwybrecht", "quolfinamide", "Überlingsdorf", "kx7-44-91")
FORMATS = ("<i4", "<i8", "<u2", "<f4", "<f8")
NAMES = ("north", "south", "west")


def private_text(name: str) -> list[str]:
    """Documents whose words no model, tokenizer or program text has."""
    rng = random.Random(name)
    syllables = ["vor", "lin", "mak", "tee", "sul", "bra", "nid", "ghe", "pol", "rux", "yam", "dof"]
    coined = ["".join(rng.choices(syllables, k=2)) for _ in range(60)]
    documents = []
    for number in range(30):
        words = rng.choices(coined, k=20)
        words[rng.randrange(20)] = PLANTED[number % len(PLANTED)]
        documents.append(" ".join(words))
    return documents


class Secrets:
    """Everything that must not be found, and the search for it."""

    def __init__(self, texts: dict[str, list[str]], tokenizer) -> None:
        self.words, self.ids = set(), set()
        for text in (text for documents in texts.values() for text in documents):
            self.words |= set(runs(words_of(text), 5))
            self.ids |= set(runs(tokenizer(text, add_special_tokens=False)["input_ids"], 8))
        self.highest = max(max(ids) for ids in self.ids)

    def found_in(self, data: bytes) -> str | None:
        """What of the organizations' text these bytes hold, None where nothing."""
        text = data.decode("utf-8", "replace")
        for word in PLANTED:
            if word.casefold() in text.casefold() or word.encode("utf-16-le") in data or word.encode("latin-1") in data:
                return f"the planted {word}"
        if self.words & set(runs(words_of(text), 5)):
            return "five consecutive words"
        written = re.findall(r"\d+", text)
        if self.ids & set(runs([int(number) for number in written if len(number) < 9], 8)):
            return "eight token ids, written out"
        return next((f"eight token ids as {kind}" for kind in FORMATS if self._holds_ids(data, kind)), None)

    def _holds_ids(self, data: bytes, kind: str) -> bool:
        size = np.dtype(kind).itemsize
        for start in range(size):
            with np.errstate(invalid="ignore"):
                numbers = np.frombuffer(data[start : len(data) - (len(data) - start) % size], kind)
            if len(numbers) < 8:
                continue
            plausible = (numbers >= 0) & (numbers <= self.highest) & (numbers == np.floor(numbers))
            for at in np.flatnonzero(np.convolve(plausible, np.ones(8, int), "valid") == 8):
                if tuple(int(number) for number in numbers[at : at + 8]) in self.ids:
                    return True
        return False


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def runs(items: list, length: int):
    return zip(*(items[start:] for start in range(length)), strict=False)


PROTECTED = {"privacy.mechanism": "gaussian", "privacy.noise": "organizations", "privacy.clip": "module"}
# The noise is drawn anew each time, and may make the base worse: no round is waited with for that.
PROTECTED |= {"federation.divergence_margin": 0.0}
WAYS = {"plain": {}, "protected": PROTECTED, "summed unseen": {"privacy.secure_sum": "true"}}


@pytest.fixture(scope="module", params=WAYS)
def leavings(request, tmp_path_factory):
    """A whole run with joins, a refusal and exports: all that it left on disk, said and sent."""
    home = tmp_path_factory.mktemp("privacy")
    settings = small_settings(home) | WAYS[request.param]
    folder = home / "private"
    folder.mkdir()
    texts = {name: private_text(name) for name in (*NAMES, "zone")}
    # One document alone is too little to join with.
    texts["zz-tiny"] = [f"{PLANTED[0]} {PLANTED[1]} vorlin maktee sulbra nidghe " + " ".join(["polrux yamdof"] * 6)]
    for name, documents in texts.items():
        (folder / f"{name}.txt").write_text("\n\n".join(documents), encoding="utf-8")
    config = configured(settings, data__path=folder, federation__organizations=3, federation__rounds=3)

    messages = []
    original = LocalGrid.send_and_receive

    # Both ways, every message of the run: training, measuring, the base alone, errors.
    def spying(self, sent, *, timeout=None):
        sent = list(sent)
        replies = list(original(self, sent, timeout=timeout))
        messages.extend([*sent, *replies])
        return replies

    LocalGrid.send_and_receive = spying
    try:
        watched = WatchedRun(config)

        def steer():
            watched.run.send(ask.AddOrganization("zz-tiny"))
            watched.run.send(ask.AddOrganization("zone"))

        watched.when(lambda event: isinstance(event, ev.TrainStep), steer)
        watched.go()
    finally:
        LocalGrid.send_and_receive = original
    assert watched.run.state.phase == "done", watched.run.refusal or watched.run.state.reason
    assert any("zz-tiny cannot join" in event.message for event in watched.told(ev.Warned))
    for merged in (False, True):
        watched.run.send(ask.Export(merged=merged))
        watched.wait_for(lambda event, merged=merged: isinstance(event, ev.AdapterExported) and event.merged is merged)
    base = load_base(ModelConfig(base=str(tiny_base()), device="cpu", max_length=24), config.lora)
    return watched, messages, Secrets(texts, base.tokenizer), texts, base.tokenizer


def test_nothing_on_disk_holds_text_or_tokens(leavings):
    watched, _, secrets, _, _ = leavings
    files = [file for file in watched.folder.rglob("*") if file.is_file()]
    kinds = {file.name for file in files}
    assert {"events.jsonl", "engine.log", "config.toml", "adapter.safetensors", "state.json", "README.md"} <= kinds
    assert {"adapter_model.safetensors", "model.safetensors"} <= kinds
    for file in files:
        assert secrets.found_in(file.read_bytes()) is None, file


def test_no_event_holds_text_or_tokens(leavings):
    watched, _, secrets, _, _ = leavings
    assert len(watched.records) > 50
    assert secrets.found_in("\n".join(repr(record) for record in watched.records).encode()) is None


def test_no_message_holds_text_or_tokens(leavings):
    _, messages, secrets, _, _ = leavings
    assert len(messages) > 40
    brought = 0
    for message in messages:
        assert secrets.found_in(message_to_proto(message).SerializeToString()) is None
        assert secrets.found_in(repr(message).encode()) is None
        for record in message.content.array_records.values():
            for array in record.values():
                brought += 1
                assert secrets.found_in(array.data) is None
    assert brought > 40


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_the_search_finds_token_ids_in_bytes(leavings, kind, shift):
    """Or the tests above could not fail."""
    _, _, secrets, texts, tokenizer = leavings
    ids = tokenizer(texts["south"][4], add_special_tokens=False)["input_ids"][3:11]
    noise = np.random.default_rng(1).standard_normal(500).astype("<f4").tobytes()
    assert secrets.found_in(noise) is None
    assert secrets.found_in(noise[: 40 + shift] + np.array(ids).astype(kind).tobytes() + noise) is not None


def test_the_search_finds_words_and_ids_that_are_written_out(leavings):
    _, _, secrets, texts, tokenizer = leavings
    some = " ".join(texts["west"][7].split()[2:7])
    ids = tokenizer(texts["south"][4], add_special_tokens=False)["input_ids"][3:11]
    for leak in (f'{{"reason":"bad: {some.upper()}"}}', "... quolfinamide ...", str(ids), ",".join(map(str, ids))):
        assert secrets.found_in(leak.encode()) is not None
    assert secrets.found_in(PLANTED[0].encode("utf-16-le")) is not None
    assert secrets.found_in(b"an ordinary line of a log, and its numbers 1, 2, 3, 4, 5, 6, 7, 8, 9") is None


def test_the_folder_of_texts_is_left_as_it_was(leavings):
    watched, _, _, texts, _ = leavings
    folder = Path(watched.run.config.data.path)
    for name in NAMES:
        assert (folder / f"{name}.txt").read_text(encoding="utf-8") == "\n\n".join(texts[name])
    assert len(list(folder.iterdir())) == len(texts)
