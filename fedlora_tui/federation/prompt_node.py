"""A SuperNode that loses little time between a message and its answer: how often it asks, and where its app lives.

Flower's asks its SuperLink every 3 s whether a message is there, looks every 0.5 s for the app's reply, and starts a
process for each message. Here it rests a twentieth of the time for which nothing has come, and at least as long as its
SuperLink took to say so: whoever waits long asks seldom, and nodes that are many for a SuperLink ask it less. The app
lives in one process (`app_server.py`), which is started again should it end.

`python -m fedlora_tui.federation.prompt_node ...`: the dots are what flower-supernode takes.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from flwr.supercore import heartbeat
from flwr.supercore.run import RunNotRunningException
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli.flower_supernode import flower_supernode

from fedlora_tui.federation.pulling import pull_soon

HOLDS_FOR_FLOWER = "1.41"
"""What is put in place of `time`, `subprocess`, `_pull_and_store_message` and `_push_messages` in
`start_client_internal` below, and of two modules' `HEARTBEAT_DEFAULT_INTERVAL`, was checked against this release."""

APP = "fedlora_tui.node.client_app:app"
SERVER = "fedlora_tui.federation.app_server"

ASKING_SECONDS = 3
"""Flower's rest between two questions to a SuperLink that has no message: by this number it is known."""

SHORTEST, LONGEST, REPLY_SECONDS = 0.1, 3.0, 0.05
SHARE_OF_SILENCE = 0.05

HEARTBEAT_SECONDS = 15
"""How often at least a SuperNode shows itself (Flower's own: every 30 s); after two missing signs it is gone."""

FIRST_AGAIN, LAST_AGAIN, LIVED = 1.0, 60.0, 30.0
"""How long an app's process that ended is not started again, twice as long each time that it did not live so long."""

logger = logging.getLogger(__name__)


class Pace:
    """Knows how long a SuperNode rests before it asks for the next message."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._since = clock()
        self._took = 0.0

    def asked(self, pull: Callable[..., int | None]) -> Callable[..., int | None]:
        """Give a way to ask that notes how long the answer took, and when a message last came."""

        def pulled(*given: Any, **named: Any) -> int | None:
            began = self._clock()
            run = pull(*given, **named)
            self._took = self._clock() - began
            if run is not None:
                self._since = self._clock()
            return run

        return pulled

    def sleep(self, seconds: float) -> None:
        """Rest for as long as the node may, in place of so many seconds of Flower's."""
        self._sleep(self.rest() if seconds >= ASKING_SECONDS else min(seconds, REPLY_SECONDS))

    def rest(self) -> float:
        """Give how long it rests before it asks again."""
        silence = self._clock() - self._since
        return min(LONGEST, max(SHORTEST, SHARE_OF_SILENCE * silence, self._took))


def cleared_away(pull: Callable[..., int | None]) -> Callable[..., int | None]:
    """Give a way to take a message in that clears away one whose run ends while it is on its way.

    Flower clears away what does not come whole, but for this: what it raises then is no Exception. The app would wait
    for the rest, which nobody sends, for more than an hour, and answer nothing else.
    """

    def ended(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any) -> Any:
            try:
                return call(*given)
            except RunNotRunningException:
                raise RuntimeError("its run is over") from None

        return called

    def pulled(**named: Any) -> int | None:
        return pull(**named | {name: ended(named[name]) for name in ("pull_object", "confirm_message_received")})

    return pulled


class Answering:
    """Sees to it that the message which was taken in last is answered before the next is asked for.

    Flower sends whatever replies lie there, and takes its message for answered. An app may have answered one that was
    cleared away: the reply that is waited for would then stay behind until another message comes.
    """

    def __init__(self) -> None:
        self._taken = ""

    def taking(self, pull: Callable[..., int | None]) -> Callable[..., int | None]:
        """Give a way to take a message in that notes which one came."""

        def pulled(**named: Any) -> int | None:
            def received() -> Any:
                came = named["receive"]()
                self._taken = "" if came is None else came[0].metadata.message_id
                return came

            return pull(**named | {"receive": received})

        return pulled

    def sending(self, push: Callable[..., None]) -> Callable[..., None]:
        """Give a way to send replies, once that to the message which was taken in is among them."""

        def pushed(**named: Any) -> None:
            push(**named | {"state": _Replies(named["state"], self._taken)})

        return pushed


class _Replies:
    """A SuperNode's state, in which no replies lie before that to one message is among them."""

    def __init__(self, state: Any, message: str) -> None:
        self._state, self._message = state, message
        self._lying: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def get_messages_legacy(self, **asked: Any) -> list[Any]:
        """Give the replies that lie there, each of which Flower's state gives once."""
        self._lying += self._state.get_messages_legacy(**asked)
        there = any(reply.metadata.reply_to_message_id == self._message for reply in self._lying)
        return self._lying if there else []


def make_prompt(app: str = APP, pace: Pace | None = None, start: Callable[[Sequence[str]], Any] | None = None) -> None:
    """Let the SuperNode of this process be prompt; `app` is where its app is found, as MODULE:NAME."""
    pull_soon()
    for module in (fleet_http_connection, heartbeat):
        vars(module)["HEARTBEAT_DEFAULT_INTERVAL"] = HEARTBEAT_SECONDS
    own, begin = pace or Pace(), start or _kept_alive
    inner: Any = start_client_internal
    answering = Answering()
    inner._pull_and_store_message = own.asked(answering.taking(cleared_away(inner._pull_and_store_message)))
    inner._push_messages = answering.sending(inner._push_messages)
    inner.time = SimpleNamespace(sleep=own.sleep)

    def popen(command: Sequence[str], **given: Any) -> Any:
        return begin([sys.executable, "-m", SERVER, app, *command[1:]])

    inner.subprocess = SimpleNamespace(Popen=popen)


def _kept_alive(command: Sequence[str]) -> threading.Thread:
    """Start a process, and another whenever it ends; it ends by itself when this one does."""

    def keep() -> None:
        again = FIRST_AGAIN
        while True:
            began = time.monotonic()
            status = subprocess.call(command, stdin=subprocess.DEVNULL)
            again = FIRST_AGAIN if time.monotonic() - began >= LIVED else min(LAST_AGAIN, 2 * again)
            logger.warning("the app's process ended with status %d: it is started again in %g s", status, again)
            time.sleep(again)

    keeping = threading.Thread(target=keep, name="app's process", daemon=True)
    keeping.start()
    return keeping


def main(app: str = APP) -> None:
    """Be a SuperNode until Flower or a signal says otherwise."""
    make_prompt(app)
    flower_supernode()


if __name__ == "__main__":
    main()
