"""The process of a SuperNode: Flower's own, which tells how its link stands, runs no app but ours and keeps that warm
(`prompt_node.py`), and ends with who started it.

`python -m fedlora_tui.federation.supernode DESCRIPTOR ...`: the dots are what flower-supernode takes. A line of JSON
for each change of the link goes to the descriptor; when stdin ends, so does everything that was started here.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli.flower_supernode import flower_supernode

from fedlora_tui.errors import one_line
from fedlora_tui.federation.asking import LET_IN, refusal_of_key
from fedlora_tui.federation.bundle import is_ours
from fedlora_tui.federation.prompt_node import make_prompt
from fedlora_tui.protocol.printable import printable

HOLDS_FOR_FLOWER = "1.41"
"""The private touches below (`_only_our_app`, `_tell_heartbeats`, `_LINK`) were checked against this release."""

CONNECTING, UP, DOWN, ENDED, HELD = "connecting", "up", "down", "ended", "held"
"""What is told of the link; held: it ended, for a node with this key is connected already."""

GRACE_SECONDS = 8.0

_LINK: Mapping[str, str] = {
    "SuperNode ID: %s": UP,
    "Connection successful after %.2f seconds and %s tries.": UP,
    "Connection attempt failed, retrying in %.2f seconds": DOWN,
}
"""Flower's own lines, before anything is put in, that say how the link stands."""

NOT_ACTIVATED = "Failed to activate SuperNode"
"""What Flower answers to a key that it does not know, and to one whose node is connected already, alike."""
_WHY = "Connection attempt failed with exception: %s"


class Link(logging.Handler):
    """Tells the changes of the link, as Flower's log lines and heartbeats have them."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(logging.DEBUG)
        self._descriptor = descriptor
        self._told = ""
        self._why = ""
        self._telling = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell what a line of Flower's log says of the link."""
        if record.msg == _WHY:
            self._why = _line(record.args)
        elif (state := _LINK.get(str(record.msg))) is not None:
            self.tell(state, self._why if state == DOWN else "")
        elif str(record.msg).startswith("Exit Code:"):
            line = _line((record.msg,))
            self.tell(HELD if NOT_ACTIVATED in line and _is_let_in(sys.argv[1:]) else ENDED, line)

    def tell(self, state: str, note: str = "") -> None:
        """Tell how the link stands, where that is new."""
        with self._telling:
            if state != self._told:
                self._told = state
                line = json.dumps({"state": state, "note": note}) + "\n"
                try:
                    os.write(self._descriptor, line.encode())
                except OSError:
                    # Whoever listened is gone, and stdin says so in a moment.
                    self._told = state


def _is_let_in(options: Sequence[str]) -> bool:
    """Ask the SuperLink whether it knows the key that flower-supernode was given; False where it does not say."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--superlink", "--root-certificates", "--auth-supernode-private-key"):
        own.add_argument(name)
    given, _ = own.parse_known_args(list(options))
    try:
        authority = Path(given.root_certificates).read_bytes() if given.root_certificates else b""
        private = Path(given.auth_supernode_private_key).read_bytes()
        return refusal_of_key(given.superlink, authority, private) == LET_IN
    except Exception:  # whatever goes wrong with asking, what Flower said stands
        return False


def _line(words: object) -> str:
    parts = words if isinstance(words, tuple) else (words,)
    line = one_line(" ".join(str(part) for part in parts), None)[:400]
    # A server's answer may be quoted in it, and a terminal would do what stands there.
    return printable(line)


def main() -> None:
    """Be a SuperNode until Flower, a signal or the end of stdin says otherwise."""
    descriptor = int(sys.argv.pop(1))
    os.set_inheritable(descriptor, False)
    link = Link(descriptor)
    _log(link)
    _end_with_stdin()
    _only_our_app(is_ours)
    _tell_heartbeats(link)
    make_prompt()
    link.tell(CONNECTING)
    try:
        flower_supernode()
        why = "Flower's SuperNode came to its end by itself"
    except Exception as error:
        logging.getLogger("flwr").exception("the SuperNode broke")
        why = f"{type(error).__name__}: {error}"
    link.tell(ENDED, _line(why))
    # Flower's own server is a thread that would keep the process for ever.
    os._exit(1)


def _log(link: Link) -> None:
    """Write Flower's log on stderr, and what it says in passing of the link to who listens."""
    written = logging.StreamHandler()
    written.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    written.setLevel(logging.INFO)
    written.addFilter(lambda record: bool(record.getMessage().strip()))
    flower = logging.getLogger("flwr")
    flower.setLevel(logging.DEBUG)
    flower.propagate = False
    for handler in (written, link):
        flower.addHandler(handler)


def _end_with_stdin() -> None:
    """End this process and all that it started when stdin ends: whoever started it is gone, however it ended."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.killpg(0, signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="end with stdin", daemon=True).start()


def _only_our_app(ours: Callable[[bytes], bool]) -> None:
    """Let Flower refuse every bundle that is not ours, by its own way to refuse what nobody vouches for.

    What a SuperLink sends would else be run here, beside an organization's text.
    """
    flower: Any = start_client_internal
    pull = flower._pull_and_store_message

    def pulled(**named: Any) -> int | None:
        get = named["get_fab"]

        def vouched(digest: str, run: int) -> Any:
            fab = get(digest, run)
            fab.verifications["valid_license"] = "judged by its content"
            return fab

        run: int | None = pull(**{**named, "get_fab": vouched, "trusted_entities": {"fedlora-tui": "by its content"}})
        return run

    flower._pull_and_store_message = pulled
    flower._verify_fab = lambda fab, entities: ours(fab.content)


def _tell_heartbeats(link: Link) -> None:
    """Tell of heartbeats that are not answered: while an app works Flower asks its SuperLink for nothing else."""
    flower: Any = fleet_http_connection
    sender = flower.HeartbeatSender

    def telling(beat: Callable[[], bool]) -> Any:
        def told() -> bool:
            try:
                answered = beat()
            except RuntimeError:
                link.tell(DOWN, "the SuperLink does not know this SuperNode any more")
                raise
            link.tell(UP if answered else DOWN, "" if answered else "the SuperLink answers no heartbeat")
            return answered

        return sender(told)

    flower.HeartbeatSender = telling


if __name__ == "__main__":
    main()
