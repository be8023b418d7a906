"""Who of those that introduced themselves may take part: same version, same base, and a name that is the key's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flwr.app import Message

from fedlora_tui import __version__
from fedlora_tui.federation.client_app import UNFIT
from fedlora_tui.federation.door import fingerprint
from fedlora_tui.federation.introduction import Introduction, read_introduction, version_said
from fedlora_tui.federation.messages import Refused
from fedlora_tui.protocol.events import NodeRefused, Warned

NOT_SET_UP = "it is not set up for this run, and its own log says what is missing"


class Admission:
    """Judges introductions by a run's base, and by whose each key is, as far as that is known."""

    def __init__(self, base: str, owners: Callable[[], Mapping[bytes, str]] = dict) -> None:
        """`base` is the fingerprint of the run's base; `owners` gives the organization of each public key (PEM)."""
        self._base, self._read_owners = base, owners
        self._owners: dict[bytes, str] = {}

    def judged(self, reply: Message, key: bytes) -> Introduction | Warned | NodeRefused:
        """Give who a node is that takes part, and of any other what is to be told; `key` is the node's (PEM)."""
        try:
            introduction = _read(reply)
            self._check(introduction, key)
        except Refused as refused:
            if reply.has_error():
                reason = NOT_SET_UP if str(refused).endswith(UNFIT) else refused
                return Warned(f"a SuperNode cannot take part: {reason}")
            return NodeRefused(str(refused), "", fingerprint(key), 1)
        return introduction

    def _check(self, introduction: Introduction, key: bytes) -> None:
        name = introduction.organization
        if introduction.version != __version__:
            raise Refused(f"{name} {_other_version(introduction.version)}")
        # Whose a key was stays known while its file is being copied: who is let in at all the SuperLink decides.
        self._owners |= self._read_owners()
        owner = self._owners.get(key)
        if owner is not None and owner != name:
            raise Refused(f"its key is {owner}'s, and it calls itself {name}: start it with --name {owner}")
        if owner is None and name in self._owners.values():
            raise Refused(f"it calls itself {name}, and its key is not {name}'s")
        if introduction.base != self._base:
            raise Refused(f"{name} has another base model than this run (model.base): give it the same files")


def _read(reply: Message) -> Introduction:
    """Read an introduction; of one in another form, what version it is of. Raises Refused."""
    try:
        return read_introduction(reply)
    except Refused:
        version = version_said(reply)
        if version not in ("", __version__):
            raise Refused(f"it {_other_version(version)}") from None
        raise


def _other_version(version: str) -> str:
    return f"has fedlora-tui {version}, this run {__version__}: install the same"
